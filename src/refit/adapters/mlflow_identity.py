"""The MLflow identity of this process; beside `mlflow.py`, the only file that knows MLflow's settings."""

from __future__ import annotations

from mlflow.environment_variables import MLFLOW_TRACKING_PASSWORD, MLFLOW_TRACKING_USERNAME


def act_as(user: str, password: str) -> None:
    """
    Use MLflow as *user* from now on, in this process and its child processes.

    MLflow's clients read name and password from the environment on every request, so a process has one identity at a
    time. Each step is a process of its own.
    """
    MLFLOW_TRACKING_USERNAME.set(user)
    MLFLOW_TRACKING_PASSWORD.set(password)


def acts_as() -> str:
    """Return the MLflow user of this process; empty: none."""
    return str(MLFLOW_TRACKING_USERNAME.get() or "")
