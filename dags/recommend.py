"""
Make everyone's lists with the champion and publish them in one atomic batch.

**When.** After each landing and whenever the champion changes, and once a day in case one of these was missed; all as
of the end of the newest landed day. An automatic run ends at once if the live lists already have the same inputs. By
hand with `as_of` for any landed day. By `airflow backfill create` for a range of past days: each run makes the lists as
of the end of its day, with the newest champion trained on nothing after it, and leaves `live.json` alone.

**If this fails.** The last good batch is still live. A red `publish_recommendations` means that the lists broke the
shop's policy; the log names each number and its limit, and the refused batch stays readable by its id.
A skipped `publish_recommendations` is a result: no champion yet, or nothing new; the log of `score_users` says which.

**Safe to re-run.** Always; each attempt writes its own batch, and the pointer moves last. Clearing `score_users` makes
new lists; clearing `publish_recommendations` alone publishes nothing twice.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, AssetOrTimeSchedule, CronDataIntervalTimetable, Param, dag, result, task

from dags.common.tasks import LISTS, task_defaults


def _schedule() -> Any:
    from pipelines.schedule import CHAMPION, INTERACTIONS, read_schedule

    return Asset(INTERACTIONS) | Asset(CHAMPION), read_schedule()


_TRIGGERS, _SCHEDULE = _schedule()
# Only a DAG with a timetable can be backfilled; asset events have no days.
_DAILY = CronDataIntervalTimetable(_SCHEDULE.daily, timezone=_SCHEDULE.clock.zone)


@dag(
    dag_id="recommend",
    schedule=AssetOrTimeSchedule(timetable=_DAILY, assets=_TRIGGERS),
    start_date=_SCHEDULE.first,
    end_date=_SCHEDULE.end,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=12),
    tags=["refit", "lists"],
    doc_md=__doc__,
    default_args=task_defaults("data-science", timedelta(minutes=30), priority=LISTS),
    user_defined_filters=_SCHEDULE.filters,
    params={
        "as_of": Param(None, type=["null", "string"], format="date", description="Nothing from this day on is read."),
    },
)
def recommend() -> None:
    @task(pool="spark", execution_timeout=timedelta(hours=3))
    def score_users(as_of: str, unless_live: str, logical_run: str, ordered_at: str) -> dict[str, Any]:
        from pipelines.process import run_step

        return run_step(
            "score_users", as_of=as_of, unless_live=unless_live, logical_run=logical_run, ordered_at=ordered_at
        )

    @task.short_circuit
    def anything_scored(scored: dict[str, Any]) -> bool:
        return scored["scored"]

    @result
    @task
    def publish_recommendations(scored: dict[str, Any], backfill: str) -> dict[str, Any]:
        from pipelines.process import run_step

        return run_step("publish_recommendations", batch=scored["batch"], backfill=backfill)

    scored = score_users(
        as_of="{{ params.as_of or (data_interval_end | shop_day if dag_run.run_type == 'backfill' else '') }}",
        # Runs started by the timetable or an asset event skip work that is already live.
        unless_live="{{ dag_run.run_type in ('scheduled', 'asset_triggered') }}",
        # The same for every attempt of a run; clearing a run requests new lists.
        logical_run="{{ dag_run.dag_id }}/{{ dag_run.run_id }}/{{ '%03d' % dag_run.clear_number }}",
        # Not `run_after`: for a backfill it lies in the past, so its new lists would never count as newer.
        ordered_at="{{ dag_run.start_date | ts }}",
    )
    anything_scored(scored) >> publish_recommendations(scored, backfill="{{ dag_run.run_type == 'backfill' }}")


recommend()
