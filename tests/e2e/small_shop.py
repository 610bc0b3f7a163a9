"""The small shop of the end-to-end tests: its configuration and how its running stack is spoken to."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from infra.airflow_api import AirflowApi
from infra.state import Stack

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = """
title = "A small shop"
[calendar]
first_day = {first}
[first_run]
as_of = {last}
[sources.events]
format = "parquet"
path = "{{DATA}}/events"
[sources.products]
format = "parquet"
path = "{{DATA}}/products"
[sources.customers]
format = "parquet"
path = "{{DATA}}/customers"
[events]
weights = {{ view = 0.2, cart = 0.6, purchase = 1.0 }}
relevant = ["cart", "purchase"]
bought = ["purchase"]
[training]
window_days = 60
holdout_days = 7
[als]
rank = 8
iterations = 5
seed = 1
[evaluation]
k = 10
seed = 1
[lists]
k = 10
"""


@dataclass
class Shop:
    """The small shop and its running stack."""

    stack: Stack
    api: AirflowApi
    first: date
    yesterday: date
    """The last day with data; the day that a scheduled run lands first."""

    def step(self, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a step by hand against the stack, with other *settings* if given."""
        return subprocess.run(
            [sys.executable, "-m", "pipelines", *words],
            cwd=ROOT,
            env={**os.environ, **self.stack.environment, **settings},
            capture_output=True,
            text=True,
            check=False,
        )
