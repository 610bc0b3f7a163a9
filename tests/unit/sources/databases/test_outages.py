"""A database that goes away while it is read."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

from pyspark.sql import SparkSession
from support.orders_database import read, warehouse
from support.postgres_server import Server, serving

from refit.config import Shop
from refit.errors import TransientError
from refit.sources import Warehouse

SLOW = 'query = "SELECT customer, sku, at, pieces, pg_sleep(30)::text AS pause FROM orders"'
ASLEEP = "FROM pg_stat_activity WHERE wait_event = 'PgSleep'"


def reading(raw: Warehouse) -> tuple[threading.Thread, list[BaseException]]:
    """Read in another thread and keep what it raises."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            read(raw)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, raised


def wait_until_asleep(server: Server) -> None:
    """Wait until a query of Spark is under way."""
    deadline = time.monotonic() + 60
    while server.sql(f"SELECT count(*) {ASLEEP}") == "0":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_server_that_is_killed_while_it_is_read_is_worth_another_try(
    spark: SparkSession, make_shop: Callable[..., Shop]
) -> None:
    with serving() as server:
        server.sql(
            "CREATE TABLE orders (customer text, sku text, at timestamptz, pieces integer);"
            "INSERT INTO orders SELECT 'ann', 'tea', '2026-01-05 10:00+00', n FROM generate_series(1, 9) AS n"
        )
        thread, raised = reading(warehouse(spark, make_shop(SLOW), server))
        wait_until_asleep(server)
        server.kill()
        thread.join(timeout=60)
        assert not thread.is_alive()
    (error,) = raised
    assert isinstance(error, TransientError)
    assert re.fullmatch(
        r"landing: the database went away or does not answer "
        r"\((Connection to 127\.0\.0\.1:\d+ refused|An I/O error .*|.* administrator command)\); "
        r"try again when it is back",
        str(error),
    )


def test_a_session_that_is_ended_again_and_again_is_worth_another_try(
    spark: SparkSession, make_shop: Callable[..., Shop], orders: Server
) -> None:
    """Spark itself tries four times; a single broken connection is mended without a word."""
    thread, raised = reading(warehouse(spark, make_shop(SLOW, keys=""), orders))
    wait_until_asleep(orders)
    ended = 0
    while thread.is_alive():
        ended += orders.sql(f"SELECT pg_terminate_backend(pid) {ASLEEP}").count("t")
        time.sleep(0.05)
    (error,) = raised
    assert ended >= 4
    assert isinstance(error, TransientError)
    assert str(error) == (
        "landing: the database went away or does not answer (terminating connection due to administrator command); "
        "try again when it is back"
    )
