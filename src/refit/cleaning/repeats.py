"""Events that are told more than once, and people of whom there is too much."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from refit.columns import Columns


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
    own = [name for name, kind in rows.dtypes if not name.startswith("_") and not kind.startswith("map")]
    # The hash settles ties the same way on every machine.
    return [still_in, time.desc() if order == "newest" else time.asc(), F.xxhash64(*sorted(own))]
