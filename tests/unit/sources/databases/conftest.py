"""The shop whose orders are in a database, and the database."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.orders_database import MAPPING, ShopWriter
from support.postgres_server import Server

from refit.config import Shop, load_shop


@pytest.fixture
def make_shop(write_shop: ShopWriter) -> Callable[..., Shop]:
    """Give what loads a corner shop whose orders are in a database; `keys` are further lines of the source."""

    def make(table: str = 'dbtable = "orders"', keys: str = 'time_column = "at"', calendar: str = "") -> Shop:
        files = (
            'format = "csv"\npath = "{DATA}/orders/{day}.csv"\n'
            'columns = "customer STRING, sku STRING, at STRING, pieces STRING"\n'
            'options = { header = "true", mode = "FAILFAST" }'
        )
        database = f'format = "jdbc"\noptions = {{ url = "{{DATA}}", {table} }}\n{keys}'
        closed = 'closed_weekdays = ["sunday"]'
        return load_shop(
            write_shop(replace={files: database, closed: f"{closed}\n{calendar}"}, sources={"interactions": MAPPING}),
            "corner",
        )

    return make


@pytest.fixture
def orders(postgres: Server) -> Server:
    """Give the server with four days of orders, one every minute; those of the fifth of January are inside."""
    postgres.sql(
        """
        DROP TABLE IF EXISTS orders CASCADE;
        CREATE TABLE orders (customer text, sku text, at timestamptz, pieces integer);
        INSERT INTO orders
        SELECT CASE WHEN at >= '2026-01-05 00:00+00' AND at < '2026-01-06 00:00+00' THEN 'inside-' ELSE 'outside-' END
               || to_char(at AT TIME ZONE 'UTC', 'DDHH24MI'), 'tea', at, 1
        FROM generate_series(timestamptz '2026-01-03 12:00+00', '2026-01-07 11:59+00', interval '1 minute') AS at;
        """
    )
    return postgres
