"""What the times of a database mean: with a zone, without one, on the clock of the shop."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pyspark.sql import SparkSession
from support.orders_database import MAPPING, read, refusal, warehouse
from support.postgres_server import Server

from refit.config import Shop
from refit.errors import ConfigurationError


def test_times_with_a_zone_are_instants(spark: SparkSession, make_shop: Callable[..., Shop], postgres: Server) -> None:
    """Half past midnight in Athens is still the day before in UTC, whatever zone the server's users prefer."""
    postgres.sql(
        """
        DROP TABLE IF EXISTS orders CASCADE;
        CREATE TABLE orders (customer text, sku text, at timestamptz, pieces integer);
        INSERT INTO orders VALUES ('early', 'tea', '2026-01-05 00:30+02', 1), ('on', 'tea', '2026-01-05 02:00+02', 1),
                                  ('late', 'tea', '2026-01-06 01:59:59.999999+02', 1), ('none', 'tea', NULL, 1);
        ALTER ROLE refit SET timezone = 'Asia/Tokyo';
        """
    )
    try:
        rows = read(warehouse(spark, make_shop(), postgres))
    finally:
        postgres.sql("ALTER ROLE refit RESET timezone")
    midnight = datetime(2026, 1, 5)  # noqa: DTZ001  as Spark gives it, in UTC
    assert [(row[0], row[3], row[5]) for row in rows] == [
        ("late", midnight + timedelta(days=1) - timedelta(microseconds=1), None),
        ("on", midnight, None),
    ]


CLOCK = """
    DROP TABLE IF EXISTS orders CASCADE;
    CREATE TABLE orders (customer text, sku text, at timestamp, pieces integer);
    INSERT INTO orders SELECT to_char(at, 'MM-DD HH24:MI'), 'tea', at, 1
    FROM generate_series(timestamp '2026-03-27 00:30', '2026-03-31 23:30', interval '1 hour') AS at;
"""


def test_times_without_a_zone_are_read_on_the_clock_of_the_shop(
    spark: SparkSession, make_shop: Callable[..., Shop], postgres: Server
) -> None:
    """
    On 30 March 2026 London is an hour ahead of UTC, so the day in UTC begins at one o'clock there.

    Two hours more are fetched than the interval has, for the nights when a clock is set back; landing drops them.
    """
    postgres.sql(CLOCK)
    shop = make_shop(calendar='time_zone = "Europe/London"')
    since, until = datetime(2026, 3, 30, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC)
    rows = read(warehouse(spark, shop, postgres), since, until)
    assert [row[0] for row in rows] == [
        *[f"03-30 {hour:02}:30" for hour in range(1, 24)],
        *[f"03-31 {hour:02}:30" for hour in range(3)],
    ]
    first = rows[0]
    assert (first[3], first[5]) == (datetime(2026, 3, 30, 0, 30), "2026-03-30 01:30:00")  # noqa: DTZ001


def test_a_time_that_the_clock_skipped_is_fetched_and_null(
    spark: SparkSession, make_shop: Callable[..., Shop], postgres: Server
) -> None:
    """At one o'clock on 29 March 2026 London went on to two."""
    postgres.sql(CLOCK)
    shop = make_shop(calendar='time_zone = "Europe/London"')
    since, until = datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 3, 30, tzinfo=UTC)
    rows = read(warehouse(spark, shop, postgres), since, until)
    assert [(row[0], row[5]) for row in rows if row[3] is None] == [("03-29 01:30", "2026-03-29 01:30:00")]


def test_times_without_a_zone_need_to_know_the_clock(
    spark: SparkSession, make_shop: Callable[..., Shop], postgres: Server
) -> None:
    postgres.sql(CLOCK)
    assert refusal(warehouse(spark, make_shop(), postgres), ConfigurationError) == (
        "the mapping of interactions gives event_time as timestamp_ntz, a time on a clock whose zone is not known; "
        'set time_zone in [calendar] of shop.toml, e.g. time_zone = "Europe/London"'
    )


def test_a_mapping_that_converts_by_itself_gets_everything_that_any_clock_may_mean(
    spark: SparkSession, make_shop: Callable[..., Shop], postgres: Server
) -> None:
    """Fourteen hours more at both ends, as with files that are named by a local day."""
    postgres.sql(CLOCK)
    shop = make_shop()
    converted = "to_utc_timestamp(CAST(at AS TIMESTAMP), 'Europe/London') AS event_time"
    (shop.folder / "sources" / "interactions.sql").write_text(MAPPING.replace("at AS event_time", converted))
    since, until = datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 3, 30, tzinfo=UTC)
    rows = read(warehouse(spark, shop, postgres), since, until)
    assert (rows[0][0], rows[-1][0], len(rows)) == ("03-28 10:30", "03-30 13:30", 52)
