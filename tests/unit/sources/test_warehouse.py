"""Reading a warehouse: what is wrong with a file or a mapping is one sentence that names it and the remedy."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from refit.config import Shop, load_shop
from refit.errors import ConfigurationError, RefitError, SourceError
from refit.sources import Warehouse, explained

ShopWriter = Callable[..., Path]
OrderWriter = Callable[..., Path]

SINCE, UNTIL = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC)
LINES = ["ann,tea,2026-01-05 10:00:00,2", "ben,mug,2026-01-05 11:30:00,1"]


def read(
    spark: SparkSession, shop: Shop, data: Path | str, since: datetime = SINCE, until: datetime = UNTIL
) -> list[tuple[object, ...]]:
    with explained("landing"):
        frame = Warehouse(spark, shop, str(data)).read("interactions", since=since, until=until)
        assert frame is not None
        return sorted(tuple(row) for row in frame.collect())


def refusal(spark: SparkSession, shop: Shop, data: Path | str) -> str:
    """Return the one sentence with which reading is refused."""
    with pytest.raises(RefitError) as found:
        read(spark, shop, data)
    message = str(found.value)
    assert "\n" not in message
    assert len(message) < 600
    return message


@pytest.fixture
def shop(write_shop: ShopWriter) -> Shop:
    return load_shop(write_shop(), "corner")


def test_events_come_as_the_mapping_says(spark: SparkSession, shop: Shop, write_orders: OrderWriter) -> None:
    """Contract columns in their order and with their types; spark answers in the time zone of this machine."""
    data = write_orders("2026-01-05", LINES)
    rows = read(spark, shop, data)
    assert [(row[0], row[1], row[2], row[4]) for row in rows] == [
        ("ann", "tea", "purchase", 2.0),
        ("ben", "mug", "purchase", 1.0),
    ]
    times = [row[3].astimezone(UTC) for row in rows if isinstance(row[3], datetime)]
    assert times == [datetime(2026, 1, 5, 10, tzinfo=UTC), datetime(2026, 1, 5, 11, 30, tzinfo=UTC)]


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "not declared"])
def test_a_compressed_file_is_read_and_tells_its_day(
    spark: SparkSession, write_shop: ShopWriter, write_orders: OrderWriter, declared: bool
) -> None:
    columns = 'columns = "customer STRING, sku STRING, at STRING, pieces STRING"\n'
    shop = load_shop(write_shop(replace={"{day}.csv": "{day}.csv.gz", **({} if declared else {columns: ""})}), "corner")
    path = write_orders("2026-01-05", LINES) / "orders" / "2026-01-05.csv"
    path.with_suffix(".csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    rows = read(spark, shop, path.parent.parent)
    assert [(row[0], row[4], row[-1]) for row in rows] == [
        ("ann", 2.0, date(2026, 1, 5)),
        ("ben", 1.0, date(2026, 1, 5)),
    ]


def test_a_table_that_the_shop_does_not_have_is_none(spark: SparkSession, shop: Shop) -> None:
    assert Warehouse(spark, shop, "").read("users", since=SINCE, until=UNTIL) is None


def test_the_files_of_all_days_that_any_clock_may_mean_are_read(
    spark: SparkSession, shop: Shop, write_orders: OrderWriter
) -> None:
    """A file is named by a local date, so the days before and after belong to it; others are not even opened."""
    for number, name in [(3, "old"), (4, "before"), (5, "on"), (6, "after"), (7, "later")]:
        data = write_orders(f"2026-01-0{number}", [f"{name},tea,2026-01-0{number} 10:00:00,1"])
    assert {row[0] for row in read(spark, shop, data)} == {"before", "on", "after"}


def test_days_without_a_file_are_days_without_rows(spark: SparkSession, shop: Shop, write_orders: OrderWriter) -> None:
    data = write_orders("2025-06-01", LINES)
    assert read(spark, shop, data) == []


def test_a_day_without_a_file_needs_declared_columns(
    spark: SparkSession, write_shop: ShopWriter, write_orders: OrderWriter
) -> None:
    declared = 'columns = "customer STRING, sku STRING, at STRING, pieces STRING"\n'
    shop = load_shop(write_shop(replace={declared: ""}), "corner")
    message = refusal(spark, shop, write_orders("2025-06-01", LINES))
    assert message.startswith("source 'orders' has nothing at ")
    assert "{day}.csv for 2026-01-04 to 2026-01-06; land days that exist, or declare its columns" in message


def test_the_parameters_of_the_interval_are_instants(
    spark: SparkSession, write_shop: ShopWriter, write_orders: OrderWriter
) -> None:
    """Both ends in UTC, whatever the time zone of the machine."""
    query = """
        SELECT customer AS user_id, sku AS item_id, date_format(:since, 'yyyy-MM-dd HH:mm') AS event_type,
               :until AS event_time, 1.0D AS value, pieces
        FROM orders
    """
    shop = load_shop(write_shop(sources={"interactions": query}), "corner")
    rows = read(spark, shop, write_orders("2026-01-05", LINES[:1]))
    assert [row[2] for row in rows] == ["2026-01-05 00:00"]
    assert [row[3].astimezone(UTC) for row in rows if isinstance(row[3], datetime)] == [UNTIL]
    assert rows[0][5:6] == ("2",), "a column beyond the contract is kept as context"


@pytest.mark.parametrize(
    ("header", "lines", "parts"),
    [
        (
            "customer,sku,at,number",
            LINES,
            ["the column 'pieces' is missing or renamed in file:", "2026-01-05.csv", "'number'", "mend it"],
        ),
        (
            "customer,sku,at",
            ["ann,tea,2026-01-05 10:00:00"],
            ["the header in file:", "2026-01-05.csv has 3 columns and 4 are declared; compare it with `columns`"],
        ),
        (
            "customer,shop,sku,at,pieces",
            ["ann,7,tea,2026-01-05 10:00:00,1"],
            ["the header in file:", "2026-01-05.csv has 5 columns and 4 are declared; compare it with `columns`"],
        ),
        (
            "customer,sku,at,pieces",
            [*LINES, "cem,tea"],
            ["a row does not have the declared columns in file:", "2026-01-05.csv", "mend the file"],
        ),
    ],
    ids=["renamed", "missing", "extra", "short row"],
)
def test_a_file_that_is_not_as_declared_is_named(
    spark: SparkSession,
    shop: Shop,
    write_orders: OrderWriter,
    header: str,
    lines: list[str],
    parts: list[str],
) -> None:
    message = refusal(spark, shop, write_orders("2026-01-05", lines, header=header))
    assert [part for part in parts if part not in message] == [], message


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("customer,sku,at,pieces", "cem,tea,2026-01-05 10:00:00"),
        ("customer,sku,at", "cem,tea,2026-01-05 10:00:00"),
        ("customer,sku,at,number", "cem,tea,2026-01-05 10:00:00,1"),
    ],
    ids=["short row", "missing", "renamed"],
)
def test_a_column_that_the_mapping_does_not_use_is_declared_all_the_same(
    spark: SparkSession, write_shop: ShopWriter, write_orders: OrderWriter, header: str, line: str
) -> None:
    """Spark would skip it, and with it the sign that a row is cut short."""
    query = """
        SELECT customer AS user_id, sku AS item_id, 'buy' AS event_type, try_to_timestamp(at) AS event_time,
               1.0D AS value
        FROM orders
    """
    shop = load_shop(write_shop(sources={"interactions": query}), "corner")
    assert "2026-01-05.csv" in refusal(spark, shop, write_orders("2026-01-05", [line], header=header))


def test_a_column_that_is_renamed_in_one_of_many_files_is_found_there(
    spark: SparkSession, shop: Shop, write_orders: OrderWriter
) -> None:
    write_orders("2026-01-04", LINES)
    data = write_orders("2026-01-05", LINES, header="customer,sku,at,number")
    message = refusal(spark, shop, data)
    assert "2026-01-05.csv" in message
    assert "'pieces'" in message


def test_a_compressed_file_that_is_cut_short_is_named(
    spark: SparkSession, write_shop: ShopWriter, write_orders: OrderWriter
) -> None:
    shop = load_shop(write_shop(replace={"{day}.csv": "{day}.csv.gz"}), "corner")
    data = write_orders("2026-01-05", LINES)
    lines = [f"person {n},tea {n * n},2026-01-05 10:00:00,{n}" for n in range(1, 5_000)]
    whole = gzip.compress("\n".join(["customer,sku,at,pieces", *lines]).encode())
    (data / "orders" / "2026-01-05.csv.gz").write_bytes(whole[: len(whole) // 2])
    message = refusal(spark, shop, data)
    assert "the compressed file is cut short or damaged in file:" in message
    assert "2026-01-05.csv.gz; fetch it again" in message


def test_a_parquet_file_that_is_none_is_named(
    spark: SparkSession, write_shop: ShopWriter, write_orders: OrderWriter
) -> None:
    shop = load_shop(
        write_shop(replace={'format = "csv"\npath = "{DATA}/orders': 'format = "parquet"\npath = "{DATA}/orders'}),
        "corner",
    )
    message = refusal(spark, shop, write_orders("2026-01-05", LINES))
    assert "2026-01-05.csv" in message
    assert "\tat " not in message


def test_a_folder_that_does_not_exist_is_named(spark: SparkSession, shop: Shop, tmp_path: Path) -> None:
    message = refusal(spark, shop, tmp_path / "typo")
    assert message == (f"the folder {tmp_path}/typo that source 'orders' reads does not exist; correct DATA=folder")


def test_a_folder_that_was_not_given_is_asked_for(spark: SparkSession, shop: Shop) -> None:
    message = refusal(spark, shop, "")
    assert message == "source 'orders' reads from {DATA}, but no folder is given; set DATA=folder"


GOOD = "SELECT customer AS user_id, sku AS item_id, 'buy' AS event_type, CAST(at AS TIMESTAMP) AS event_time"


@pytest.mark.parametrize(
    ("query", "kind", "parts"),
    [
        (
            "SELECT customer AS user_id, sku AS item_id, at FROM ordrs",
            ConfigurationError,
            ["sources/interactions.sql of shop 'corner' names none of its sources"],
        ),
        (
            "SELECT o.customer AS user_id FROM orders o JOIN returns r ON o.sku = r.sku",
            SourceError,
            ["mapping interactions of shop 'corner'", "`returns`"],
        ),
        (
            f"{GOOD} FROM orders",
            ConfigurationError,
            ["lacks the column(s) value", "sources/interactions.sql"],
        ),
        (
            f"{GOOD}, pieces AS value FROM orders",
            ConfigurationError,
            ["value as string, the contract wants double", "try_cast"],
        ),
        (
            f"{GOOD}, colour AS value FROM orders",
            SourceError,
            ["mapping interactions of shop 'corner'", "`colour`"],
        ),
        ("SELEC customer FROM orders", SourceError, ["mapping interactions of shop 'corner'", "SELEC"]),
        (
            f"{GOOD}, 1.0D AS value FROM orders WHERE at >= :from",
            SourceError,
            ["mapping interactions of shop 'corner'", "from"],
        ),
    ],
    ids=["no source", "unknown source", "missing column", "wrong type", "unknown column", "no SQL", "no parameter"],
)
def test_a_mapping_that_cannot_be_right_is_named(
    spark: SparkSession,
    write_shop: ShopWriter,
    write_orders: OrderWriter,
    query: str,
    kind: type[Exception],
    parts: list[str],
) -> None:
    shop = load_shop(write_shop(sources={"interactions": query}), "corner")
    data = write_orders("2026-01-05", LINES)
    with pytest.raises(kind) as found:
        read(spark, shop, data)
    message = str(found.value)
    assert [part for part in parts if part not in message] == [], message
    assert "\n" not in message


def test_a_format_that_does_not_exist_is_named(
    spark: SparkSession, write_shop: ShopWriter, write_orders: OrderWriter
) -> None:
    shop = load_shop(
        write_shop(replace={'format = "csv"\npath = "{DATA}/orders': 'format = "cvs"\npath = "{DATA}/orders'}), "corner"
    )
    message = refusal(spark, shop, write_orders("2026-01-05", LINES))
    assert message.startswith("source 'orders': ")
    assert "cvs" in message


def test_no_view_is_left_behind(spark: SparkSession, shop: Shop, write_orders: OrderWriter) -> None:
    def temporary() -> set[str]:
        return {view.viewName for view in spark.sql("SHOW VIEWS").collect() if view.isTemporary}

    # The session is shared, and Great Expectations leaves a view of its own in it.
    spark.range(1).createOrReplaceTempView("of_somebody_else")
    before = temporary()
    read(spark, shop, write_orders("2026-01-05", LINES))
    assert temporary() == before
    assert "of_somebody_else" in before
    spark.catalog.dropTempView("of_somebody_else")


def test_errors_of_programs_are_not_dressed_as_errors_of_data() -> None:
    with pytest.raises(ZeroDivisionError), explained("landing"):
        1 / 0  # noqa: B018
