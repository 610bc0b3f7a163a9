"""
Logging of the Airflow processes: what Airflow sets up, less the chatter of the libraries that tasks use.

Airflow's own `namespace_levels` setting does not reach loggers of the standard library; this does.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from airflow.config_templates.airflow_local_settings import (
    DEFAULT_LOGGING_CONFIG,
    DEFAULT_REMOTE_CONN_ID,
    REMOTE_TASK_LOG,
)

QUIET = ("alembic", "botocore", "great_expectations", "httpx", "py4j", "urllib3")

LOGGING_CONFIG: dict[str, Any] = deepcopy(DEFAULT_LOGGING_CONFIG)
for _name in QUIET:
    LOGGING_CONFIG.setdefault("loggers", {})[_name] = {"level": "WARNING"}

# Airflow takes these two from the same module as LOGGING_CONFIG.
__all__ = ["DEFAULT_REMOTE_CONN_ID", "LOGGING_CONFIG", "REMOTE_TASK_LOG"]
