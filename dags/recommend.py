"""
Make everyone's lists with the champion and publish them in one atomic batch.

**When.** After each landing and whenever the champion changes; both as of the end of the newest landed day. By hand
with `as_of` for any landed day: lists for a day before the live one are written and leave `live.json` alone.

**If this fails.** The last good batch is still live. A red `publish_recommendations` means that the lists broke the
shop's policy; the log names each number and its limit, and the refused batch stays readable by its id.
A skipped `publish_recommendations` is a result: the shop has no champion yet.

**Safe to re-run.** Always; each try writes a batch of its own and the pointer moves last.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, ExceptionRetryPolicy, Param, RetryAction, RetryRule, dag, result, task


def _schedule() -> Any:
    from pipelines.schedule import CHAMPION, INTERACTIONS, read_schedule

    return Asset(INTERACTIONS) | Asset(CHAMPION), read_schedule()


_TRIGGERS, _SCHEDULE = _schedule()


@dag(
    dag_id="recommend",
    schedule=_TRIGGERS,
    start_date=_SCHEDULE.start,
    catchup=False,
    max_active_runs=1,
    tags=["refit", "lists"],
    doc_md=__doc__,
    default_args={
        "owner": "data-science",
        "retries": 2,
        "retry_delay": timedelta(seconds=30),
        "retry_exponential_backoff": True,
        "execution_timeout": timedelta(hours=3),
        "retry_policy": ExceptionRetryPolicy(
            [RetryRule(exception="pipelines.process.StepRefusedError", action=RetryAction.FAIL)]
        ),
    },
    params={
        "as_of": Param(
            None, type=["null", "string"], format="date", description="Nothing at or after this day is read."
        ),
    },
)
def recommend() -> None:
    @task
    def score_users(as_of: str) -> dict[str, Any]:
        from pipelines.process import run_step

        return run_step("score_users", as_of=as_of)

    @task.short_circuit
    def anything_scored(scored: dict[str, Any]) -> bool:
        return scored["scored"]

    @result
    @task
    def publish_recommendations(scored: dict[str, Any]) -> dict[str, Any]:
        from pipelines.process import run_step

        return run_step("publish_recommendations", batch=scored["batch"])

    scored = score_users(as_of="{{ params.as_of or '' }}")
    anything_scored(scored) >> publish_recommendations(scored)


recommend()
