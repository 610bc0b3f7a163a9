"""
Land one day of the shop's data: read, pseudonymise, validate, show.

**When.** Daily, one data interval a run. By hand with `since` and `until` for any range of past days; without them a
run with a logical date lands the day before it.

**If this fails.** Nothing of the interval became visible; yesterday's data still serve. The last line of the log says
which rule was broken, by how many rows, and what to mend. A slow run is normal when a long history is landed at once.

**Safe to re-run.** Always: landing an interval again replaces exactly its days. A backfill lands each day by a run of
its own; the champion and the live lists change only through the runs that a landing starts.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import (
    Asset,
    CronDataIntervalTimetable,
    ExceptionRetryPolicy,
    Param,
    RetryAction,
    RetryRule,
    dag,
    result,
    task,
)


def _schedule() -> Any:
    from pipelines.schedule import read_schedule

    return read_schedule()


_SCHEDULE = _schedule()


@dag(
    dag_id="ingest",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    start_date=_SCHEDULE.first,
    end_date=_SCHEDULE.end,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=12),
    tags=["refit", "data"],
    doc_md=__doc__,
    default_args={
        "owner": "data-engineering",
        "retries": 2,
        "retry_delay": timedelta(seconds=30),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=10),
        "priority_weight": 2,  # where slots are few: lists, then landing, then training
        "weight_rule": "absolute",
        # A refusal is an answer; only accidents are tried again.
        "retry_policy": ExceptionRetryPolicy(
            [RetryRule(exception="pipelines.process.StepRefusedError", action=RetryAction.FAIL)]
        ),
    },
    params={
        "since": Param(None, type=["null", "string"], format="date", description="First day to land, with `until`."),
        "until": Param(None, type=["null", "string"], format="date", description="Day after the last one to land."),
    },
)
def ingest() -> None:
    from pipelines.schedule import INTERACTIONS

    @result
    @task(outlets=[Asset(INTERACTIONS)], pool="spark", execution_timeout=timedelta(hours=3))
    def land_interactions(since: str, until: str) -> dict[str, Any]:
        from pipelines.process import run_step

        return run_step("land_interactions", since=since, until=until)

    land_interactions(
        since="{{ params.since or (data_interval_start | ds if data_interval_start else '') }}",
        until="{{ params.until or (data_interval_end | ds if data_interval_end else '') }}",
    )


ingest()
