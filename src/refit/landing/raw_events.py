"""The raw events of a landing: each event read for its days, once, unchanged, with the rules that it breaks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from refit.clocks.shop_clock import ShopClock
from refit.clocks.spark_columns import clock_day
from refit.columns import Columns
from refit.lake.lake import Lake, Landed

_AROUND = "INTERVAL 14 HOURS"
"""The largest UTC offset on earth: the file of a local day holds no event further than this from that day."""


def events_of(events: DataFrame, since: datetime, until: datetime, clock: ShopClock | None = None) -> DataFrame:
    """
    Return the *events* that belong to [since, until), two midnights of *clock* (UTC), each with its `event_date`.

    An event without a time, or with a time further from its file's day than any UTC offset explains, is assigned to the
    file's day, or to the first day if files name no day. So every event is counted exactly once.
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
    # A source can push this plain comparison down to its storage.
    mine = (time >= F.lit(since)) & (time < F.lit(until))
    return dated.where(F.when(lost, (day >= first) & (day < end)).otherwise(mine))


def landed_raw_events(spark: SparkSession, lake: Lake, entries: Sequence[Landed]) -> DataFrame:
    """
    Return the raw events of the days of *entries*, as they were read for their current landing.

    Columns have the widest type that they have in any of the landings. The raw events of a landing share a folder, and
    it may also hold a day that was landed again since; each folder is asked only for the days that are current there.

    Raises:
        IncompatibleTypesError: a column has types without a common type.
    """
    folders: dict[str, list[Landed]] = {}
    for entry in entries:
        folders.setdefault(entry.path, []).append(entry)
    wide = lake.read(spark, "intake", [found[0] for found in folders.values()]).schema
    parts = [
        lake.read(spark, "intake", found[:1])
        .where(F.col(Columns.EVENT_DATE).isin([date.fromisoformat(entry.day) for entry in found]))
        .to(wide)
        for found in folders.values()
    ]
    return reduce(DataFrame.union, parts)


def with_known_items(events: DataFrame, catalogue: DataFrame) -> DataFrame:
    """Return *events* with `item_known`: whether *catalogue* (one row per item) has the item."""
    known = catalogue.select(Columns.ITEM, F.lit(True).alias(Columns.ITEM_KNOWN))
    events = events.drop(Columns.ITEM_KNOWN)
    joined = events.join(F.broadcast(known), Columns.ITEM, "left")
    # A missing id has a rule of its own.
    unknown = F.col(Columns.ITEM).isNotNull() & F.col(Columns.ITEM_KNOWN).isNull()
    return joined.withColumn(Columns.ITEM_KNOWN, ~unknown).select(*events.columns, Columns.ITEM_KNOWN)


def keep_consenting(events: DataFrame, people: DataFrame) -> DataFrame:
    """Return the events of *people*; events with a null id stay, so that validation can count them."""
    without_id = people.sparkSession.createDataFrame([(None,)], f"{Columns.USER} string")
    known = people.select(Columns.USER).unionByName(without_id)
    return events.join(known, events[Columns.USER].eqNullSafe(known[Columns.USER]), "left_semi")
