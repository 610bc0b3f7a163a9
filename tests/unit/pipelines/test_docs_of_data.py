"""docs/data.md: its tables name the contract, and each of its recipes lands a small shop as it stands there."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from support.postgres_server import Server

from pipelines.land_interactions import Receipt, run
from pipelines.settings import REPOSITORY
from refit.adapters.expectations import GreatExpectations
from refit.config import load_shop
from refit.lake.lake import Lake
from refit.lake.pseudonyms import PseudonymKey
from refit.sources import Warehouse
from refit.sources.contract import CONTRACT

PAGE = (REPOSITORY / "docs" / "data.md").read_text(encoding="utf-8")
COMMON = 'title = "A shop of the page"\n[first_run]\nas_of = 2026-01-29\n[als]\nseed = 1\n[evaluation]\nseed = 1\n'
PEOPLE, ITEMS, DAYS = 40, 30, 28


def recipes() -> dict[str, dict[str, str]]:
    """Return title of a recipe -> its blocks, by file."""
    parts = re.split(r"^## (.+)\n", PAGE.split("\n# Recipes\n")[1], flags=re.M)[1:]
    found = {}
    for title, text in zip(parts[::2], parts[1::2], strict=True):
        blocks = {"shop.toml": re.findall(r"```toml\n(.*?)```", text, re.S)[0]}
        for name, sql in re.findall(r"```sql\n-- (\S+)\n(.*?)```", text, re.S):
            blocks[name] = sql
        found[title] = blocks
    return found


def events() -> list[tuple[str, str, date, int]]:
    """Return person, item, day and number of an event: each person has one on each day."""
    return [
        (f"p{person}", f"i{(person * 7 + number * 11) % ITEMS}", date(2026, 1, 1) + timedelta(days=number), number)
        for person in range(PEOPLE)
        for number in range(DAYS)
    ]


def write_csv(folder: Path, _: Server) -> None:
    (folder / "orders").mkdir()
    for number in range(DAYS):
        day = date(2026, 1, 1) + timedelta(days=number)
        lines = [f"{who},{what},{when.day}/1/2026 9:{n % 60:02d},2" for who, what, when, n in events() if when == day]
        (folder / "orders" / f"{day}.csv").write_text("\n".join(["customer,sku,ordered,pieces", *lines, ""]))
    stock = [f'i{number},"A cup, big",{number}.5' for number in range(ITEMS)]
    (folder / "stock.csv").write_text("\n".join(["sku,name,price", *stock, ""]))


def write_parquet(folder: Path, _: Server) -> None:
    rows = [
        {
            "user_id": int(who[1:]),
            "sku": int(what[1:]),
            "action": ("view", "cart", "purchase")[number % 3],
            "at": datetime.combine(day, time(12), tzinfo=UTC),
            "country": "Ireland",
        }
        for who, what, day, number in events()
    ]
    (folder / "events").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "events" / "part-0.parquet", coerce_timestamps="us")


def write_tables(_: Path, server: Server) -> None:
    rows = ", ".join(f"('{who}', '{what}', '{day} 12:00:00+00', 1)" for who, what, day, _ in events())
    items = ", ".join(f"('i{number}', 'A cup', {number}.5, true)" for number in range(ITEMS))
    server.sql(
        "DROP TABLE IF EXISTS doc_orders; DROP TABLE IF EXISTS doc_products;"
        "CREATE TABLE doc_orders (customer text, sku text, ordered_at timestamptz, quantity int);"
        "CREATE TABLE doc_products (sku text, name text, price numeric, in_stock boolean);"
        f"INSERT INTO doc_orders VALUES {rows}; INSERT INTO doc_products VALUES {items};"
    )


def write_ratings(folder: Path, _: Server) -> None:
    lines = [
        f"{who},{what},{1 + number % 5},{int(datetime.combine(day, time(12), tzinfo=UTC).timestamp())}"
        for who, what, day, number in events()
    ]
    (folder / "ratings.csv").write_text("\n".join(["userId,movieId,rating,timestamp", *lines, ""]))


def write_pairs(folder: Path, _: Server) -> None:
    lines = sorted({f"{who},{what}" for who, what, _, _ in events()})
    (folder / "pairs.csv").write_text("\n".join(["user,item", *lines, ""]))


def write_sequences(folder: Path, _: Server) -> None:
    lines = [f"{who},{what},{number}" for who, what, _, number in events()]
    (folder / "sequences.csv").write_text("\n".join(["user,item,position", *lines, ""]))


WRITERS: dict[str, Callable[[Path, Server], None]] = {
    "CSV, a file a day": write_csv,
    "Parquet, several types of events, no catalogue": write_parquet,
    "A table of a database": write_tables,
    "Ratings": write_ratings,
    "Pairs without times": write_pairs,
    "Positions without times": write_sequences,
}


def test_the_page_has_a_test_for_each_recipe() -> None:
    assert set(recipes()) == set(WRITERS)
    assert all(
        {*blocks} == {"shop.toml", "sources/interactions.sql", "sources/items.sql"} for blocks in recipes().values()
    )


def test_the_page_names_every_column_of_the_contract_with_its_type() -> None:
    for table, columns in CONTRACT.items():
        text = PAGE.split(f"\n## {table}\n")[1].split("\n## ")[0]
        told = re.findall(r"^\| `(\w+)` \| ([A-Z]+)", text, re.M)
        assert told == [(name, kind.upper()) for name, kind in columns.items()]


@pytest.mark.parametrize("title", WRITERS)
def test_a_recipe_lands_as_it_stands_there(
    spark: SparkSession, postgres: Server, lake: Lake, tmp_path: Path, title: str
) -> None:
    data, folder = tmp_path / "data", tmp_path / "shops" / "recipe"
    data.mkdir()
    (folder / "sources").mkdir(parents=True)
    blocks = recipes()[title]
    WRITERS[title](data, postgres)
    # What stands above the first table belongs to the whole file.
    top, tables = COMMON.split("\n", 1)
    for name, text in {**blocks, "shop.toml": f"{top}\n{blocks['shop.toml']}\n{tables}"}.items():
        (folder / name).write_text(text, encoding="utf-8")
    shop = load_shop(tmp_path / "shops", "recipe")
    lake = replace(lake, clock=shop.calendar.clock)
    since, until = lake.clock.span(date(2026, 1, 1), date(2026, 1, 29))
    of_database = "jdbc" in blocks["shop.toml"]
    receipt: Receipt = run(
        since,
        until,
        shop=shop,
        warehouse=Warehouse(
            spark,
            shop,
            postgres.url if of_database else str(data),
            postgres.user,
            postgres.password if of_database else "",
        ),
        key=PseudonymKey(b"a key for these tests", "k1"),
        suites=REPOSITORY / "expectations",
        spark=spark,
        lake=lake,
        validator=GreatExpectations(),
    )
    wanted = len({(who, what) for who, what, _, _ in events()}) if "Pairs" in title else PEOPLE * DAYS
    assert (receipt.rows, receipt.items, receipt.quarantined) == (wanted, ITEMS, 0)
    assert tomllib.loads(blocks["shop.toml"])["calendar"]["first_day"] == date(2026, 1, 1)
    days = lake.days("interactions", since, until)
    assert len([day for day in days if day.rows]) == DAYS
