"""A shop whose orders have any format, path and columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from refit.config import Shop, load_shop

ShopWriter = Callable[..., Path]

DECLARED = "customer STRING, sku STRING, at TIMESTAMP, pieces INT"
MAPPING = """
    SELECT customer AS user_id, sku AS item_id, 'purchase' AS event_type, CAST(at AS TIMESTAMP) AS event_time,
           CAST(pieces AS DOUBLE) AS value
    FROM orders
"""


@pytest.fixture
def make_shop(write_shop: ShopWriter) -> Callable[..., Shop]:
    """Give what loads a corner shop whose orders have any format, path and columns."""

    def make(form: str, path: str, columns: str | None = DECLARED, options: str = "") -> Shop:
        declared = f'columns = "{columns}"\n' if columns else ""
        orders = 'format = "csv"\npath = "{DATA}/orders/{day}.csv"\n'
        old = (
            f'{orders}columns = "customer STRING, sku STRING, at STRING, pieces STRING"\noptions = {{ header = "true", '
        )
        return load_shop(
            write_shop(
                replace={
                    f'{old}mode = "FAILFAST" }}': f'format = "{form}"\npath = "{path}"\n{declared}'
                    + (f"options = {{ {options} }}" if options else "")
                },
                sources={"interactions": MAPPING},
            ),
            "corner",
        )

    return make
