"""
Cancellations: events that cancel earlier events of the same person and item, the latest first.

Within a day they are netted when the day is landed. Cancellations of orders from earlier days are netted when history
is read as of a later instant, because the day of the order must keep what was known on that day.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from refit.columns import Columns
from refit.config import Events

_LEFT = "_left"
_DUST = 1e-9
"""Remainders below this count as 0, because sums of decimals are not exact."""


def cancel(rows: DataFrame, same: Sequence[str], events: Events) -> DataFrame:
    """
    Return *rows* with their remaining values, and flags: `_altered` if partly cancelled, `_gone` if fully cancelled.

    *same* are the columns that a cancellation and its orders share. Rows that already have a status are ignored.
    """
    netted = _left(rows, same, events, taking_part=F.col(Columns.FATE).isNull())
    touched, gone = _touched(), _gone()
    return (
        netted.withColumn("_gone", gone)
        .withColumn("_altered", touched & ~gone)
        .withColumn(Columns.VALUE, F.when(F.col("_altered"), F.col(_LEFT)).otherwise(F.col(Columns.VALUE)))
        .drop(_LEFT)
    )


def without_cancelled(interactions: DataFrame, events: Events) -> DataFrame:
    """
    Return *interactions* without cancelled quantities and without the cancellations themselves.

    The caller has removed everything at or after its as-of instant, so that later cancellations have no effect.
    """
    if events.cancellation is None:
        return interactions
    netted = _left(interactions, [Columns.USER, Columns.ITEM], events, taking_part=F.lit(True))
    return (
        netted.where((F.col(Columns.EVENT_TYPE) != events.cancellation) & ~_gone())
        .withColumn(Columns.VALUE, F.coalesce(_LEFT, Columns.VALUE))
        .drop(_LEFT)
    )


def _touched() -> Column:
    """Return a column that is true for events cancelled in part or in full, and false, never null, for others."""
    return F.coalesce(F.col(_LEFT) < F.col(Columns.VALUE) - _DUST, F.lit(False))


def _gone() -> Column:
    """Return a column that is true for events cancelled in full, and false, never null, for others."""
    return _touched() & (F.col(_LEFT) <= _DUST)


def _left(rows: DataFrame, same: Sequence[str], events: Events, *, taking_part: Column) -> DataFrame:
    """
    Add the remaining part of each value; null for events that neither cancel nor can be cancelled.

    It is also null for an order without a value, and a cancellation without a value cancels nothing.

    Walk back in time carrying the quantity not yet matched to an order: a cancellation adds q, an order of v takes up
    to v. The carry c = max(0, c' + d) with d = q or -v has the closed form S - min(0, min S) over running sums S of d
    (Lindley 1952), so that windows suffice. Quantity that no order takes stays with the earliest cancellations.
    """
    kind, value = F.col(Columns.EVENT_TYPE), F.col(Columns.VALUE)
    cancels = taking_part & (kind == events.cancellation)
    cancelled = taking_part & kind.isin(*events.cancels)
    back = Window.partitionBy(*same).orderBy(
        # Of events at one moment the order counts as earlier, so it comes last on the way back.
        F.col(Columns.EVENT_TIME).desc(),
        F.when(cancels, 0).otherwise(1),
        value,
    )
    so_far = back.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    whole = back.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing)
    # Nulls would make the running sums null until the first number.
    amount = F.coalesce(value, F.lit(0.0))
    quantity = F.when(cancels, amount).otherwise(0.0)
    step = F.when(cancels, amount).when(cancelled, -amount).otherwise(0.0)
    walked = (
        rows.withColumn("_sum", F.sum(step).over(so_far))
        .withColumn("_carry", F.col("_sum") - F.least(F.lit(0.0), F.min("_sum").over(so_far)))
        .withColumn("_before", F.lag("_carry", 1, 0.0).over(back))
        .withColumn("_waiting", F.last("_carry").over(whole))
        .withColumn("_earlier", F.sum(quantity).over(whole) - F.sum(quantity).over(so_far))
    )
    waits = F.least(amount, F.greatest(F.lit(0.0), F.col("_waiting") - F.col("_earlier")))
    left = F.when(cancels, waits).when(cancelled, value - (F.col("_before") - F.col("_carry")))
    return walked.withColumn(_LEFT, left).drop("_sum", "_carry", "_before", "_waiting", "_earlier")
