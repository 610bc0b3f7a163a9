"""
Delete published lists that nobody can need any more, and what the lake need not keep.

**When.** Daily, also after the last day of the shop's calendar, and by hand at any time. What stays is said by
`[retention]` of shop.toml: the live batch, the newest that were live before it, the batch of each date for some days,
and what is young; of the lake all that is current, what young training sets and champions were made from, and what was
replaced or left for some days.

**If this fails.** Nothing that a pointer or the catalogue names is ever deleted, so readers and rollback go on as
before; storage grows until a later run. The last line of the log says what the store answered.

**Safe to re-run.** Always: a collection that was interrupted is finished by the next one.
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

    # When the run was due by Airflow's clock: whoever clears an old run deletes no more than that run did.
    collect_garbage(now="{{ dag_run.run_after | ts }}")
    collect_lake(now="{{ dag_run.run_after | ts }}")


housekeeping()
