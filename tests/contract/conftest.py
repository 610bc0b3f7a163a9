"""The real side of the contracts: an MLflow server as a process, with its files on the S3 server of the tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
from support.mlflow_server import free_port, serving


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
    command = [
        *[sys.executable, "-m", "mlflow", "server", "--workers", "1"],
        *["--host", "127.0.0.1", "--port", str(port)],
        *["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"],
        *["--default-artifact-root", "s3://refit/mlflow", "--artifacts-destination", "s3://refit/mlflow"],
    ]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        with serving(command, os.environ, folder, address):
            yield address
