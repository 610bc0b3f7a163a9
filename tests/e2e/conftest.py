"""One whole embedded stack of real processes for a small simulated shop whose calendar ends yesterday."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.small_shop import Shop, open_shop

CHAPTERS = ("test_loop", "test_backfill", "test_registry", "test_airflow_faults", "test_canary", "test_metadata")
"""Files that tell one story of one shop, in this order; those that are not named here come after."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the chapters follow each other."""
    items.sort(key=lambda item: CHAPTERS.index(item.path.stem) if item.path.stem in CHAPTERS else len(CHAPTERS))


@pytest.fixture(scope="package")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Give the shop that the chapters share; it and its stack end with the last of them."""
    with open_shop(tmp_path_factory.mktemp("e2e")) as shop:
        yield shop
