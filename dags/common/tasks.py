"""Defaults for the tasks of every DAG: owner, retries and delays."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

LISTS, LANDING, TRAINING = 3, 2, 1
"""Priority weights for scarce slots."""


def task_defaults(
    owner: str,
    longest: timedelta,
    *,
    priority: int | None = None,
    retries: int = 2,
    first_delay: timedelta = timedelta(seconds=30),
) -> dict[str, Any]:
    """
    Return `default_args` for a DAG whose tasks may take up to *longest* per attempt.

    The delay between attempts begins with *first_delay* and doubles up to ten minutes. Refusals are final: only
    failures are retried.
    """
    ordered = {"priority_weight": priority, "weight_rule": "absolute"} if priority is not None else {}
    return {
        "owner": owner,
        "retries": retries,
        "retry_delay": first_delay,
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=10),
        "execution_timeout": longest,
        "retry_policy": ExceptionRetryPolicy(
            [RetryRule(exception="pipelines.process.StepRefusedError", action=RetryAction.FAIL)]
        ),
        **ordered,
    }
