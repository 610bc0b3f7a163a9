"""Tables that are as declared and tables that are not; databases that are declared wrongly."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from support.orders_database import COLUMNS, ShopWriter, read, refusal, warehouse
from support.postgres_server import Server

from refit.config import Shop, load_shop
from refit.errors import ConfigurationError
from refit.sources import Warehouse


def test_a_table_that_is_as_declared_is_read(
    spark: SparkSession, make_shop: Callable[..., Shop], postgres: Server
) -> None:
    postgres.sql(
        """
        DROP TABLE IF EXISTS orders CASCADE;
        CREATE TABLE orders (customer varchar(20), sku char(3), at timestamptz, pieces integer);
        INSERT INTO orders VALUES ('ann', 'tea', '2026-01-05 10:00+00', 2);
        """
    )
    rows = read(warehouse(spark, make_shop(keys=f'time_column = "at"\ncolumns = "{COLUMNS}"'), postgres))
    assert [row[:2] for row in rows] == [("ann", "tea")]


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        (
            "customer text, sku text, at timestamptz, number integer",
            "'pieces' (int) is missing, 'number' (int) is not declared (renamed?)",
        ),
        ("customer text, sku text, at timestamptz", "'pieces' (int) is missing"),
        (
            "customer text, sku text, at timestamptz, pieces integer, colour text",
            "'colour' (string) is not declared",
        ),
        ("customer text, sku text, at timestamptz, pieces text", "'pieces' is string instead of int"),
        ("customer text, sku text, at timestamp, pieces integer", "'at' is timestamp_ntz instead of timestamp"),
    ],
    ids=["renamed", "missing", "extra", "retyped", "without zone"],
)
def test_a_table_with_other_columns_is_refused(
    spark: SparkSession, make_shop: Callable[..., Shop], postgres: Server, table: str, complaint: str
) -> None:
    postgres.sql(f"DROP TABLE IF EXISTS orders CASCADE; CREATE TABLE orders ({table})")
    shop = make_shop(keys=f'time_column = "at"\ncolumns = "{COLUMNS}"')
    assert refusal(warehouse(spark, shop, postgres)) == (
        f"source 'orders' differs from its `columns` in orders: {complaint}; "
        "mend it there, or correct `columns` in shop.toml"
    )


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        ("when", "source 'orders' has no column 'when', its time_column, but customer, sku, at, pieces; correct it"),
        (
            "pieces",
            "time_column 'pieces' of source 'orders' is int; name a column of timestamps, "
            "or leave time_column out and the source is read whole",
        ),
    ],
)
def test_a_time_column_must_be_one(
    spark: SparkSession, make_shop: Callable[..., Shop], orders: Server, column: str, sentence: str
) -> None:
    shop = make_shop(keys=f'time_column = "{column}"')
    assert refusal(warehouse(spark, shop, orders), ConfigurationError) == sentence


def test_another_database_is_asked_in_its_own_words(
    spark: SparkSession, make_shop: Callable[..., Shop], tmp_path: Path
) -> None:
    """Derby, which Spark brings along: names are in capitals there, and its times have no zone."""
    spark._jvm.java.lang.System.setProperty("derby.stream.error.file", str(tmp_path / "derby.log"))
    url, driver = "jdbc:derby:memory:refit;create=true", "org.apache.derby.jdbc.EmbeddedDriver"
    times = [datetime(2026, 1, 4, 23, 59, 59), datetime(2026, 1, 5), datetime(2026, 1, 5, 23, 59, 59, 900_000)]  # noqa: DTZ001
    rows = [(f"c{number}", "tea", at, 1) for number, at in enumerate([*times, datetime(2026, 1, 6, 3)])]  # noqa: DTZ001
    frame = spark.createDataFrame(rows, "customer STRING, sku STRING, at TIMESTAMP, pieces INT")
    frame.write.format("jdbc").options(url=url, dbtable="ORDERS", driver=driver).save()
    shop = make_shop(f'dbtable = "ORDERS", driver = "{driver}"', calendar='time_zone = "UTC"')
    rows_read = read(Warehouse(spark, shop, url))
    assert [(row[0], row[3]) for row in rows_read] == [("c1", times[1]), ("c2", times[2])]


@pytest.mark.parametrize(
    ("table", "keys", "sentence"),
    [
        (
            'dbtable = "orders", password = "pw"',
            "",
            "no password belongs in shop.toml; set REFIT_SOURCE_PASSWORD",
        ),
        ('dbtable = "orders", query = "SELECT 1"', "", "the options url and either dbtable or query"),
        ('fetchsize = "7"', "", "the options url and either dbtable or query"),
        ('dbtable = "orders"', 'path = "{DATA}"', "a jdbc source has no path"),
    ],
)
def test_a_database_that_is_declared_wrongly_is_refused_when_the_shop_is_loaded(
    make_shop: Callable[..., Shop], table: str, keys: str, sentence: str
) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(sentence)) as found:
        make_shop(table, keys)
    assert "pw" not in str(found.value)


def test_a_time_column_is_for_databases(write_shop: ShopWriter) -> None:
    path = 'path = "{DATA}/stock.csv"'
    with pytest.raises(ConfigurationError, match=r"time_column is for jdbc sources; files are chosen by \{day\}"):
        load_shop(write_shop(replace={path: f'{path}\ntime_column = "at"'}), "corner")
