"""One Spark plan for all cleaning: a single shuffle by day and person serves the windows and the file layout."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from refit.cleaning.bots import looks_like_a_program
from refit.cleaning.cancellations import cancel
from refit.cleaning.duplicates import newest, repeats
from refit.cleaning.imputation import fill_missing
from refit.cleaning.normalisation import normalise
from refit.cleaning.outliers import largest_values
from refit.columns import Columns
from refit.config import Cleaning, Events

KEPT = "kept"
QUARANTINED = "quarantined"
_ROWS_A_TASK = 1_000_000
"""Number of rows that a task sorts in memory, and about the number of rows per file."""
_BUCKET = "_bucket"
CHECKED_ONLY = (
    Columns.EVENT_DATE,
    Columns.LOCAL_TIME,
    Columns.SOURCE_DAY,
    Columns.ITEM_KNOWN,
    Columns.BROKEN,
)
"""Columns of raw events that Refit adds for its checks."""


@dataclass(frozen=True)
class RowStatuses:
    """Rows with their status, null until one is assigned, and with flags for what was altered in them."""

    rows: DataFrame
    altered: tuple[str, ...] = ()

    def leave(self, kind: str, leaving: Column, *helpers: str) -> RowStatuses:
        """Set the status *kind* on rows without a status where *leaving* is true, and drop the columns *helpers*."""
        status = F.when(F.col(Columns.FATE).isNull() & leaving, F.lit(kind)).otherwise(F.col(Columns.FATE))
        return RowStatuses(self.rows.withColumn(Columns.FATE, status).drop(*helpers), self.altered)

    def alter(self, kind: str, rows: DataFrame) -> RowStatuses:
        """Return *rows*, which have the flag `_altered`, with the flag recorded under *kind*."""
        return RowStatuses(rows.withColumnRenamed("_altered", f"_{kind}"), (*self.altered, kind))

    def with_status(self) -> DataFrame:
        """Return the rows with `fate` (never null) and `changed`, an array that is null if nothing was altered."""
        kept = F.col(Columns.FATE).isNull()
        if self.altered:
            any_altered = F.lit(False)
            for kind in self.altered:
                any_altered = any_altered | F.col(f"_{kind}")
            names = F.array_compact(F.array(*[F.when(F.col(f"_{kind}"), F.lit(kind)) for kind in self.altered]))
            changed = F.when(kept & any_altered, names)
        else:
            changed = F.lit(None).cast("array<string>")
        return (
            self.rows.withColumn(Columns.CHANGED, changed)
            .withColumn(Columns.FATE, F.coalesce(Columns.FATE, F.lit(KEPT)))
            .drop(*[f"_{kind}" for kind in self.altered])
        )


def clean(intake: DataFrame, *, rows: int, days: int, cleaning: Cleaning, events: Events) -> DataFrame:
    """
    Return every row of *intake* with `fate` and `changed`, laid out by day and person for writing.

    *intake* holds *rows* raw events of *days* days with `event_date` and `broken`. It is read several times, so it
    should be stored in files. Rows that break a rule are quarantined and do not affect other rows.
    """
    good = intake.where(F.col(Columns.BROKEN).isNull())
    # Person and time come first: they decide nearly every comparison of two rows.
    own = [Columns.USER, Columns.EVENT_TIME, *(name for name in intake.columns if name not in CHECKED_ONLY)]
    statuses = RowStatuses(
        intake.withColumn(Columns.FATE, F.when(F.col(Columns.BROKEN).isNotNull(), F.lit(QUARANTINED)))
    )
    if cleaning.normalise.text or cleaning.normalise.divide_value_by:
        statuses = statuses.alter("normalised", normalise(statuses.rows, cleaning.normalise))
    partition, laid_out = _lay_out(statuses.rows, rows, days)
    statuses = RowStatuses(laid_out, statuses.altered)
    most, programs = _busy_people(good, cleaning)
    if programs is not None:
        marked = statuses.rows.join(F.broadcast(programs), [Columns.EVENT_DATE, Columns.USER], "left")
        statuses = RowStatuses(marked, statuses.altered).leave("bots", F.coalesce("_bot", F.lit(False)), "_bot")
    if cleaning.exact_repeats:
        statuses = statuses.leave("exact_repeats", repeats(statuses.rows, list(dict.fromkeys([*partition, *own]))))
    if cleaning.keyed_repeats:
        same, order = [*partition, Columns.USER, *events.key], cleaning.keyed_repeats
        statuses = statuses.leave("keyed_repeats", repeats(statuses.rows, same, order=order, named=events.key))
    if cleaning.cancellations and not good.where(F.col(Columns.EVENT_TYPE) == F.lit(events.cancellation)).isEmpty():
        cancelled = cancel(statuses.rows, [*partition, Columns.USER, Columns.ITEM], events)
        statuses = statuses.alter("partly_cancelled", cancelled).leave("cancelled", F.col("_gone"), "_gone")
    statuses = _tame_outliers(statuses, good, cleaning)
    cap = cleaning.max_events_per_person
    if cap and most > cap:
        # The cap comes after all other removals, so that removed events do not count against it.
        statuses = statuses.leave("over_the_cap", newest(statuses.rows, [*partition, Columns.USER], cap))
    for column, how in cleaning.impute.items():
        statuses = statuses.alter(f"imputed_{column}", fill_missing(statuses.rows, good, column, how))
    return (
        statuses.with_status()
        .withColumn(Columns.LOCAL_TIME, F.when(F.col(Columns.FATE) != KEPT, F.col(Columns.LOCAL_TIME)))
        .drop(_BUCKET, Columns.SOURCE_DAY)
        .sortWithinPartitions(Columns.EVENT_DATE, Columns.FATE, Columns.USER, Columns.EVENT_TIME)
    )


def _lay_out(rows: DataFrame, count: int, days: int) -> tuple[list[str], DataFrame]:
    """Return the partition columns (the day, or a part of its people) and the rows repartitioned by them."""
    buckets = math.ceil(count / max(days, 1) / _ROWS_A_TASK)
    tasks = max(rows.sparkSession.sparkContext.defaultParallelism, math.ceil(count / _ROWS_A_TASK))
    if buckets <= 1:
        return [Columns.EVENT_DATE], rows.repartition(tasks, Columns.EVENT_DATE)
    partition = [Columns.EVENT_DATE, _BUCKET]
    bucketed = rows.withColumn(_BUCKET, F.pmod(F.xxhash64(Columns.USER), F.lit(buckets)))
    return partition, bucketed.repartition(tasks, *partition)


def _busy_people(good: DataFrame, cleaning: Cleaning) -> tuple[int, DataFrame | None]:
    """
    Return the largest number of events in a person-day, 0 if no one is busy, and the person-days that look automated.

    These have the columns event_date, user_id and `_bot` (true); None if bots are not checked or none can exist.
    """
    cap, bots = cleaning.max_events_per_person, cleaning.bots
    least = min([bots.min_events] if bots else [], default=math.inf)
    least = min(least, cap + 1 if cap else math.inf)
    if least == math.inf:
        return 0, None
    day = [Columns.EVENT_DATE, Columns.USER]
    busy = good.groupBy(*day).agg(F.count(F.lit(1)).alias("_events")).where(F.col("_events") >= least).persist()
    try:
        most = busy.agg(F.max("_events")).collect()[0][0] or 0
        if bots is None or most < bots.min_events:
            return most, None
        suspects = busy.where(F.col("_events") >= bots.min_events)
        programs = looks_like_a_program(good.join(F.broadcast(suspects), day, "left_semi"), bots)
        return most, programs.withColumn("_bot", F.lit(True))
    finally:
        busy.unpersist()


def _tame_outliers(statuses: RowStatuses, good: DataFrame, cleaning: Cleaning) -> RowStatuses:
    if cleaning.outliers is None:
        return statuses
    limits = largest_values(good, cleaning.outliers)
    joined = statuses.rows.join(F.broadcast(limits), [Columns.EVENT_DATE, Columns.EVENT_TYPE], "left")
    beyond = F.coalesce(F.col(Columns.VALUE) > F.col("_largest"), F.lit(False))
    if cleaning.outliers.method == "robust_z":
        return RowStatuses(joined, statuses.altered).leave("outliers", beyond, "_largest")
    lowered = joined.withColumn("_altered", beyond & F.col(Columns.FATE).isNull()).withColumn(
        Columns.VALUE, F.when(F.col("_altered"), F.col("_largest")).otherwise(F.col(Columns.VALUE))
    )
    return statuses.alter("capped_values", lowered.drop("_largest"))
