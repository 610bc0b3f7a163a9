"""What crosses the wire when a database is read over JDBC: the asked interval, each row once, in portions."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from pyspark.sql import SparkSession
from support.orders_database import SINCE, UNTIL, read, warehouse
from support.postgres_server import Server

from refit.config import Shop


class Wire:
    """Stands between Spark and the server and keeps every byte that the server sends."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sent: list[bytes] = []
        self._counting = threading.Lock()
        self._open = 0
        self.most_open = 0
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"jdbc:postgresql://127.0.0.1:{self._listener.getsockname()[1]}/postgres"

    @property
    def markers(self) -> list[str]:
        """The customers that the server has sent, once every connection has ended."""
        deadline = time.monotonic() + 30
        while self._open:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return sorted(marker.decode() for marker in re.findall(rb"(?:in|out)side-\d+", b"".join(self._sent)))

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._port))
            with self._counting:
                self._open += 1
                self.most_open = max(self.most_open, self._open)
            threading.Thread(target=self._pump, args=(client, server, None), daemon=True).start()
            threading.Thread(target=self._pump, args=(server, client, self._sent), daemon=True).start()

    def _pump(self, origin: socket.socket, target: socket.socket, kept: list[bytes] | None) -> None:
        mine: list[bytes] = []
        while part := _received(origin):
            mine.append(part)
            target.sendall(part)
        if kept is not None:
            with self._counting:
                kept.append(b"".join(mine))  # whole connections, so that no marker is cut by a packet
                self._open -= 1
        target.close()

    def close(self) -> None:
        self._listener.close()


def _received(origin: socket.socket) -> bytes:
    try:
        return origin.recv(65536)
    except OSError:
        return b""


@pytest.fixture
def wire(orders: Server) -> Iterator[Wire]:
    between = Wire(orders.cluster.port)
    yield between
    between.close()


def test_only_the_asked_interval_crosses_the_wire(
    spark: SparkSession, make_shop: Callable[..., Shop], orders: Server, wire: Wire
) -> None:
    """Of 5,760 orders the 1,440 of the day are sent, each of them once, by one query a slice."""
    rows = read(warehouse(spark, make_shop(keys='time_column = "at"\nslices = 7'), orders, wire.url))
    expected = sorted(f"inside-05{hour:02}{minute:02}" for hour in range(24) for minute in range(60))
    assert [row[0] for row in rows] == expected
    assert wire.markers == expected


def test_without_a_time_column_the_whole_table_crosses_the_wire(
    spark: SparkSession, make_shop: Callable[..., Shop], orders: Server, wire: Wire
) -> None:
    """The proof above can fail."""
    read(warehouse(spark, make_shop(keys=""), orders, wire.url))
    assert len(wire.markers) == 5_760


def test_several_connections_fetch_side_by_side(
    spark: SparkSession, make_shop: Callable[..., Shop], orders: Server, wire: Wire
) -> None:
    """Each query takes at least 0.4 s, so two at a time overlap on the two cores of the tests."""
    slow = 'query = "SELECT orders.* FROM orders, (SELECT pg_sleep(0.4)) AS pause"'
    assert len(read(warehouse(spark, make_shop(slow), orders, wire.url))) == 1_440
    assert wire.most_open >= 2


@pytest.mark.parametrize("count", [1, 4, 13])
def test_slices_neither_overlap_nor_leave_gaps(
    spark: SparkSession, make_shop: Callable[..., Shop], orders: Server, count: int
) -> None:
    """Also where the interval cannot be divided: the rows at both its ends and at every cut come once."""
    shop = make_shop(keys=f'time_column = "at"\nslices = {count}')
    since, until = SINCE + timedelta(minutes=1), UNTIL - timedelta(minutes=2, seconds=7)
    rows = read(warehouse(spark, shop, orders), since, until)
    assert len(rows) == len(set(rows)) == 1_437
    assert (rows[0][0], rows[-1][0]) == ("inside-050001", "inside-052357")


def test_a_large_table_is_fetched_in_portions(
    spark: SparkSession, make_shop: Callable[..., Shop], orders: Server
) -> None:
    """PostgreSQL's driver holds the whole answer in memory unless it is told how many rows to fetch at a time."""
    read(warehouse(spark, make_shop(), orders))
    assert "log_statement" in orders.sql("SELECT name FROM pg_settings WHERE name = 'log_statement'")
    orders.sql("ALTER SYSTEM SET log_statement = 'all'; SELECT pg_reload_conf()")
    try:
        shop = make_shop('dbtable = "orders", fetchsize = "100"', keys="")
        assert len(read(warehouse(spark, shop, orders))) == 5_760
    finally:
        orders.sql("ALTER SYSTEM RESET log_statement; SELECT pg_reload_conf()")
    fetches = re.findall(r"execute fetch from", (orders.cluster.folder.parent / "log").read_text())
    assert len(fetches) >= 57
