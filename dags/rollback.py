"""
Go back to an earlier champion, model and lists together.

**When.** By hand only, with a `reason`; `to` names a version of the model that serves (default: the previous champion).
Readers see its lists again within seconds; new ones by it follow, because the champion has changed.

**If this fails.** Everything is checked before anything moves: a refusal says what is missing and has changed nothing.
After a failure clear the task, or let it retry: the rollback is finished and is not done twice.

**Safe to re-run.** Always; clearing a run does not roll back once more. To undo a rollback, give the version that was
rolled back as `to`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, Param, dag, task

from dags.common.tasks import task_defaults


def _asset() -> Asset:
    from pipelines.schedule import CHAMPION

    return Asset(CHAMPION)


@dag(
    dag_id="rollback",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    tags=["refit", "model", "lists"],
    doc_md=__doc__,
    default_args=task_defaults("data-science", timedelta(minutes=10), retries=5, first_delay=timedelta(seconds=10)),
    params={
        "reason": Param(type="string", minLength=1, maxLength=500, description="Why; kept in the audit log for good."),
        "to": Param(
            None, type=["null", "integer"], minimum=1, description="Version to go back to; empty: the champion before."
        ),
        "lists": Param(
            "back",
            type="string",
            enum=["back", "stay"],
            description="`stay` takes the model back alone, where no batch of lists by it is left.",
        ),
    },
)
def rollback() -> None:
    @task(outlets=[_asset()])
    def rollback(reason: str, to: str, lists: str, requested_by: str, logical_run: str) -> dict[str, Any]:
        from pipelines.process import run_step

        return run_step(
            "rollback", reason=reason, to=to, lists=lists, requested_by=requested_by, logical_run=logical_run
        )

    rollback(
        reason="{{ params.reason }}",
        to="{{ params.to or '' }}",
        lists="{{ params.lists }}",
        requested_by="{{ dag_run.triggering_user_name or dag_run.run_type }}",
        logical_run="{{ dag_run.dag_id }}/{{ dag_run.run_id }}",
    )


rollback()
