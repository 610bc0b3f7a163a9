"""The real side of the contracts: an MLflow server as a process, with its files on the S3 server of the tests."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

SECONDS_TO_START = 120


@pytest.fixture(scope="session")
def mlflow_address(s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a real `mlflow server` on loopback; clients write artifacts to S3 themselves."""
    folder = tmp_path_factory.mktemp("mlflow")
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    settings = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_ENABLE_AI_GATEWAY": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_S3_ENDPOINT_URL": s3_endpoint,
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }
    with pytest.MonkeyPatch.context() as patch, (folder / "server.log").open("w") as log:
        for name, value in settings.items():
            patch.setenv(name, value)
        server = subprocess.Popen(
            [
                *[sys.executable, "-m", "mlflow", "server", "--workers", "1"],
                *["--host", "127.0.0.1", "--port", str(port)],
                *["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"],
                *["--default-artifact-root", "s3://refit/mlflow", "--artifacts-destination", "s3://refit/mlflow"],
            ],
            cwd=folder,
            env=dict(os.environ),
            stdout=log,
            stderr=subprocess.STDOUT,
            # Its workers must end with it, and a server may hang on to them.
            start_new_session=True,
        )
        try:
            wait_until_healthy(address, server)
            yield address
        finally:
            os.killpg(server.pid, 15)
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, 9)
                server.wait()


def free_port() -> int:
    """Return a port of loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_healthy(address: str, server: subprocess.Popen[bytes]) -> None:
    """Return when the server answers; fail when it has ended or stays silent."""
    last = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < last:
        if server.poll() is not None:
            pytest.fail(f"the MLflow server ended with code {server.returncode}")
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.2)
    pytest.fail(f"the MLflow server did not answer within {SECONDS_TO_START} seconds")
