"""The intake of a landing: every event read for its days, once, as it came, with the names of the rules it breaks."""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from refit.clocks.shop_clock import ShopClock
from refit.clocks.spark_columns import clock_day
from refit.columns import Columns

_AROUND = "INTERVAL 14 HOURS"
"""No clock on earth is further from UTC, so the file of a local day holds nothing further from that day."""


def events_of(events: DataFrame, since: datetime, until: datetime, clock: ShopClock | None = None) -> DataFrame:
    """
    Return the *events* that belong to [since, until), two midnights of *clock* (UTC), each with its `event_date`.

    An event whose time is missing, or is further from the day of its file than any clock explains, is filed under the
    day of its file, or under the first day where files have none: it must be counted somewhere, and only once.
    """
    time, file_day = F.col(Columns.EVENT_TIME), F.col(Columns.SOURCE_DAY)
    near = (time >= file_day.cast("timestamp") - F.expr(_AROUND)) & (
        time < F.date_add(file_day, 1).cast("timestamp") + F.expr(_AROUND)
    )
    lost = time.isNull() | (file_day.isNotNull() & ~near)
    clock = clock or ShopClock()
    first, end = F.lit(clock.day_of(since)), F.lit(clock.day_of(until))
    day = F.when(lost, F.coalesce(file_day, first)).otherwise(clock_day(time, clock.zone))
    dated = events.withColumn(Columns.EVENT_DATE, day)
    # The plain comparison is what a source can push down to its own storage.
    mine = (time >= F.lit(since)) & (time < F.lit(until))
    return dated.where(F.when(lost, (day >= first) & (day < end)).otherwise(mine))


def with_known_items(events: DataFrame, catalogue: DataFrame) -> DataFrame:
    """Return *events* with `item_known`: whether *catalogue*, one row an item, has the item."""
    known = catalogue.select(Columns.ITEM, F.lit(True).alias(Columns.ITEM_KNOWN))
    events = events.drop(Columns.ITEM_KNOWN)
    joined = events.join(F.broadcast(known), Columns.ITEM, "left")
    # A missing id is told by its own rule.
    unknown = F.col(Columns.ITEM).isNotNull() & F.col(Columns.ITEM_KNOWN).isNull()
    return joined.withColumn(Columns.ITEM_KNOWN, ~unknown).select(*events.columns, Columns.ITEM_KNOWN)


def keep_consenting(events: DataFrame, people: DataFrame) -> DataFrame:
    """Return the events of *people*; a null id stays in, so that validation counts it and no join loses it."""
    nobody = people.sparkSession.createDataFrame([(None,)], f"{Columns.USER} string")
    known = people.select(Columns.USER).unionByName(nobody)
    return events.join(known, events[Columns.USER].eqNullSafe(known[Columns.USER]), "left_semi")
