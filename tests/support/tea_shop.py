"""A tea shop whose lake is written down row by row, so that every list can be worked out by hand."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from refit.adapters.folder import FolderObjectStore
from refit.lake.lake import Lake, Landed
from refit.model.item_factors import ItemFactors

AS_OF = datetime(2026, 2, 1, tzinfo=UTC)
JULY = datetime(2025, 7, 1, 12, tzinfo=UTC)
"""Long before the recent days."""

ITEMS: dict[str, tuple[str | None, float | None, bool]] = {
    "assam": ("tea", 4.0, True),
    "bowl": ("cup", 9.0, True),
    "chai": ("tea", 6.0, True),
    "darjeeling": ("tea", 8.0, True),
    "earl grey": ("tea", 5.0, True),
    "flask": ("cup", 20.0, True),
    "ghost": ("tea", 5.0, False),
    "new mug": ("cup", 7.0, True),
    "new pot": ("cup", 30.0, True),
    "new tin": (None, 3.0, True),
}
"""Item -> category, price and whether it is available. The model knows all but the new ones."""

USERS: dict[str, str | None] = {
    **{f"fr{n}": "FR" for n in range(4)},
    **{f"de{n}": "DE" for n in range(3)},
    "it0": "IT",
    "cold fr": "FR",
    "cold de": "DE",
    "cold it": "IT",
    "cold": None,
}
"""Person -> country. Those who are cold never bought anything."""

BOUGHT: list[tuple[str, str, datetime]] = [
    *[(f"fr{n}", "assam", JULY) for n in range(4)],
    *[(f"fr{n}", "chai", datetime(2026, 1, 20, 10, n, tzinfo=UTC)) for n in range(4)],
    ("fr0", "bowl", datetime(2026, 1, 21, 10, tzinfo=UTC)),
    *[(f"de{n}", "earl grey", datetime(2026, 1, 22, 10, n, tzinfo=UTC)) for n in range(3)],
    ("de0", "bowl", datetime(2026, 1, 23, 10, tzinfo=UTC)),
    ("it0", "flask", datetime(2026, 1, 23, 11, tzinfo=UTC)),
    *[(name, "new mug", datetime(2026, 1, 24, 10, tzinfo=UTC)) for name in ("fr0", "fr1", "de0")],
    *[(name, "new tin", datetime(2026, 1, 25, 10, tzinfo=UTC)) for name in ("fr2", "de1")],
    ("it0", "new pot", datetime(2026, 1, 25, 11, tzinfo=UTC)),
]
"""Who bought what: lately chai 4, earl grey 3, new mug 3, bowl 2, new tin 2, flask 1, new pot 1, by 8 people."""

SHOP = """
[lists]
k = 4
[lists.gate]
min_filled = 0.0
min_catalogue = 0.0
max_flat = 1.0
"""

_SCHEMAS = {
    "interactions": "user_id string, item_id string, event_type string, event_time timestamp, value double, "
    "event_date date",
    "items": "item_id string, title string, category string, price double, available boolean, listed_at timestamp",
    "users": "user_id string, consent boolean, country string",
}


@dataclass(frozen=True)
class TeaShop:
    """A lake and what lands in it."""

    spark: SparkSession
    lake: Lake

    @classmethod
    def empty(cls, spark: SparkSession, root: Path) -> TeaShop:
        return cls(spark, Lake(str(root), "catalog.json", FolderObjectStore(root)))

    def sell(self, events: Iterable[tuple[str, str, datetime]]) -> None:
        """Land purchases, each day as a landing of its own; days in between have none."""
        self.rate((person, item, when, 1.0) for person, item, when in events)

    def rate(self, events: Iterable[tuple[str, str, datetime, float | None]]) -> None:
        """Land purchases with the value that each person gave, as `sell` does."""
        self.tell((person, item, "purchase", when, value) for person, item, when, value in events)

    def tell(self, events: Iterable[tuple[str, str, str, datetime, float | None]]) -> None:
        """Land events of any type (person, item, type, time, value), as `sell` does."""
        days: dict[date, list[Any]] = {}
        for person, item, kind, when, value in events:
            days.setdefault(when.date(), []).append((person, item, kind, when, value, when.date()))
        for day, rows in days.items():
            self._land("interactions", day, rows)

    def stock(self, items: dict[str, tuple[str | None, float | None, bool]], until: datetime = AS_OF) -> None:
        """Land the catalogue as it stands just before *until*."""
        self._land("items", until.date(), [(name, name.title(), *facts, None) for name, facts in items.items()])

    def register(self, users: dict[str, str | None], until: datetime = AS_OF) -> None:
        """Land the people as they are known just before *until*."""
        self._land("users", until.date(), [(name, True, country) for name, country in users.items()])

    def agree(self, answers: Iterable[tuple[str, bool | None]], until: datetime) -> None:
        """Land the people and what each says to being learnt from, as they are known just before *until*."""
        self._land("users", until.date(), [(name, answer, None) for name, answer in answers])

    def _land(self, table: str, day: date, rows: list[Any]) -> None:
        landing = uuid4().hex[:8]
        path = f"{table}/landing={landing}"
        schema = StructType.fromDDL(_SCHEMAS[table])
        content = io.BytesIO()
        table_of_rows = pa.Table.from_pylist(
            [dict(zip(schema.names, row, strict=True)) for row in rows], schema=to_arrow_schema(schema, timezone="UTC")
        )
        pq.write_table(table_of_rows, content)
        self.lake.store.create(f"{path}/rows.parquet", content.getvalue())
        self.lake.commit(landing, {table: (schema, [Landed(day.isoformat(), path, len(rows), landing, landing)])})


def open_shop(spark: SparkSession, root: Path, *, people: bool = True) -> TeaShop:
    """Return the shop as it is on the first of February."""
    shop = TeaShop.empty(spark, root)
    shop.sell(BOUGHT)
    shop.sell([("fr3", "bowl", AS_OF - timedelta(minutes=1))])
    shop.stock(ITEMS)
    if people:
        shop.register(USERS)
    return shop


def tea_model(**changes: Any) -> ItemFactors:
    """Return a model in which each item stands alone but for a little that it shares with all others."""
    names = [name for name in ITEMS if not name.startswith("new")]
    made = ItemFactors(
        items=pa.array(names),
        factors=(np.eye(len(names)) + 0.1).astype(np.float32),
        people=np.arange(len(names), 0, -1),
        alpha=1.0,
        regularisation=0.1,
        facts={},
    )
    return replace(made, **changes)
