"""Faults that are injected into steps at work; every test here is one after the other and shares servers and shops."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support import stack_s3
from support.fault_shop import LOOP, FaultShop
from support.injection import ROWS, Faults, MlflowServer, Table
from support.mlflow_server import free_port

_HERE = Path(__file__).parent
CHAPTERS = ("test_kills", "test_databases", "test_storage", "test_two_runs", "test_models")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They kill real processes for minutes, so they run by themselves; later chapters have later lists."""
    ours = [item for item in items if _HERE in item.path.parents]
    for item in ours:
        item.add_marker(pytest.mark.long)
    order = {item: CHAPTERS.index(item.path.stem) for item in ours}
    items[:] = [item for item in items if item not in order] + sorted(ours, key=order.__getitem__)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what was injected and what came of it."""
    if not ROWS:
        return
    widths = [max(len(row[place]) for row in ROWS) for place in (0, 1)]
    terminalreporter.section("faults")
    for fault, injected, outcome in ROWS:
        terminalreporter.write_line(f"{fault:<{widths[0]}}  {injected:<{widths[1]}}  {outcome}")


@pytest.fixture(scope="session")
def faults() -> Table:
    """Give the table that is shown at the end."""
    return Table()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faults]:
    """Give a proxy in front of a real S3 server that lets only its own access key in."""
    with stack_s3.serving(tmp_path_factory.mktemp("s3")) as server, Faults(server) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def mlflow_server(s3: Faults, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """Give a real MLflow server on SQLite with its files on the S3 server."""
    folder = tmp_path_factory.mktemp("mlflow")
    port = free_port()
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "AWS_"))},
        **_credentials(),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ENABLE_AI_GATEWAY": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_S3_ENDPOINT_URL": f"http://{s3.upstream}",
    }
    command = [
        *[sys.executable, "-m", "mlflow", "server", "--workers", "1"],
        *["--host", "127.0.0.1", "--port", str(port)],
        *["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"],
        *["--default-artifact-root", "s3://refit/mlflow", "--artifacts-destination", "s3://refit/mlflow"],
    ]
    server = MlflowServer(command, environment, folder, f"http://127.0.0.1:{port}")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def mlflow(mlflow_server: MlflowServer) -> Iterator[Faults]:
    """Give a proxy in front of the MLflow server."""
    with Faults(mlflow_server.address.removeprefix("http://")) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def servers(s3: Faults, mlflow: Faults) -> dict[str, str]:
    """Give the settings by which steps reach S3 and MLflow: the lists and MLflow through proxies, its files not."""
    return {
        **_credentials(),
        "REFIT_S3_ENDPOINT": s3.address,
        "REFIT_MLFLOW": mlflow.address,
        "MLFLOW_TRACKING_URI": mlflow.address,
        "MLFLOW_S3_ENDPOINT_URL": f"http://{s3.upstream}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        # A server that is down is given up sooner than by the stack, so that tests wait for less.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    }


@pytest.fixture(autouse=True)
def _healed(s3: Faults, mlflow: Faults) -> Iterator[None]:
    """No fault outlives its test."""
    yield
    s3.heal()
    mlflow.heal()


@pytest.fixture(scope="session")
def _shops() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def undisturbed(
    servers: dict[str, str], s3: Faults, mlflow: Faults, tmp_path_factory: pytest.TempPathFactory, _shops: ExitStack
) -> FaultShop:
    """Give a shop that has gone through the whole loop, and nothing happened to it; its lists are live."""
    shop = _shop("undisturbed", servers, tmp_path_factory, _shops)
    begun = time.monotonic()
    for step in LOOP:
        shop.loop(step, s3 if step == "publish_recommendations" else mlflow)
    ROWS.append(("none", "the whole loop, undisturbed", f"{len(LOOP)} steps in {time.monotonic() - begun:.0f} s"))
    return shop


@pytest.fixture(scope="session")
def disturbed(servers: dict[str, str], tmp_path_factory: pytest.TempPathFactory, _shops: ExitStack) -> FaultShop:
    """Give a shop like the other one that has gone through nothing yet."""
    return _shop("disturbed", servers, tmp_path_factory, _shops)


@pytest.fixture
def live(undisturbed: FaultShop) -> Iterator[FaultShop]:
    """Give the undisturbed shop; what was live before a test must still be whole after it."""
    before = undisturbed.pointer()
    assert before is not None
    yield undisturbed
    after = undisturbed.pointer()
    assert after is not None
    assert after.generation >= before.generation
    undisturbed.require_whole()


def _shop(name: str, servers: dict[str, str], factory: pytest.TempPathFactory, stack: ExitStack) -> FaultShop:
    patch = stack.enter_context(pytest.MonkeyPatch.context())
    # The tests ask the same servers as the steps do.
    for key in (*_credentials(), "MLFLOW_S3_ENDPOINT_URL", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"):
        patch.setenv(key, servers[key])
    shop = FaultShop.make(name, factory.mktemp(name), servers)
    stack.callback(lambda: [running.end() for running in shop.started if running])
    return shop


def _credentials() -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": stack_s3.ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
