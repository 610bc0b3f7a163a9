"""What the tasks of every DAG have in common: who owns them, how often and after how long they are tried again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

LISTS, LANDING, TRAINING = 3, 2, 1
"""Who comes first where slots are few."""


def task_defaults(
    owner: str,
    longest: timedelta,
    *,
    priority: int | None = None,
    retries: int = 2,
    first_delay: timedelta = timedelta(seconds=30),
) -> dict[str, Any]:
    """
    Return `default_args` for a DAG whose tasks may take *longest* in each try.

    The delay between tries begins with *first_delay* and doubles up to ten minutes. A refusal is an answer: only
    accidents are tried again.
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
