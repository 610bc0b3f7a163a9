"""Repeated events, and people with too many events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql.types import MapType, StructType

from refit.columns import Columns
from refit.row_hashes import row_hash


def repeats(
    rows: DataFrame,
    same: Sequence[str],
    *,
    order: Literal["newest", "oldest"] | None = None,
    named: Sequence[str] = (),
) -> Column:
    """
    Return a column that is true for all but one of the events without a status that agree on every column of *same*.

    *order* says which event stays if they differ in other columns; an event with a null in *named* is never a repeat.
    """
    rank = F.row_number().over(Window.partitionBy(*same).orderBy(*_order(rows, order)))
    comparable = F.lit(True)
    for column in named:
        comparable = comparable & F.col(column).isNotNull()
    return comparable & (rank > 1)


def newest(rows: DataFrame, same: Sequence[str], most: int) -> Column:
    """Return a column that is true for all but the newest *most* events without a status that agree on *same*."""
    return F.row_number().over(Window.partitionBy(*same).orderBy(*_order(rows, "newest"))) > most


def _order(rows: DataFrame, order: Literal["newest", "oldest"] | None) -> list[Column]:
    # Events that already have a status come last, so that they displace no other event.
    still_in = F.col(Columns.FATE).isNotNull()
    if order is None:
        return [still_in]
    time = F.col(Columns.EVENT_TIME)
    own = StructType(
        [
            part
            for part in rows.schema.fields
            if not part.name.startswith("_") and not isinstance(part.dataType, MapType)
        ]
    )
    # The hashes break ties the same way on every machine; the second covers events that differ only in where nulls are.
    ties = [F.xxhash64(*sorted(own.names)), row_hash(own)]
    return [still_in, time.desc() if order == "newest" else time.asc(), *ties]
