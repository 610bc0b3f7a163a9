"""Reading the orders of a shop from a real PostgreSQL server, as the tests of this folder ask for it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from support.postgres_server import Server

from refit.config import Shop
from refit.errors import RefitError, SourceError
from refit.sources import Warehouse, explained

ShopWriter = Callable[..., Path]

SINCE, UNTIL = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC)
MAPPING = """
    SELECT customer AS user_id, sku AS item_id, 'purchase' AS event_type, at AS event_time,
           CAST(pieces AS DOUBLE) AS value
    FROM orders
"""
COLUMNS = "customer STRING, sku STRING, at TIMESTAMP, pieces INT"


def warehouse(spark: SparkSession, shop: Shop, server: Server, url: str | None = None) -> Warehouse:
    return Warehouse(spark, shop, url or server.url, server.user, server.password)


def read(
    raw: Warehouse, since: datetime = SINCE, until: datetime = UNTIL, table: str = "interactions"
) -> list[tuple[object, ...]]:
    with explained("landing"):
        frame = raw.read(table, since=since, until=until)
        assert frame is not None
        return sorted(tuple(row) for row in frame.collect())


def refusal(raw: Warehouse, kind: type[RefitError] = SourceError) -> str:
    with pytest.raises(RefitError) as found:
        read(raw)
    message = str(found.value)
    assert type(found.value) is kind, message
    assert "\n" not in message
    assert not raw.password or raw.password not in message
    return message
