"""
Land one day of the shop's data: read, pseudonymise, validate, commit.

**When.** Daily at `[calendar] lands_after` by the shop's clock, one day per run. A missing or incomplete day is retried
every ten minutes for `wait_hours`. The `look_back_days` before it are read again, and landed again if they changed. By
hand with `since` and `until` for any range of past days; without them a run with a logical date lands the day before
it. Manual runs and backfills neither wait nor look back. A run by hand does not queue behind one that waits.

**If this fails.** Nothing of the interval became visible; yesterday's data still serve. The last line of the log says
which rule was broken, by how many rows, and what to fix. A slow run is normal when a long history is landed at once.
A skipped `tell_late_days` is a result: nothing has changed in the days before.

**Safe to re-run.** Always: landing an interval again replaces exactly its days. A backfill lands each day by a run of
its own; the champion and the live lists change only through the runs that a landing starts.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, CronDataIntervalTimetable, Param, PokeReturnValue, dag, result, task

from dags.common.tasks import LANDING, task_defaults


def _schedule() -> Any:
    from pipelines.schedule import read_schedule

    return read_schedule()


_SCHEDULE = _schedule()
_EVERY = timedelta(minutes=10)


@dag(
    dag_id="ingest",
    schedule=CronDataIntervalTimetable(_SCHEDULE.daily, timezone=_SCHEDULE.clock.zone),
    start_date=_SCHEDULE.first,
    end_date=_SCHEDULE.end,
    catchup=False,
    # A run that waits for its day must not keep others from being landed by hand.
    max_active_runs=2,
    dagrun_timeout=timedelta(hours=12),
    tags=["refit", "data"],
    doc_md=__doc__,
    default_args=task_defaults("data-engineering", timedelta(minutes=10), priority=LANDING),
    user_defined_filters=_SCHEDULE.filters,
    params={
        "since": Param(None, type=["null", "string"], format="date", description="First day to land, with `until`."),
        "until": Param(None, type=["null", "string"], format="date", description="Day after the last one to land."),
    },
)
def ingest() -> None:
    from pipelines.schedule import INTERACTIONS

    # Waiting is not a failure: it holds no slot and uses none of the retries for failures.
    @result
    @task.sensor(
        outlets=[Asset(INTERACTIONS)],
        pool="spark",
        mode="reschedule",
        poke_interval=_EVERY.total_seconds(),
        timeout=(_SCHEDULE.wait + timedelta(hours=1)).total_seconds(),
        execution_timeout=timedelta(hours=3),
    )
    def land_interactions(since: str, until: str, give_up: str) -> PokeReturnValue:
        from pipelines.process import run_step_when_there

        receipt = run_step_when_there("land_interactions", give_up=give_up, since=since, until=until)
        return PokeReturnValue(is_done=receipt is not None, xcom_value=receipt)

    @task(pool="spark", execution_timeout=timedelta(hours=3), priority_weight=1)
    def land_late_days(before: str) -> dict[str, Any]:
        from pipelines.process import run_step

        return run_step("land_late_days", before=before)

    @task.short_circuit
    def anything_late(late: dict[str, Any]) -> bool:
        return late["landed"]

    @task(outlets=[Asset(INTERACTIONS)])
    def tell_late_days(late: dict[str, Any]) -> list[str]:
        return late["days"]

    land_interactions(
        since="{{ params.since or (data_interval_start | shop_day if data_interval_start else '') }}",
        until="{{ params.until or (data_interval_end | shop_day if data_interval_end else '') }}",
        # Manual runs and backfills should fail at once instead of waiting.
        give_up="{{ data_interval_end | give_up if dag_run.run_type == 'scheduled' else '' }}",
    )
    late = land_late_days(before="{{ data_interval_start | shop_day if dag_run.run_type == 'scheduled' else '' }}")
    anything_late(late) >> tell_late_days(late)


ingest()
