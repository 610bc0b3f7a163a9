"""
Retrain when the data have moved, judge, train again on every day, ask a person, promote.

**When.** Weekly, on Monday three hours after `[calendar] lands_after`, by the shop's clock. By hand with `as_of`
(default: the end of the newest landed day) and, to retrain although nothing has drifted, `force` with a `reason`; both
are recorded. With an `as_of` earlier than the champion's the run is an experiment: trained, judged and registered, but
never submitted for approval. So is a backfill.

**If this fails.** The champion has not changed, and lists are still made with it. A red `promote_model` after an answer
means a rejection, no answer in time, or an invalid answer; the log says who, why and what to do. Skipped tasks at the
end are a result: no drift, or a challenger that is not good enough. The question may be answered in MLflow, too.

**Safe to re-run.** Always; clearing `approve` asks again.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Asset, CronDataIntervalTimetable, Param, dag, task

from dags.common.tasks import TRAINING, task_defaults


def _schedule() -> Any:
    from pipelines.schedule import read_schedule

    return read_schedule()


_SCHEDULE = _schedule()
_MODEL = ("training_set", "run_id", "model_id", "digest")
"""Entries of a receipt that name one model."""


@dag(
    dag_id="retrain",
    schedule=CronDataIntervalTimetable(_SCHEDULE.weekly, timezone=_SCHEDULE.clock.zone),
    start_date=_SCHEDULE.start,
    end_date=_SCHEDULE.end,
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=_SCHEDULE.approval + timedelta(days=1),
    tags=["refit", "model"],
    doc_md=__doc__,
    default_args=task_defaults("data-science", timedelta(minutes=30), priority=TRAINING),
    user_defined_filters=_SCHEDULE.filters,
    params={
        "as_of": Param(None, type=["null", "string"], format="date", description="Nothing from this day on is read."),
        "force": Param(False, type="boolean", description="Retrain although nothing has drifted."),
        "reason": Param("", type="string", maxLength=500, description="Why it is forced; asked for with force."),
    },
)
def retrain() -> None:
    from pipelines.schedule import CHAMPION

    @task(pool="spark", execution_timeout=timedelta(hours=1))
    def check_drift(as_of: str, force: bool, reason: str, requested_by: str) -> dict[str, Any]:
        from pipelines.process import run_step

        return run_step("check_drift", as_of=as_of, force=force, reason=reason, requested_by=requested_by)

    @task.short_circuit
    def worth_retraining(drift: dict[str, Any]) -> bool:
        return drift["retrain"]

    @task(pool="spark", execution_timeout=timedelta(hours=1))
    def build_training_set(drift: dict[str, Any]) -> dict[str, Any]:
        from pipelines.process import run_step

        return run_step("build_training_set", as_of=drift["as_of"])

    @task(pool="spark", execution_timeout=timedelta(hours=6))
    def tune_model(data: dict[str, Any]) -> dict[str, Any]:
        from pipelines.process import run_step

        return run_step("tune_model", training_set=data["training_set"])

    @task(pool="spark", execution_timeout=timedelta(hours=3))
    def train_model(tuned: dict[str, Any]) -> dict[str, Any]:
        from pipelines.process import run_step

        return run_step("train_model", training_set=tuned["training_set"], settings=tuned["settings"])

    @task(pool="spark", execution_timeout=timedelta(hours=1))
    def evaluate_model(model: dict[str, Any], drift: dict[str, Any]) -> dict[str, Any]:
        from pipelines.process import run_step

        return run_step("evaluate_model", **{key: model[key] for key in (*_MODEL, "settings")}, drift=drift)

    @task(pool="spark", execution_timeout=timedelta(hours=3))
    def refit_model(model: dict[str, Any], evaluation: dict[str, Any]) -> dict[str, Any]:
        from pipelines.process import run_step

        return run_step("refit_model", **{key: model[key] for key in _MODEL}, evaluation=evaluation)

    @task
    def register_model(offered: dict[str, Any], evaluation: dict[str, Any], requested_by: str) -> dict[str, Any]:
        from pipelines.process import run_step

        made = {key: offered[key] for key in _MODEL}
        return run_step("register_model", **made, evaluation=evaluation, requested_by=requested_by, refitted=offered)

    @task.short_circuit
    def worth_asking(challenger: dict[str, Any], run_type: str) -> bool:
        # Models of backfills are judged and kept, but change nothing that people see.
        return challenger["proposed"] and run_type != "backfill"

    @task(outlets=[Asset(CHAMPION)])
    def promote_model(challenger: dict[str, Any], offered: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
        from pipelines.process import run_step

        return run_step("promote_model", version=challenger["version"], digest=offered["digest"], answer=answer)

    drift = check_drift(
        as_of="{{ params.as_of or (data_interval_end | shop_day if dag_run.run_type in "
        "('scheduled', 'backfill') else '') }}",
        force="{{ params.force }}",
        reason="{{ params.reason }}",
        requested_by="{{ dag_run.triggering_user_name or '' }}",
    )
    data = build_training_set(drift)
    model = train_model(tune_model(data))
    # Automatic runs are attributed to their trigger, because the four-eyes rule applies to people only.
    started_by = "{{ dag_run.triggering_user_name or dag_run.run_type }}"
    evaluation = evaluate_model(model, drift)
    offered = refit_model(model, evaluation)
    challenger = register_model(offered, evaluation, started_by)
    approve = HITLOperator(
        task_id="approve",
        subject="Make challenger {{ ti.xcom_pull(task_ids='register_model')['version'] }} the champion of "
        + _SCHEDULE.shop
        + "?",
        body="{{ ti.xcom_pull(task_ids='register_model')['summary'] }}",
        options=["Approve", "Reject"],
        defaults=["Reject"],
        assigned_users=_SCHEDULE.assigned_users,
        response_timeout=_SCHEDULE.approval,
        params={"reason": Param("", type="string", description="Kept with the model version.")},
        # No answer leads to the default, a refusal; only a failure is retried, and asks again.
        execution_timeout=None,
    )

    drift >> worth_retraining(drift) >> data
    challenger >> worth_asking(challenger, "{{ dag_run.run_type }}") >> approve
    promote_model(challenger, offered, approve.output)


retrain()
