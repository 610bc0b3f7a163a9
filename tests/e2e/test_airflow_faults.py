"""A task and the scheduler of Airflow are killed while a day is landed; the run ends as if nothing had happened."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta

import psutil
import pytest
from support.small_shop import Init, Shop

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]
_SECONDS = 600.0


@dataclass(frozen=True)
class Landing:
    """Yesterday, being landed again."""

    run_id: str
    step: psutil.Process
    before: str
    """The digest that it was landed with last; the raw data are the same."""


def land(shop: Shop) -> Landing:
    """Start a run that lands yesterday again, and return it once its step is at work."""
    scheduled = next(str(run["dag_run_id"]) for run in shop.api.runs("ingest") if run["run_type"] == "scheduled")
    assert shop.api.wait("ingest", scheduled, seconds=_SECONDS) == "success"
    before = landed_last(shop)
    run_id = shop.api.trigger(
        "ingest", {"since": str(shop.yesterday), "until": str(shop.yesterday + timedelta(days=1))}
    )
    lake = shop.stack.own_environment["REFIT_LAKE"]
    last = time.monotonic() + _SECONDS
    while time.monotonic() < last:
        for process in psutil.process_iter():
            try:
                if "land_interactions" in process.cmdline() and process.environ().get("REFIT_LAKE") == lake:
                    return Landing(run_id, process, before)
            except psutil.Error:
                continue
        time.sleep(0.1)
    pytest.fail(f"no step was started: {shop.api.task_states('ingest', run_id)}")


def landed_last(shop: Shop) -> str:
    """Return the digest of the newest landing of yesterday alone."""
    done = [run for run in shop.api.runs("ingest") if run["state"] == "success"]
    receipts = [
        shop.api.xcom("ingest", run["dag_run_id"], "land_interactions")
        for run in sorted(done, key=lambda run: str(run["end_date"]))
    ]
    return str([receipt["digest"] for receipt in receipts if receipt["since"][:10] == str(shop.yesterday)][-1])


def require_landed_as_before(shop: Shop, landing: Landing) -> None:
    """The same raw data give the same digest, whoever was killed."""
    assert shop.api.xcom("ingest", landing.run_id, "land_interactions")["digest"] == landing.before


def test_a_task_that_is_killed_is_tried_again(shop: Shop) -> None:
    """Its step dies with it; Airflow notices at once and makes the second try half a minute later."""
    landing = land(shop)
    run_id, step = landing.run_id, landing.step
    task = step.parent()
    assert task is not None
    task.kill()
    _, alive = psutil.wait_procs([step], timeout=20)
    assert not alive
    assert shop.api.wait("ingest", run_id, seconds=_SECONDS) == "success"
    assert shop.api.task_instances("ingest", run_id)[0]["try_number"] == 2
    require_landed_as_before(shop, landing)


def test_a_scheduler_that_is_killed_and_started_again_finishes_the_run(shop: Shop) -> None:
    """The task at work does not notice; it is not done twice."""
    landing = land(shop)
    run_id = landing.run_id
    init = Init(shop.stack)
    scheduler = psutil.Process(next(one.pid for one in shop.stack.processes if one.name == "airflow-scheduler"))
    scheduler.kill()
    psutil.wait_procs([scheduler], timeout=20)
    assert init.revive() == ["airflow-scheduler"]
    assert shop.api.wait("ingest", run_id, seconds=_SECONDS) == "success"
    assert shop.api.task_instances("ingest", run_id)[0]["try_number"] == 1
    require_landed_as_before(shop, landing)
