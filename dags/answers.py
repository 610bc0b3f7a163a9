"""
Carry out decisions that people make in MLflow.

**When.** Within seconds after a person has set a tag `decision-N` of the model that serves; a trigger watches for it
and holds no worker slot. Never by hand: a decision belongs where it was asked for.

**If this fails.** A red `promote_model` means that the decision was a rejection, or is not valid: the log names the
person, the challenger and what to do, and the audit log records it. The champion has not changed.

**Safe to re-run.** Always: an answer that was carried out or refused is not carried out or recorded again.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, AssetWatcher, dag, task

from dags.common.tasks import task_defaults
from dags.triggers.registry import DecisionTrigger


def _assets() -> tuple[Asset, Asset, Any]:
    from pipelines.schedule import CHAMPION, DECISIONS, read_schedule

    watched = Asset(DECISIONS, watchers=[AssetWatcher(name="decisions_in_mlflow", trigger=DecisionTrigger())])
    return watched, Asset(CHAMPION), read_schedule()


_DECISIONS, _CHAMPION, _SCHEDULE = _assets()


@dag(
    dag_id="answers",
    schedule=_DECISIONS,
    start_date=_SCHEDULE.start,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=2),
    tags=["refit", "model"],
    doc_md=__doc__,
    default_args=task_defaults("data-science", timedelta(minutes=30), retries=5, first_delay=timedelta(seconds=15)),
)
def answers() -> None:
    @task
    def new_decisions(triggering_asset_events: Any = None) -> list[dict[str, Any]]:
        return [event.extra["payload"] for events in triggering_asset_events.values() for event in events]

    # One run at a time: of two challengers judged against the same champion only one can follow it.
    @task(outlets=[_CHAMPION], max_active_tis_per_dagrun=1)
    def promote_model(decision: dict[str, Any]) -> dict[str, Any]:
        from pipelines.process import run_step

        # The decision itself contains the digest.
        return run_step("promote_model", version=decision["version"], digest="", answer=decision["answer"])

    promote_model.expand(decision=new_decisions())


answers()
