"""Catalogue values that the previous snapshot had and the new one lost (null now)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from refit.columns import Columns
from refit.config import Shop


def catalogue_parameters(shop: Shop) -> dict[str, Any]:
    """Return the $PARAMETER values of the suite of items."""
    limits = shop.validation
    return {"max_price": limits.max_price, "min_priced_share": limits.min_priced_share}


def values_lost(before: DataFrame, now: DataFrame) -> dict[str, tuple[int, int]]:
    """
    Return column -> (items that had a value in *before* and have none in *now*, items of both that had one).

    Columns without a loss are left out. Both frames have one row per item; items in only one frame do not count.
    """
    columns = [name for name in now.columns if name in before.columns and name != Columns.ITEM]
    was = {name: f"_was_{position}" for position, name in enumerate(columns)}
    old = before.select(Columns.ITEM, *[F.col(f"`{name}`").isNotNull().alias(short) for name, short in was.items()])
    counts = [
        count
        for name, short in was.items()
        for count in (F.count_if(F.col(short) & F.col(f"`{name}`").isNull()), F.count_if(F.col(short)))
    ]
    row = (
        now.join(old, Columns.ITEM)
        .agg(*[count.alias(f"_{position}") for position, count in enumerate(counts)])
        .collect()[0]
    )
    found = {name: (int(row[2 * position]), int(row[2 * position + 1])) for position, name in enumerate(columns)}
    return {name: counted for name, counted in found.items() if counted[0]}


def describe_values_lost(lost: Mapping[str, tuple[int, int]], day: str) -> list[str]:
    """Return a warning for each column of `values_lost` against the snapshot of *day*."""
    return [
        f"items: {column}: {without:,} of {had:,} items that had a value in the snapshot of {day} have none now; "
        "what try_cast cannot read becomes null, so mend the source or sources/items.sql if that is not meant"
        for column, (without, had) in lost.items()
    ]
