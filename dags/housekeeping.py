"""
Delete published lists that are no longer needed, and lake data past their retention.

**When.** Daily, also after the last day of the shop's calendar, and by hand at any time. `[retention]` of shop.toml
says what stays: the live batch, the newest ones before it, the batch of each date for some days, and young batches; in
the lake all current data, the inputs of young training sets and of champions, and replaced data for some days.

**If this fails.** Nothing that a pointer or the catalogue names is ever deleted, so readers and rollbacks work as
before; storage grows until a later run. The last line of the log gives the store's answer.

**Safe to re-run.** Always: the next collection finishes an interrupted one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from dags.common.tasks import task_defaults


def _schedule() -> Any:
    from pipelines.schedule import read_schedule

    return read_schedule()


_SCHEDULE = _schedule()


@dag(
    dag_id="housekeeping",
    schedule="30 5 * * *",
    start_date=_SCHEDULE.start,
    catchup=False,
    max_active_runs=1,
    # One slot at most: whatever else the stack has to do comes first.
    max_active_tasks=1,
    dagrun_timeout=timedelta(hours=12),
    tags=["refit", "lists"],
    doc_md=__doc__,
    default_args=task_defaults("data-engineering", timedelta(hours=2)),
)
def housekeeping() -> None:
    @task
    def collect_garbage(now: str) -> dict[str, Any]:
        from pipelines.process import run_step

        return run_step("collect_garbage", now=now)

    @task
    def collect_lake(now: str) -> dict[str, Any]:
        from pipelines.process import run_step

        return run_step("collect_lake", now=now)

    # The time at which the run was due: clearing an old run deletes no more than that run did.
    collect_garbage(now="{{ dag_run.run_after | ts }}")
    collect_lake(now="{{ dag_run.run_after | ts }}")


housekeeping()
