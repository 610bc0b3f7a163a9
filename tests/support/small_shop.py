"""The small shop of the end-to-end tests: its configuration and how its running stack is spoken to."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from infra.airflow.api import AirflowApi
from infra.stack.control import down, up
from infra.stack.settings import read_stack_settings
from infra.stack.state import Stack

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = """
title = "A small shop"
[calendar]
first_day = {first}
lands_after = {lands_after}
look_back_days = 1
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
[promotion]
margin = 0.4
max_total_loss = 0.5
cohort_margin = 1.0
max_narrowing = 0.9
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
    settings: Path
    """Its shop.toml, which every step reads anew."""

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


class Init:
    """
    Starts what has ended of a stack again, with the same words and settings, as an init system would.

    As a block it looks every second, until the block ends.
    """

    def __init__(self, stack: Stack) -> None:
        running = {one.name: psutil.Process(one.pid) for one in stack.processes if one.alive}
        self._as_it_was = {name: (one.cmdline(), one.environ(), one.cwd()) for name, one in running.items()}
        self._running = running
        self._ended = threading.Event()
        self._watching = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Init:
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watching.join()

    def _watch(self) -> None:
        while not self._ended.wait(1):
            for name in self.revive():
                sys.stdout.write(f"\n{name} ended and was started again")

    def revive(self) -> list[str]:
        """Start every process that has ended, and return their names."""
        ended = [
            name
            for name, process in self._running.items()
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
        ]
        for name in ended:
            command, environment, folder = self._as_it_was[name]
            # The mark of the stack is in the environment, so it ends with the stack.
            started = subprocess.Popen(
                command,
                env=environment,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            self._running[name] = psutil.Process(started.pid)
        return ended


@contextlib.contextmanager
def open_shop(folder: Path, **further: str) -> Iterator[Shop]:
    """Generate the shop in *folder* and start its stack with *further* settings; both end with the block."""
    now = datetime.now(UTC)
    yesterday = now.date() - timedelta(days=1)
    first = yesterday - timedelta(days=59)
    small = folder / "shops" / "small"
    small.mkdir(parents=True)
    shutil.copytree(ROOT / "shops" / "simulated" / "sources", small / "sources")
    simulation = (
        f"[simulation]\nseed = 1\nfirst_day = {first}\ndays = 60\npeople = 600\nitems = 200\n"
        "events = 40000\ncategories = 10\n"
    )
    # The scheduled run came due within the last four hours, so the next one is twenty hours away.
    settings = SETTINGS.format(first=first, last=yesterday, lands_after=time(min(now.hour, 20)))
    # A shop that is alive has no last day; the generator needs one, so it gets a configuration of its own.
    (small / "shop.toml").write_text(
        settings.replace("[first_run]", f"last_day = {yesterday}\n[first_run]") + simulation, encoding="utf-8"
    )
    changed = {
        "REFIT_SHOP": "small",
        "REFIT_SHOPS": str(folder / "shops"),
        "REFIT_STATE": str(folder / "state"),
        "REFIT_DATA": str(folder / "data"),
        "REFIT_SPARK_MEMORY": "1g",
        # Yesterday is the first scheduled interval of ingest; a week for retrain has not passed by then.
        "REFIT_SCHEDULE_FROM": str(yesterday),
        **further,
    }
    kept = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        subprocess.run([sys.executable, "-m", "pipelines", "simulate_shop"], cwd=ROOT, check=True, capture_output=True)
        (small / "shop.toml").write_text(settings, encoding="utf-8")
        plant(folder / "data", yesterday)
        stack = up(read_stack_settings(), say=lambda line: None)
        with AirflowApi(stack.airflow, "admin", stack.credentials.airflow_admin_password) as api:
            yield Shop(stack, api, first, yesterday, small / "shop.toml")
    finally:
        down(read_stack_settings())
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
