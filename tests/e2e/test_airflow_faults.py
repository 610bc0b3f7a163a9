"""A task and the scheduler of Airflow are killed while a day is landed; the run ends as if nothing had happened."""

from __future__ import annotations

import time
from datetime import timedelta

import psutil
import pytest
from small_shop import Init, Shop

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]
_SECONDS = 600.0


def land(shop: Shop) -> tuple[str, psutil.Process]:
    """Start a run that lands yesterday again, and return it with the process of its step."""
    assert shop.api.wait("ingest", scheduled(shop), seconds=_SECONDS) == "success"
    run_id = shop.api.trigger(
        "ingest", {"since": str(shop.yesterday), "until": str(shop.yesterday + timedelta(days=1))}
    )
    lake = shop.stack.own_environment["REFIT_LAKE"]
    last = time.monotonic() + _SECONDS
    while time.monotonic() < last:
        for process in psutil.process_iter():
            try:
                if "land_interactions" in process.cmdline() and process.environ().get("REFIT_LAKE") == lake:
                    return run_id, process
            except psutil.Error:
                continue
        time.sleep(0.1)
    pytest.fail(f"no step was started: {shop.api.task_states('ingest', run_id)}")


def scheduled(shop: Shop) -> str:
    """Return the run that the timetable has started for yesterday."""
    return next(str(run["dag_run_id"]) for run in shop.api.runs("ingest") if run["run_type"] == "scheduled")


def require_landed_as_before(shop: Shop, run_id: str) -> None:
    """The same raw data give the same digest, whoever was killed."""
    digest = shop.api.xcom("ingest", scheduled(shop), "land_interactions")["digest"]
    assert shop.api.xcom("ingest", run_id, "land_interactions")["digest"] == digest


def test_a_task_that_is_killed_is_tried_again(shop: Shop) -> None:
    """Its step dies with it; Airflow notices at once and makes the second try half a minute later."""
    run_id, step = land(shop)
    task = step.parent()
    assert task is not None
    task.kill()
    _, alive = psutil.wait_procs([step], timeout=20)
    assert not alive
    assert shop.api.wait("ingest", run_id, seconds=_SECONDS) == "success"
    assert shop.api.task_instances("ingest", run_id)[0]["try_number"] == 2
    require_landed_as_before(shop, run_id)


def test_a_scheduler_that_is_killed_and_started_again_finishes_the_run(shop: Shop) -> None:
    """The task at work does not notice; it is not done twice."""
    run_id, _ = land(shop)
    init = Init(shop.stack)
    scheduler = psutil.Process(next(one.pid for one in shop.stack.processes if one.name == "airflow-scheduler"))
    scheduler.kill()
    psutil.wait_procs([scheduler], timeout=20)
    assert init.revive() == ["airflow-scheduler"]
    assert shop.api.wait("ingest", run_id, seconds=_SECONDS) == "success"
    assert shop.api.task_instances("ingest", run_id)[0]["try_number"] == 1
    require_landed_as_before(shop, run_id)
