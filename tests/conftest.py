"""Fixtures shared by all tests: one Spark session, one S3 server, one PostgreSQL server, all real."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from pyspark.sql import SparkSession
from support.postgres_server import Server, serving
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

from infra.host.class_archive import class_archive
from infra.host.postgres import DRIVER
from infra.stack.services import FAST_START
from refit.adapters.spark import open_session

ROOT = Path(__file__).resolve().parent.parent

# In a worker of pytest-xdist the main module has no file. PySpark takes that for its own doctests and ends the process.
if not hasattr(sys.modules["__main__"], "__file__"):
    sys.modules["__main__"].__file__ = pytest.__file__

# A property is right or wrong, however busy the machine is.
hypothesis.settings.register_profile("refit", deadline=None)
hypothesis.settings.load_profile("refit")

_FOR_A_FEW_ROWS = {
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
}
"""Plans are interpreted instead of compiled, and made once instead of after each stage: a third of a small landing.

The long tests, which have many rows, and the steps of a whole stack have the session as shipped.
"""


class _OneStack(LoadFileScheduling):
    """Keeps the tests of a file on one worker of pytest-xdist, and all that share the stack: it is started once."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "tests/e2e" if file.startswith("tests/e2e/") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    """Distribute as `_OneStack` does, whatever `--dist` says."""
    return _OneStack(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Do not trace tests of stacks and DAGs: tracing slows them down, and other tests cover the same lines."""
    folder = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(folder) and item.path.relative_to(folder).parts[0] in {"e2e", "dags"}:
            item.add_marker("no_cover")


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """Give the Spark session that every test shares: starting one costs seconds."""
    session = open_session(
        "tests",
        master="local[2,4]",
        memory="1g",
        log_config=ROOT / "infra" / "log4j2.properties",
        java_options=FAST_START,
        jars=str(DRIVER) if DRIVER.is_file() else "",
        class_archive=class_archive(),
    )
    for name, value in _FOR_A_FEW_ROWS.items():
        session.conf.set(name, value)
    yield session
    session.stop()


@pytest.fixture(autouse=True)
def _as_shipped_when_long(request: pytest.FixtureRequest) -> Iterator[None]:
    """Give a long test the session as shipped."""
    if not (request.node.get_closest_marker("long") and "spark" in request.fixturenames):
        yield
        return
    conf = request.getfixturevalue("spark").conf
    for name in _FOR_A_FEW_ROWS:
        conf.unset(name)
    yield
    for name, value in _FOR_A_FEW_ROWS.items():
        conf.set(name, value)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """Give a PostgreSQL server that all tests share; each makes tables under names of its own."""
    with serving() as server:
        yield server


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Give the address of a real S3 server over HTTP on loopback, a process of its own, with the bucket `refit`."""
    import boto3

    os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="us-east-1")
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert server.poll() is None, "the S3 server ended"
            assert time.monotonic() < deadline, "the S3 server did not start"
            time.sleep(0.1)
        boto3.session.Session().client("s3", endpoint_url=address).create_bucket(Bucket="refit")
        yield address
    finally:
        server.kill()
        server.wait()
