"""`make shop`: what is guessed from names and contents, and that a drafted shop lands as it is."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from support.postgres_server import Server

from infra.demo.draft import tell
from pipelines import draft_shop, land_interactions, wiring
from pipelines.__main__ import main
from pipelines.settings import REPOSITORY
from refit.adapters.expectations import GreatExpectations
from refit.config import Shop, load_shop
from refit.errors import ConfigurationError, SourceError
from refit.lake.lake import Lake
from refit.lake.pseudonyms import PseudonymKey
from refit.shop_drafts import tables_of_folder
from refit.shop_drafts.event_types import event_types
from refit.shop_drafts.roles import Column, roles
from refit.shop_drafts.times import time_format
from refit.sources import Warehouse

KEY = PseudonymKey(b"a key for these tests", "k1")


# --- times -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "examples", "sql", "zoned"),
    [
        ("string", ["2010-12-01 08:26:00"], "CAST(try_to_timestamp({}) AS TIMESTAMP_NTZ)", False),
        ("string", ["2026-01-05T10:00:00Z", "2026-01-05T10:00:00+02:00"], "try_to_timestamp({})", True),
        ("string", ["05.01.2026 10:00"], "CAST(try_to_timestamp({}, 'd.M.yyyy H:m') AS TIMESTAMP_NTZ)", False),
        ("string", ["1/31/2026"], "CAST(try_to_timestamp({}, 'M/d/yyyy') AS TIMESTAMP_NTZ)", False),
        ("string", ["20260105"], "CAST(try_to_timestamp({}, 'yyyyMMdd') AS TIMESTAMP_NTZ)", False),
        ("string", ["978300760"], "timestamp_seconds(try_cast({} AS BIGINT))", True),
        ("bigint", ["1483228800000"], "timestamp_millis({})", True),
        ("date", ["2026-01-05"], "CAST({} AS TIMESTAMP_NTZ)", False),
        ("timestamp", ["2026-01-05 10:00:00"], "{}", True),
        ("timestamp_ntz", ["2026-01-05 10:00:00"], "{}", False),
    ],
)
def test_a_column_of_times_is_known_by_how_it_is_written(kind: str, examples: list[str], sql: str, zoned: bool) -> None:
    found = time_format(kind, examples)
    assert found is not None
    assert (found.sql, found.zoned, found.question) == (sql, zoned, "")


@pytest.mark.parametrize("examples", [["12"], ["A17", "B4"], ["1999"], ["2026-01-05", "tomorrow"], []])
def test_what_is_no_time_is_not_taken_for_one(examples: list[str]) -> None:
    assert time_format("string", examples) is None


def test_days_and_months_that_may_be_exchanged_are_asked_about() -> None:
    found = time_format("string", ["1/2/2026 10:00", "3/4/2026 9:30"])
    assert found is not None
    assert found.question == "The data fit d/M/yyyy H:m and M/d/yyyy H:m alike: which one is it?"


# --- roles -------------------------------------------------------------------------------------------


def columns(**kinds: str) -> list[Column]:
    """Return columns of a table of 1,000 rows, described as `text`, `number`, `time`, `few` or `id`."""
    time_of_day = time_format("timestamp", [])
    given: dict[str, dict[str, Any]] = {
        "text": {"kind": "string", "distinct": 400},
        "number": {"kind": "string", "distinct": 50, "numbers": 1.0, "least": 1.0, "most": 9.0},
        "time": {"kind": "timestamp", "distinct": 900, "time": time_of_day},
        "few": {"kind": "string", "distinct": 3, "values": ("buy", "cart", "view")},
        "truth": {"kind": "boolean", "distinct": 2, "values": ("false", "true")},
        "id": {"kind": "string", "distinct": 1_000},
    }
    return [Column(name=name.replace("__", " "), filled=1.0, **given[kind]) for name, kind in kinds.items()]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            columns(InvoiceNo="text", StockCode="text", Description="text", Quantity="number", InvoiceDate="time")
            + columns(UnitPrice="number", CustomerID="number", Country="few"),
            "order=InvoiceNo item=StockCode title=Description value=Quantity time=InvoiceDate price=UnitPrice "
            "user=CustomerID segment=Country",
        ),
        (
            columns(userId="number", movieId="number", rating="number", timestamp="time"),
            "user=userId item=movieId value=rating time=timestamp",
        ),
        (
            columns(event_id="id", customer="text", sku="text", action="few", happened_at="time", unit_price="number"),
            "event=event_id user=customer item=sku type=action time=happened_at price=unit_price",
        ),
        (
            columns(visitorid="text", event="few", itemid="text", ts="time"),
            "user=visitorid type=event item=itemid time=ts",
        ),
        (
            columns(sku="id", name="text", category="few", price="number", in_stock="truth", listed_on="time"),
            "item=sku title=name category=category price=price available=in_stock listed_at=listed_on",
        ),
        (columns(customer="id", consent="truth", country="few"), "user=customer consent=consent segment=country"),
        (
            columns(Customer__ID="text", Product__Code="text", Order__Date="time"),
            "user=Customer ID item=Product Code time=Order Date",
        ),
        (columns(user="text", item="text", position="number"), "user=user item=item position=position"),
    ],
)
def test_roles_are_told_from_names_and_contents(table: list[Column], expected: str) -> None:
    found = {role: column.name for role, column in roles(table, 1_000).items() if role != "listed_at" or column.time}
    wanted = dict(pair.split("=") for pair in re.split(r" (?=\w+=)", expected))
    assert {role: found.get(role) for role in wanted} == wanted


def test_types_of_events_get_weights_by_their_words() -> None:
    found = event_types(["add_to_cart", "purchase", "remove_from_cart", "refund", "view (PDP)", "4"])
    assert found.weights == {"purchase": 1.0, "add_to_cart": 0.6, "type_4": 0.5, "view_pdp": 0.2}
    assert (found.relevant, found.bought, found.cancellation) == (("purchase",), ("purchase",), "refund")
    assert (found.dropped, found.unknown) == (("remove_from_cart",), ("type_4",))


# --- tables ------------------------------------------------------------------------------------------


def put(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(gzip.compress(text.encode(), mtime=0) if name.endswith(".gz") else text.encode("latin-1"))
    return folder


def test_files_become_tables(tmp_path: Path) -> None:
    folder = put(
        tmp_path,
        {
            "orders/2026-01-05.csv.gz": "who,what\na,b\n",
            "orders/2026-01-06.csv.gz": "who,what\na,b\n",
            "Stock List.csv": "sku;name\nb;caf\xe9\n",
            "clicks/day=2026-01-05/part-0.jsonl": "{}",
            "clicks/day=2026-01-06/part-0.jsonl": "{}",
            "more/a.tsv": "x\ty\n1\t2\n",
            "more/b.tsv": "x\ty\n1\t2\n",
            "more/_SUCCESS": "",
            ".hidden/c.csv": "x\n",
            "empty.csv": "",
        },
    )
    found = {table.name: (table.format, table.path, table.partition) for table in tables_of_folder(folder)}
    assert found == {
        "orders": ("csv", "{DATA}/orders/{day}.csv.gz", ""),
        "stock_list": ("csv", "{DATA}/Stock List.csv", ""),
        "clicks": ("json", "{DATA}/clicks", "day"),
        "more": ("csv", "{DATA}/more/*.tsv", ""),
    }
    options = {table.name: table.options for table in tables_of_folder(folder)}
    assert (options["stock_list"]["sep"], options["stock_list"]["encoding"]) == (";", "windows-1252")
    assert "encoding" not in options["orders"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"notes.md": "x"}, "there is nothing to read in "),
        ({"a.csv": "1,2,3\n4,5,6\n"}, "a.csv names no columns, it is '1,2,3'; put a line of names first"),
    ],
)
def test_a_folder_that_cannot_be_drafted_is_one_sentence(tmp_path: Path, files: dict[str, str], said: str) -> None:
    with pytest.raises(SourceError, match=re.escape(said)):
        tables_of_folder(put(tmp_path, files))


# --- whole shops -------------------------------------------------------------------------------------

FIRST = date(2026, 1, 5)
PEOPLE, ITEMS = 30, 12


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def instant(when: date) -> datetime:
    return datetime.combine(when, time(), tzinfo=UTC)


@dataclass
class Door:
    """The step, and the landing of what it has drafted."""

    spark: SparkSession
    lake: Lake
    folder: Path

    def draft(self, source: str, *, login: dict[str, str] | None = None) -> tuple[draft_shop.Receipt, Shop]:
        shops = self.folder / "shops"
        receipt = draft_shop.run("first", source, "UTC", shops=shops, spark=self.spark, login=login or {})
        return receipt, load_shop(shops, "first")

    def land(self, shop: Shop, source: str, *, login: dict[str, str] | None = None) -> land_interactions.Receipt:
        login = login or {}
        return land_interactions.run(
            instant(shop.calendar.first_day),
            instant(shop.first_run.as_of),
            shop=shop,
            warehouse=Warehouse(self.spark, shop, source, login.get("user", ""), login.get("password", "")),
            key=KEY,
            suites=REPOSITORY / "expectations",
            spark=self.spark,
            lake=self.lake,
            validator=GreatExpectations(),
        )


@pytest.fixture
def door(spark: SparkSession, lake: Lake, tmp_path: Path) -> Door:
    return Door(spark, lake, tmp_path)


def orders(folder: Path) -> str:
    """
    Write three weeks of a gift shop, a gzip CSV a day, closed on Saturdays and on one more day.

    Of each day two lines are cancelled by a later order, one is of nobody, one repeats another, one corrects the stock.
    """
    for number in range(22):
        when = day(number)
        if when.weekday() == 5 or number == 15:
            continue
        rest = "2.55,{},France"
        lines = [
            f"5{number:03d}{n},{10000 + n % ITEMS}A,WHITE CUP {n % ITEMS},{1 + n % 3},{when} {8 + n % 9:02d}:26:00,"
            + rest.format(f"{17000 + n}.0")
            for n in range(PEOPLE)
        ]
        lines += [
            f"C{number:03d}{n},{10000 + n}A,WHITE CUP {n},-1,{when} 18:00:00,2.55,{17000 + n}.0,France" for n in (1, 2)
        ]
        lines += [
            lines[0],
            lines[4].replace("17004.0", ""),
            lines[5].replace(",3,", ",-5,").replace("17005.0", "17006.0"),
        ]
        text = "\n".join(
            ["InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country", *lines, ""]
        )
        put(folder, {f"{when}.csv.gz": text})
    return str(folder)


def test_daily_orders_with_cancellations_are_drafted_and_land(door: Door) -> None:
    source = orders(door.folder / "data")
    receipt, shop = door.draft(source)
    assert shop.calendar.closed_weekdays == ("saturday",)
    assert shop.calendar.closed_days == (day(15),)
    assert (shop.calendar.first_day, shop.calendar.last_day, shop.calendar.time_zone) == (day(0), day(21), "UTC")
    assert (shop.events.weights, shop.events.cancellation, shop.cleaning.cancellations) == (
        {"purchase": 1.0},
        "cancellation",
        True,
    )
    assert (shop.als.seed, shop.evaluation.seed) == (20260105, 20260105)
    assert 10 <= shop.validation.min_rows_per_open_day <= PEOPLE
    told = " ".join(receipt.questions)
    for part in (
        "whose clock are they",
        "InvoiceNo begins with C",
        "name nobody in CustomerID",
        "read off the events",
        "who consents",
    ):
        assert part in told
    assert receipt.next == f"make run SHOP=first DATA={source}"
    landed = door.land(shop, source)
    days = 22 - 3 - 1
    # One line of each day repeats another, two were taken back and net to fewer units.
    assert landed.items == ITEMS
    assert landed.quarantined == 0
    assert landed.removed["exact_repeats"] == days
    assert landed.rows_in == days * (PEOPLE + 2 + 1)

    with pytest.raises(ConfigurationError, match="exists already and is left as it is; choose another NAME"):
        door.draft(source)


def test_parquet_events_with_products_and_customers_are_drafted_and_land(door: Door) -> None:
    folder = door.folder / "data"
    actions = ("view", "view (PDP)", "add_to_cart", "purchase")
    for number in range(14):
        rows = [
            {
                "event_id": f"e{number}-{n}",
                "customer": n,
                "sku": f"s{(n + number) % ITEMS}",
                "action": actions[n % 4],
                "happened_at": instant(day(number)) + timedelta(hours=9, minutes=n),
                "quantity": 1 if n % 4 == 3 else None,
                "device": "phone" if n % 2 else "desk",
            }
            for n in range(PEOPLE)
        ]
        place = folder / "events" / f"day={day(number)}"
        place.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows), place / "part-0.parquet", coerce_timestamps="us")
    products = [
        {"sku": f"s{n}", "name": f"Cup {n}", "category": "ab"[n % 2], "price": n + 0.5, "in_stock": n > 0}
        for n in range(ITEMS)
    ]
    pq.write_table(pa.Table.from_pylist(products), folder / "products.parquet")
    customers = [{"customer": n, "consent": n % 10 != 0, "country": "Eire"} for n in range(PEOPLE)]
    pq.write_table(pa.Table.from_pylist(customers), folder / "customers.parquet")

    receipt, shop = door.draft(str(folder))
    assert shop.events.weights == {"purchase": 1.0, "add_to_cart": 0.6, "view": 0.2, "view_pdp": 0.2}
    assert (shop.events.relevant, shop.events.bought, shop.events.key) == (("purchase",), ("purchase",), ("event_id",))
    assert {name: source.path for name, source in shop.sources.items()} == {
        "events": "{DATA}/events",
        "products": "{DATA}/products.parquet",
        "customers": "{DATA}/customers.parquet",
    }
    assert "sources/users.sql" in receipt.files
    landed = door.land(shop, str(folder))
    assert (landed.rows, landed.items, landed.people) == (14 * PEOPLE * 9 // 10, ITEMS, PEOPLE * 9 // 10)
    assert landed.quarantined == 0


def test_ratings_are_drafted_and_land(door: Door) -> None:
    lines = [
        f"{n},{(n + number) % ITEMS},{n % 6 / 2},{int((instant(day(number)) + timedelta(hours=n % 20)).timestamp())}"
        for number in range(0, 30, 3)
        for n in range(PEOPLE)
    ]
    folder = put(door.folder / "data", {"ratings.csv": "\n".join(["userId,movieId,rating,timestamp", *lines, ""])})
    put(
        folder,
        {
            "movies.csv": "\n".join(
                ["movieId,title,genres", *[f'{n},"Film, part {n}",Drama|War' for n in range(ITEMS)], ""]
            )
        },
    )
    receipt, shop = door.draft(str(folder))
    assert (shop.events.weights, shop.events.bought) == ({"rating": 1.0}, ())
    assert (shop.calendar.empty_days_are_normal, shop.calendar.closed_days) == (True, ())
    told = " ".join(receipt.questions)
    assert "Nothing happened on 18 of the 28 days from 2026-01-05 to 2026-02-01" in told
    assert "shall the model predict them" in told
    assert "so 1 is added to rating" in told
    landed = door.land(shop, str(folder))
    assert (landed.rows, landed.items, landed.quarantined) == (10 * PEOPLE, ITEMS, 0)


@pytest.mark.parametrize("position", [True, False])
def test_pairs_without_times_are_drafted_and_land(door: Door, position: bool) -> None:
    rows = [
        {"user": f"u{n}", "item": f"i{(n * 5 + number) % 40}", **({"position": number} if position else {})}
        for n in range(40)
        for number in range(28)
    ]
    source = str(put(door.folder / "data", {"plays.jsonl": "\n".join(map(json.dumps, rows))}))
    receipt, shop = door.draft(source)
    how = "in the order of position" if position else "by chance, always the same"
    assert f"spread over 28 days, {how}" in " ".join(receipt.questions)
    landed = door.land(shop, source)
    assert (landed.rows, landed.items, landed.quarantined) == (len(rows), 40, 0)


def test_a_table_of_postgresql_is_drafted_and_lands(door: Door, postgres: Server) -> None:
    rows = ", ".join(
        f"('c{n}', 's{(n + number) % ITEMS}', {1 + n % 3}, '{day(number)} 1{n % 10}:00:00')"
        for number in range(10)
        for n in range(PEOPLE)
    )
    postgres.sql(
        "DROP TABLE IF EXISTS draft_orders;"
        "CREATE TABLE draft_orders (customer text, sku text, quantity int, ordered_at timestamp);"
        f"INSERT INTO draft_orders VALUES {rows}"
    )
    login = {"user": postgres.user, "password": postgres.password}
    receipt, shop = door.draft(f"{postgres.url}#draft_orders", login=login)
    assert shop.sources["draft_orders"].time_column == "ordered_at"
    assert shop.sources["all_draft_orders"].time_column is None
    assert receipt.next == f"make run SHOP=first DATA={postgres.url}"
    landed = door.land(shop, postgres.url, login=login)
    assert (landed.rows, landed.items, landed.quarantined) == (10 * PEOPLE, ITEMS, 0)
    assert postgres.password not in "".join(
        path.read_text() for path in (door.folder / "shops").rglob("*.*") if path.is_file()
    )


def test_the_first_shop_of_all_is_drafted_by_the_command_line(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is no shop yet that a deployment could serve, not even the one that settings name without being asked."""
    lines = [f"u{n},i{n % 3},2026-01-0{5 + n % 2} 10:00:00" for n in range(6)]
    folder = put(tmp_path / "data", {"orders.csv": "\n".join(["customer,sku,ordered_at", *lines, ""])})
    monkeypatch.setenv("REFIT_SHOPS", str(tmp_path / "shops"))
    monkeypatch.delenv("REFIT_SHOP", raising=False)
    monkeypatch.setattr(wiring, "spark_without_shop", lambda step: spark)
    assert main(["draft_shop", "name=first", f"source={folder}", "time_zone=Europe/London"]) == 0
    receipt = json.loads(capsys.readouterr().out)
    assert (receipt["events"], receipt["next"]) == (6, f"make run SHOP=first DATA={folder}")
    assert load_shop(tmp_path / "shops", "first").calendar.time_zone == "Europe/London"


