"""The contract: times on the shop's clock become UTC, and what a mapping may not give is named."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from refit.config import load_shop
from refit.errors import ConfigurationError
from refit.sources.contract import conform

ShopWriter = Callable[..., Path]


def events(spark: SparkSession, *times: str, kind: str = "TIMESTAMP_NTZ", more: str = "") -> DataFrame:
    """Return one event for each time, with further columns if *more* says so."""
    rows = ", ".join(f"CAST('{time}' AS {kind})" for time in times)
    return spark.sql(
        "SELECT 'ann' AS user_id, 'tea' AS item_id, 'buy' AS event_type, 'Leeds' AS town, 1.0D AS value, "
        f"event_time {more} FROM (SELECT explode(array({rows})) AS event_time)"
    )


def landed(frame: DataFrame) -> list[tuple[str | None, str | None]]:
    """Return event_time, as UTC, and local_time of every row."""
    rows = frame.selectExpr("CAST(event_time AS STRING)", "local_time").collect()
    return [(row[0], row[1]) for row in rows]


@pytest.mark.parametrize(
    ("zone", "clock", "utc"),
    [
        ("Europe/London", "2011-01-15 12:00:00", "2011-01-15 12:00:00"),
        ("Europe/London", "2011-07-15 12:00:00", "2011-07-15 11:00:00"),
        ("Europe/London", "2011-03-27 00:59:59.999999", "2011-03-27 00:59:59.999999"),
        ("Europe/London", "2011-03-27 01:00:00", None),
        ("Europe/London", "2011-03-27 01:59:59.999999", None),
        ("Europe/London", "2011-03-27 02:00:00", "2011-03-27 01:00:00"),
        ("Europe/London", "2011-10-30 00:59:59", "2011-10-29 23:59:59"),
        ("Europe/London", "2011-10-30 01:00:00", "2011-10-30 00:00:00"),
        ("Europe/London", "2011-10-30 01:59:59", "2011-10-30 00:59:59"),
        ("Europe/London", "2011-10-30 02:00:00", "2011-10-30 02:00:00"),
        ("Asia/Kolkata", "2026-01-05 05:29:59", "2026-01-04 23:59:59"),
        ("America/Sao_Paulo", "2018-11-04 00:30:00", None),
        ("Pacific/Apia", "2011-12-30 12:00:00", None),
        ("UTC", "2026-01-05 00:00:00", "2026-01-05 00:00:00"),
    ],
)
def test_a_time_on_the_shop_s_clock_becomes_utc(spark: SparkSession, zone: str, clock: str, utc: str | None) -> None:
    """
    What the clock said is kept. It skips an hour in spring, and Samoa skipped a whole day.

    In autumn an hour happens twice and is taken for the earlier one, so an hour of UTC gets nothing.
    """
    assert landed(conform(events(spark, clock), "interactions", time_zone=zone)) == [(utc, clock)]


def test_the_order_of_columns_is_contract_context_clock(spark: SparkSession) -> None:
    frame = conform(events(spark, "2026-01-05 10:00:00"), "interactions", time_zone="UTC")
    assert frame.dtypes == [
        ("user_id", "string"),
        ("item_id", "string"),
        ("event_type", "string"),
        ("event_time", "timestamp"),
        ("value", "double"),
        ("town", "string"),
        ("local_time", "string"),
    ]


@pytest.mark.parametrize("zone", [None, "Europe/London"])
def test_a_time_that_has_a_zone_is_an_instant_already(spark: SparkSession, zone: str | None) -> None:
    frame = events(spark, "2026-07-05 10:00:00+02:00", kind="TIMESTAMP")
    assert landed(conform(frame, "interactions", time_zone=zone)) == [("2026-07-05 08:00:00", None)]


def test_a_time_that_did_not_parse_stays_null(spark: SparkSession) -> None:
    """Unlike a skipped hour it has no clock time either, so that the two can be told apart."""
    frame = spark.sql(
        "SELECT 'ann' AS user_id, 'tea' AS item_id, 'buy' AS event_type, 1.0D AS value, "
        "try_cast('soon' AS TIMESTAMP_NTZ) AS event_time"
    )
    assert landed(conform(frame, "interactions", time_zone="Europe/London")) == [(None, None)]


def test_a_clock_without_a_zone_is_refused(spark: SparkSession) -> None:
    with pytest.raises(ConfigurationError) as found:
        conform(events(spark, "2026-01-05 10:00:00"), "interactions")
    assert str(found.value) == (
        "the mapping of interactions gives event_time as timestamp_ntz, a time on a clock whose zone is not known; "
        'set time_zone in [calendar] of shop.toml, e.g. time_zone = "Europe/London"'
    )


def test_other_tables_have_no_clock(spark: SparkSession) -> None:
    """A catalogue has one entry an item, so its mapping says itself what its times mean."""
    items = spark.sql(
        "SELECT 'tea' AS item_id, 'Tea' AS title, 'drinks' AS category, 1.0D AS price, true AS available, "
        "TIMESTAMP_NTZ'2026-01-05 10:00:00' AS listed_at"
    )
    with pytest.raises(ConfigurationError, match="gives listed_at as timestamp_ntz, the contract wants timestamp"):
        conform(items, "items", time_zone="Europe/London")
    fitting = items.withColumn("listed_at", items["listed_at"].cast("timestamp"))
    assert conform(fitting, "items").columns == ["item_id", "title", "category", "price", "available", "listed_at"]


@pytest.mark.parametrize("name", ["local_time", "source_day", "event_date", "item_known", "broken", "fate", "changed"])
def test_a_name_that_refit_uses_itself_is_refused(spark: SparkSession, name: str) -> None:
    frame = events(spark, "2026-01-05 10:00:00", more=f", 'mine' AS {name}")
    with pytest.raises(ConfigurationError) as found:
        conform(frame, "interactions", time_zone="UTC")
    assert str(found.value) == (
        f"the mapping of interactions gives {name}, a name that Refit uses itself; "
        "rename it in sources/interactions.sql"
    )


@pytest.mark.parametrize("name", ["Europe/Lodnon", "BST+1", "", "../passwd", "Europe", "localtime"])
def test_a_zone_that_does_not_exist_is_refused_when_the_shop_is_loaded(write_shop: ShopWriter, name: str) -> None:
    closed = 'closed_weekdays = ["sunday"]'
    with pytest.raises(ConfigurationError) as found:
        load_shop(write_shop(replace={closed: f'{closed}\ntime_zone = "{name}"'}), "corner")
    assert str(found.value).endswith(
        f"shop.toml cannot be used: [calendar] time_zone cannot be used: {name!r} is no time zone; "
        "use a name of the IANA database such as Europe/London"
    )


@pytest.mark.parametrize("name", ["Europe/London", "America/Argentina/Ushuaia", "UTC", "Asia/Kathmandu"])
def test_python_and_spark_know_the_same_zones(spark: SparkSession, write_shop: ShopWriter, name: str) -> None:
    closed = 'closed_weekdays = ["sunday"]'
    shop = load_shop(write_shop(replace={closed: f'{closed}\ntime_zone = "{name}"'}), "corner")
    assert shop.calendar.time_zone == name
    moment = datetime.fromisoformat(
        landed(conform(events(spark, "2026-01-05 12:00:00"), "interactions", time_zone=name))[0][0] or ""
    )
    offsets = {"Europe/London": 0, "America/Argentina/Ushuaia": 3, "UTC": 0, "Asia/Kathmandu": -5.75}
    assert (moment.hour + moment.minute / 60) - 12 == offsets[name]
