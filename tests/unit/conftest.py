"""Small things that several unit tests start from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from support.corner import Corner

from refit.adapters.folder import FolderObjectStore
from refit.lake.lake import Lake

ShopWriter = Callable[..., Path]

SHOP = """
title = "A corner shop"

[calendar]
first_day = 2026-01-01
closed_weekdays = ["sunday"]

[first_run]
as_of = 2026-01-31

[sources.orders]
format = "csv"
path = "{DATA}/orders/{day}.csv"
columns = "customer STRING, sku STRING, at STRING, pieces STRING"
options = { header = "true", mode = "FAILFAST" }

[sources.stock]
format = "csv"
path = "{DATA}/stock.csv"
columns = "sku STRING, name STRING, price STRING"
options = { header = "true", mode = "FAILFAST" }

[events]
weights = { purchase = 1.0 }
relevant = ["purchase"]
bought = ["purchase"]

[als]
seed = 1

[evaluation]
seed = 1
"""
SOURCES = {
    "interactions": """
        SELECT customer AS user_id, sku AS item_id, 'purchase' AS event_type,
               try_to_timestamp(at) AS event_time, try_cast(pieces AS DOUBLE) AS value
        FROM orders
    """,
    "items": """
        SELECT sku AS item_id, name AS title, CAST(NULL AS STRING) AS category, try_cast(price AS DOUBLE) AS price,
               TRUE AS available, CAST(NULL AS TIMESTAMP) AS listed_at
        FROM stock
    """,
}


@pytest.fixture
def write_shop(tmp_path: Path) -> ShopWriter:
    """
    Give what writes the configuration of a corner shop below `shops` and returns that folder.

    `replace` maps texts of shop.toml to others, `append` is added to it, and `sources` replaces or adds tables; a
    table that is None is left out.
    """

    def write(
        *, replace: dict[str, str] | None = None, append: str = "", sources: dict[str, str | None] | None = None
    ) -> Path:
        text = SHOP
        for old, new in (replace or {}).items():
            assert old in text
            text = text.replace(old, new)
        folder = tmp_path / "shops" / "corner"
        (folder / "sources").mkdir(parents=True, exist_ok=True)
        (folder / "shop.toml").write_text(text + append, encoding="utf-8")
        for table, query in {**SOURCES, **(sources or {})}.items():
            if query is not None:
                (folder / "sources" / f"{table}.sql").write_text(query, encoding="utf-8")
        return tmp_path / "shops"

    return write


OrderWriter = Callable[..., Path]
HEADER = "customer,sku,at,pieces"


@pytest.fixture
def write_orders(tmp_path: Path) -> OrderWriter:
    """Give what writes the raw file of one day, and the shop's stock beside it, and returns the folder of the data."""

    def write(day: str, lines: list[str], *, header: str = HEADER) -> Path:
        data = tmp_path / "data"
        (data / "orders").mkdir(parents=True, exist_ok=True)
        (data / "stock.csv").write_text("sku,name,price\ntea,Green tea,4.5\nmug,Größter Becher,\n", encoding="utf-8")
        (data / "orders" / f"{day}.csv").write_text("\n".join([header, *lines, ""]), encoding="utf-8")
        return data

    return write


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Give an empty lake in a folder of the test."""
    root = tmp_path / "lake" / "corner"
    return Lake(root=str(root), catalog="catalog.json", store=FolderObjectStore(root))


@pytest.fixture
def corner(spark: SparkSession, lake: Lake, write_shop: ShopWriter, write_orders: OrderWriter) -> Corner:
    """Give the corner shop with its landing steps."""
    return Corner(spark, lake, write_shop, write_orders)


_TOLD = pytest.StashKey[dict[str, str]]()


@pytest.fixture
def tell(pytestconfig: pytest.Config) -> Callable[[str, str], None]:
    """Give what keeps the sentence that a bad input produced; `pytest -v` ends with all of them."""
    told = pytestconfig.stash.setdefault(_TOLD, {})

    def keep(bad_input: str, sentence: str) -> None:
        assert sentence
        assert "\n" not in sentence
        told[bad_input] = sentence

    return keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print bad inputs with the sentence that each one produced."""
    told = config.stash.get(_TOLD, {})
    if told and config.option.verbose > 0:
        terminalreporter.section("bad input and what is said of it")
        for bad_input, sentence in told.items():
            terminalreporter.write_line(f"{bad_input}: {sentence}")
