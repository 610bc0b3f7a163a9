"""As whom this process speaks to MLflow; beside `mlflow.py`, the only file that knows how MLflow is told."""

from __future__ import annotations

from mlflow.environment_variables import MLFLOW_TRACKING_PASSWORD, MLFLOW_TRACKING_USERNAME


def act_as(user: str, password: str) -> None:
    """
    Speak to MLflow as *user* from now on, in this process and in those that it starts.

    MLflow's clients read the name and the password with every request and know no other way, so a process has one
    identity at a time. A step is a process of its own.
    """
    MLFLOW_TRACKING_USERNAME.set(user)
    MLFLOW_TRACKING_PASSWORD.set(password)


def acts_as() -> str:
    """Return as whom this process speaks to MLflow; empty: as nobody."""
    return str(MLFLOW_TRACKING_USERNAME.get() or "")
