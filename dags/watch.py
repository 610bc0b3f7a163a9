"""
Ask after each landing whether the data have moved away from the champion, and start a retraining when they have.

**When.** After each landing. By hand with `as_of` for any landed day.

**If this fails.** Nothing has changed: the champion stays, lists go on being made, and the weekly `retrain` asks again.
A red `check_drift` says in its log which data are missing. Skipped tasks at the end are a result: no drift, no champion
yet, or a retraining of this champion was requested before.

**Safe to re-run.** Always: drift requests one retraining per champion, whatever the answer was.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Asset, Param, dag, task

from dags.common.tasks import TRAINING, task_defaults


def _schedule() -> Any:
    from pipelines.schedule import INTERACTIONS, read_schedule

    return Asset(INTERACTIONS), read_schedule()


_TRIGGER, _SCHEDULE = _schedule()


@dag(
    dag_id="watch",
    schedule=_TRIGGER,
    start_date=_SCHEDULE.start,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=12),
    tags=["refit", "model"],
    doc_md=__doc__,
    default_args=task_defaults("data-science", timedelta(minutes=10), priority=TRAINING),
    params={
        "as_of": Param(None, type=["null", "string"], format="date", description="Nothing from this day on is read."),
    },
)
def watch() -> None:
    @task(pool="spark", execution_timeout=timedelta(hours=1))
    def check_drift(as_of: str) -> dict[str, Any]:
        from pipelines.process import run_step

        return run_step("check_drift", as_of=as_of)

    @task.short_circuit
    def worth_retraining(drift: dict[str, Any]) -> bool:
        # A shop's first training is started by a person or by the timetable.
        return drift["retrain"] and drift["champion"] is not None

    drift = check_drift(as_of="{{ params.as_of or '' }}")
    retrain = TriggerDagRunOperator(
        task_id="retrain",
        trigger_dag_id="retrain",
        # One run per champion, so that an open question is not asked again tomorrow.
        trigger_run_id="drift_from_version_{{ ti.xcom_pull(task_ids='check_drift')['champion'] }}",
        conf={"as_of": "{{ ti.xcom_pull(task_ids='check_drift')['as_of'][:10] }}"},
        skip_when_already_exists=True,
    )
    worth_retraining(drift) >> retrain


watch()
