"""One whole embedded stack of real processes for a small simulated shop whose calendar ends yesterday."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from small_shop import ROOT, SETTINGS, Shop, plant

from infra.airflow_api import AirflowApi
from infra.settings import read_stack_settings
from infra.stack import down, up

CHAPTERS = ("test_loop", "test_backfill", "test_registry", "test_airflow_faults", "test_canary")
"""Files that tell one story of one shop, in this order; those that are not named here come after."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the chapters follow each other."""
    items.sort(key=lambda item: CHAPTERS.index(item.path.stem) if item.path.stem in CHAPTERS else len(CHAPTERS))


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Generate the shop and start its stack; both end with the tests."""
    folder = tmp_path_factory.mktemp("e2e")
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    first = yesterday - timedelta(days=59)
    small = folder / "shops" / "small"
    small.mkdir(parents=True)
    shutil.copytree(ROOT / "shops" / "simulated" / "sources", small / "sources")
    simulation = (
        f"[simulation]\nseed = 1\nfirst_day = {first}\ndays = 60\npeople = 600\nitems = 200\n"
        "events = 40000\ncategories = 10\n"
    )
    settings = SETTINGS.format(first=first, last=yesterday)
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
        # Two tasks at a time, so that the pool is what keeps two Spark jobs apart.
        "REFIT_PARALLELISM": "2",
        # Yesterday is the first scheduled interval of ingest; a week for retrain has not passed by then.
        "REFIT_SCHEDULE_FROM": str(yesterday),
    }
    kept = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        subprocess.run([sys.executable, "-m", "pipelines", "simulate_shop"], cwd=ROOT, check=True, capture_output=True)
        (small / "shop.toml").write_text(settings, encoding="utf-8")
        plant(folder / "data", yesterday)
        stack = up(read_stack_settings(), say=lambda line: None)
        with AirflowApi(stack.airflow, "admin", stack.credentials.airflow_admin_password) as api:
            yield Shop(stack, api, first, yesterday)
    finally:
        down(read_stack_settings())
        for name, value in kept.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