def test_data_without_people_or_items_are_one_sentence(door: Door) -> None:
    source = put(door.folder / "data", {"log.csv": "colour,size\nred,1\n"})
    with pytest.raises(
        SourceError, match=r"no table has both a column of people and one of items.*log has colour"
    ) as refusal:
        door.draft(str(source))
    assert "docs/data.md" in str(refusal.value)
    assert not (door.folder / "shops" / "first").exists()


@pytest.mark.parametrize(
    ("name", "source", "zone", "said"),
    [
        ("My-Shop", "data", "UTC", "'My-Shop' cannot name a shop"),
        ("mine", "nowhere", "UTC", "nowhere is no folder; give FROM=folder"),
        ("mine", "jdbc:postgresql://db/shop", "UTC", "name them: FROM='jdbc:postgresql://db/shop#orders,products'"),
        ("mine", ".", "Mars/Base", "'Mars/Base' is no time zone"),
    ],
)
def test_what_cannot_be_drafted_is_said_before_anything_is_read(
    tmp_path: Path, name: str, source: str, zone: str, said: str
) -> None:
    nobody: Any = None
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        draft_shop.run(name, source, zone, shops=tmp_path, spark=nobody, login={})


def test_a_person_is_told_the_next_command_last() -> None:
    told = tell(
        {
            **{"folder": "shops/x", "files": ["shop.toml"], "first_day": "2026-01-05", "last_day": "2026-02-08"},
            **{"events": 1234, "questions": ["Is that right?"], "next": "make run SHOP=x DATA=data"},
        }
    )
    assert told.splitlines()[1:] == [
        "1,234 events from 2026-01-05 to 2026-02-08 can be landed",
        *["questions, which stand in the files as well:", "  - Is that right?", "next: make run SHOP=x DATA=data"],
    ]
