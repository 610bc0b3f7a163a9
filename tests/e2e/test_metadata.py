"""Airflow and MLflow keep what they know in PostgreSQL, which is killed and started again while both are at work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

import psutil
import pytest
from support import postgres_server
from support.small_shop import Init, Shop, open_shop

import refit
from infra.airflow.api import AirflowApi

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
_SECONDS = 900.0
_AWAY = 10.0
"""Seconds without a database."""


@pytest.fixture(scope="module")
def server() -> Iterator[postgres_server.Server]:
    with postgres_server.serving() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSWORD", server.password)
        server.sql("CREATE DATABASE airflow; CREATE DATABASE mlflow")
        yield server


@pytest.fixture(scope="module")
def kept(server: postgres_server.Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Give a shop whose Airflow and MLflow use the *server*."""
    address = f"postgresql+psycopg2://{server.user}@127.0.0.1:{server.cluster.port}"
    databases = {"REFIT_AIRFLOW_DATABASE": f"{address}/airflow", "REFIT_MLFLOW_DATABASE": f"{address}/mlflow"}
    # The scheduler ends when it has lost its database, once its tasks are done; somebody must start it again.
    with open_shop(tmp_path_factory.mktemp("metadata"), **databases) as shop, Init(shop.stack):
        yield shop


def cut_off(kept: Shop, server: postgres_server.Server, step: str) -> None:
    """Kill the database while *step* is at work, and start it again."""
    lake = kept.stack.own_environment["REFIT_LAKE"]
    last = time.monotonic() + _SECONDS
    while not any(_works(process, step, lake) for process in psutil.process_iter()):
        assert time.monotonic() < last, f"{step} was not started"
        time.sleep(0.1)
    server.kill()
    time.sleep(_AWAY)
    server.start_again()


def _works(process: psutil.Process, step: str, lake: str) -> bool:
    try:
        return step in process.cmdline() and process.environ().get("REFIT_LAKE") == lake
    except psutil.Error:
        return False


def test_a_landing_is_done_though_the_database_of_airflow_is_gone_meanwhile(
    kept: Shop, server: postgres_server.Server
) -> None:
    """Without any help but that of an init system."""
    run_id = kept.api.trigger("ingest", {"since": str(kept.first), "until": str(kept.yesterday + timedelta(days=1))})
    cut_off(kept, server, "land_interactions")
    assert kept.api.wait("ingest", run_id, seconds=_SECONDS) == "success"
    assert kept.api.xcom("ingest", run_id, "land_interactions")["rows"] > 0


def test_a_challenger_is_trained_approved_and_published_though_both_databases_are_gone_meanwhile(
    kept: Shop, server: postgres_server.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run, the model and its evidence are whole, once each."""
    run_id = kept.api.trigger("retrain", {"as_of": str(kept.yesterday + timedelta(days=1))})
    cut_off(kept, server, "train_model")
    question = kept.api.wait_question("retrain", run_id, seconds=_SECONDS)
    assert question is not None, kept.api.task_states("retrain", run_id)
    time.sleep(2)
    with AirflowApi(kept.stack.airflow, "approver", kept.stack.credentials.airflow_approver_password) as approver:
        approver.answer("retrain", run_id, "approve", "Approve", {"reason": "both came back"})
    assert kept.api.wait("retrain", run_id, seconds=_SECONDS) == "success"
    assert kept.api.xcom("retrain", run_id, "promote_model")["champion"] == 1
    following = kept.api.active_run("recommend", seconds=30) or kept.api.runs("recommend")[0]["dag_run_id"]
    assert kept.api.wait("recommend", following, seconds=_SECONDS) == "success"
    for name, value in kept.stack.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    lists = refit.read_live("s3://refit/small", endpoint=kept.stack.s3)
    assert lists.num_rows == len(set(lists["user_id"].to_pylist())) > 500


def test_what_airflow_and_mlflow_know_is_in_the_database_and_in_no_file(
    kept: Shop, server: postgres_server.Server
) -> None:
    """And its password is in no command line."""
    assert not (kept.stack.root / "airflow" / "airflow.db").exists()
    assert not (kept.stack.root / "mlflow.db").exists()
    marked = [psutil.Process(one.pid) for one in kept.stack.processes if one.alive]
    assert not any(server.password in " ".join(process.cmdline()) for process in marked)
    assert not any(server.password in value for value in kept.stack.own_environment.values())
