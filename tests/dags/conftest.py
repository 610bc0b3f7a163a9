"""A real Airflow with a database of its own; it must be configured before its first import."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
_HOME = tempfile.mkdtemp(prefix="refit-airflow-")
os.environ.update(
    AIRFLOW_HOME=_HOME,
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__DAGS_FOLDER=str(ROOT / "dags"),
    AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"sqlite:///{_HOME}/airflow.db",
    AIRFLOW__LOGGING__NAMESPACE_LEVELS="airflow=WARNING task=WARNING",
    AIRFLOW__API_AUTH__JWT_SECRET="t" * 64,
)


@pytest.fixture(scope="session")
def airflow_db() -> None:
    """Make the database."""
    from airflow.utils.db import initdb

    initdb()


@pytest.fixture(scope="session")
def dagbag() -> Any:
    """Give the timetables as the dag processor would parse them."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(ROOT / "dags"))


@pytest.fixture(autouse=True)
def _restore_sigterm() -> Iterator[None]:
    """`dag.test()` leaves a handler of its own behind."""
    old = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, old)


@pytest.fixture(scope="session")
def client(airflow_db: None) -> Any:
    """Give a session of user lee with the real REST application."""
    from airflow.api_fastapi.app import create_app
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from fastapi.testclient import TestClient

    app = create_app(apps="core")
    token = app.state.auth_manager.generate_jwt(SimpleAuthManagerUser(username="lee", role="admin"))
    return TestClient(app, headers={"Authorization": f"Bearer {token}"})


@pytest.fixture(scope="session")
def known(dagbag: Any, airflow_db: None) -> None:
    """Let the REST application know the timetables."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import sync_bag_to_db

    DagBundlesManager().sync_bundles_to_db()
    sync_bag_to_db(dagbag, "dags-folder", None)


@pytest.fixture
def answer(client: Any) -> Iterator[Callable[[str, str], None]]:
    """Give answer(option, reason): answers the question of `retrain` through the real REST application."""
    threads: list[threading.Thread] = []

    def wait_and_answer(option: str, reason: str) -> None:
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline:
            found = client.get(
                "/api/v2/dags/~/dagRuns/~/hitlDetails", params={"dag_id": "retrain", "response_received": False}
            ).json()
            for question in found.get("hitl_details", []):
                task = question["task_instance"]
                if task["state"] == "awaiting_input":
                    path = f"/api/v2/dags/retrain/dagRuns/{task['dag_run_id']}/taskInstances/approve/-1/hitlDetails"
                    body = {"chosen_options": [option], "params_input": {"reason": reason}}
                    client.patch(path, json=body).raise_for_status()
                    return
            time.sleep(0.2)

    def start(option: str, reason: str) -> None:
        threads.append(threading.Thread(target=wait_and_answer, args=(option, reason), daemon=True))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join(5)
