"""Events that are told more than once, and people of whom there is too much."""

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
    Return what is true for all but one of the events that are still in and equal in every column of *same*.

    *order* says which one stays where they may differ otherwise; an event with a null in *named* repeats nothing.
    """
    place = F.row_number().over(Window.partitionBy(*same).orderBy(*_order(rows, order)))
    comparable = F.lit(True)
    for column in named:
        comparable = comparable & F.col(column).isNotNull()
    return comparable & (place > 1)


def newest(rows: DataFrame, same: Sequence[str], most: int) -> Column:
    """Return what is true for all but the newest *most* of the events that are still in and equal in *same*."""
    return F.row_number().over(Window.partitionBy(*same).orderBy(*_order(rows, "newest"))) > most


def _order(rows: DataFrame, order: Literal["newest", "oldest"] | None) -> list[Column]:
    # Events that have already left come last, so that they push nobody out.
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
    # The hashes settle ties the same way on every machine, the second where events differ only in where nulls are.
    ties = [F.xxhash64(*sorted(own.names)), row_hash(own)]
    return [still_in, time.desc() if order == "newest" else time.asc(), *ties]
