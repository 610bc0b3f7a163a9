"""The small shop of the end-to-end tests: its configuration and how its running stack is spoken to."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

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


CANARY, SILENT = "planted-raw-id-4711", "planted-raw-id-without-consent"
"""Two customers whose ids nothing else in the world contains; the second one has not given consent."""


def plant(data: Path, day: date) -> None:
    """Add both planted customers, registered as early as anybody, and two events of each on *day* to the warehouse."""
    people = next((data / "customers").glob("*.parquet"))
    table = pq.ParquetFile(people).read().sort_by("registered_on")
    _add(table.slice(0, 2), people, customer=[CANARY, SILENT], consent=[True, False])
    events = next((data / "events" / f"day={day}").glob("*.parquet"))
    _add(pq.ParquetFile(events).read().slice(0, 4), events, customer=[CANARY, SILENT] * 2)


def _add(rows: pa.Table, beside: Path, **columns: list[Any]) -> None:
    for name, values in columns.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, pa.array(values))
    pq.write_table(rows, beside.with_name("part-planted.parquet"))


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
