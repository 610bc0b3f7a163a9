"""Features watched for drift: of each event, and of each person on each day with events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F
from pyspark.sql import types as T

from refit.clocks.spark_columns import clock_day, clock_time
from refit.columns import Columns
from refit.config import Drift, Events
from refit.errors import ConfigurationError

DAY = "day"
"""Days since 1970-01-01 by the shop's clock."""
WEEKDAY, TOP_ITEM, NEW_ITEMS, NEW_PEOPLE = "weekday", "top_item", "new_items", "new_people"
BY_ITEM = (Columns.CATEGORY, TOP_ITEM)
"""Categories that depend on the item alone."""
_LIST_PRICE, _LISTED_CATEGORY, _TOP = "_list_price", "_listed_category", "_top"
_MONEY = "_money"
_MAY_BE_NUMBERS = (T.NumericType, T.StringType, T.BooleanType, T.TimestampType)
"""Column types that Spark casts to a number."""


def between(interactions: DataFrame, since: datetime, until: datetime) -> DataFrame:
    """Return the events in [since, until); landed days may begin before or end after it."""
    time = F.col(Columns.EVENT_TIME)
    return interactions.where((time >= F.lit(since)) & (time < F.lit(until)))


def named(drift: Drift) -> tuple[str, ...]:
    """Return the categories of *drift* that have names; the weekday follows from the day."""
    return tuple(name for name in drift.categories if name != WEEKDAY)


def event_features(
    interactions: DataFrame,
    catalogue: DataFrame,
    drift: Drift,
    *,
    time_zone: str = "UTC",
    known: DataFrame | None = None,
    names: Mapping[str, Sequence[str]] | None = None,
) -> DataFrame:
    """
    Return one row per event: `day`, the numbers (double) and the categories (string) of *drift*, and two codes.

    The codes are `weekday`, always 0 because the day determines it, and `new_items`, 1 for items not in *known*.

    *catalogue* has one row per item with its price and category, *known* one per item of the model (None: all known).
    Hours and days follow the shop's clock in *time_zone*, so that a change to summer time is not drift. With *names*,
    the categories of `BY_ITEM` are not strings but positions in their names, from 1 on, 0 for other names and null for
    null: they are then looked up once per item instead of once per event.

    A number may be stored as text: values that do not parse become null, and so count as missing.

    Raises:
        ConfigurationError: a feature is neither built in nor a column of *interactions*, or a numeric feature has a
            type that cannot be cast to a number.
    """
    own: dict[str, Column] = {
        "hour": F.hour(clock_time(F.col(Columns.EVENT_TIME), time_zone)),
        Columns.PRICE: _paid(interactions),
        Columns.CATEGORY: F.col(_LISTED_CATEGORY),
        TOP_ITEM: F.col(Columns.ITEM) if names is None else F.coalesce(F.col(_TOP), F.lit(0)),
    }
    wanted = named(drift)
    unknown = [name for name in (*drift.numbers, *wanted) if name not in own and name not in interactions.columns]
    if unknown:
        raise ConfigurationError(
            f"drift features {', '.join(unknown)} are no columns of the landed interactions, which have "
            f"{', '.join(interactions.columns)}; correct [drift] in shop.toml"
        )
    _refuse_no_numbers(interactions, [name for name in drift.numbers if name not in own])
    category, top = F.col(Columns.CATEGORY), F.lit(None).cast("string")
    items = _with_ids(catalogue, known, [] if names is None else names.get(TOP_ITEM, []))
    if names is not None:
        category = place_in(names.get(Columns.CATEGORY, []), category)
        top = place_in(names.get(TOP_ITEM, []), F.col(Columns.ITEM))
    items = items.select(
        Columns.ITEM,
        F.col(Columns.PRICE).alias(_LIST_PRICE),
        category.alias(_LISTED_CATEGORY),
        top.alias(_TOP),
        NEW_ITEMS,
    )
    joined = interactions.join(F.broadcast(items), Columns.ITEM, "left")
    kind = "string" if names is None else "int"
    return joined.select(
        day_number_of(Columns.EVENT_TIME, time_zone).alias(DAY),
        *[own.get(name, F.col(f"`{name}`")).try_cast("double").alias(name) for name in drift.numbers],
        *[own.get(name, F.col(f"`{name}`")).cast(kind if name in BY_ITEM else "string").alias(name) for name in wanted],
        F.lit(0).alias(WEEKDAY),
        (F.lit(0) if known is None else F.coalesce(F.col(NEW_ITEMS), F.lit(1))).alias(NEW_ITEMS),
    )


def place_in(names: Sequence[str], name: Column) -> Column:
    """Return the position of *name* in *names* from 1 on, 0 if it is not among them, null for null."""
    return F.array_position(F.array(*map(F.lit, names)).cast("array<string>"), name).cast("int")


def person_days(
    interactions: DataFrame, catalogue: DataFrame, drift: Drift, events: Events, *, time_zone: str = "UTC"
) -> DataFrame:
    """
    Return one row per person and day with events: user_id, `day`, recency, frequency, monetary.

    Days follow the clock in *time_zone*.

    Over the `drift.activity_days` days that end with the day itself, `frequency` counts days with events and `monetary`
    sums value * price of the events that count as success, 0 without any. `recency` is the number of days since the
    previous day with events, null if that lies further back. So a day's features do not depend on how many days are
    read, provided that *interactions* go back far enough.
    """
    listed = catalogue.select(Columns.ITEM, F.col(Columns.PRICE).alias(_LIST_PRICE))
    source = interactions
    if "unit_price" not in interactions.columns:
        source = interactions.join(F.broadcast(listed), Columns.ITEM, "left")
    success = F.col(Columns.EVENT_TYPE).isin(*events.relevant)
    paid = _paid(interactions).try_cast("double")
    spent = F.when(success, F.col(Columns.VALUE) * paid).otherwise(0.0)
    day = day_number_of(Columns.EVENT_TIME, time_zone).alias(DAY)
    daily = source.groupBy(Columns.USER, day).agg(F.sum(spent).alias(_MONEY))
    by_day = Window.partitionBy(Columns.USER).orderBy(DAY)
    lately = by_day.rangeBetween(1 - drift.activity_days, Window.currentRow)
    gap = F.col(DAY) - F.lag(DAY).over(by_day)
    return daily.select(
        Columns.USER,
        DAY,
        F.when(gap < drift.activity_days, gap).cast("double").alias("recency"),
        F.count(F.lit(1)).over(lately).cast("double").alias("frequency"),
        F.sum(_MONEY).over(lately).alias("monetary"),
    )


def _refuse_no_numbers(interactions: DataFrame, names: Sequence[str]) -> None:
    kinds = {column.name: column.dataType for column in interactions.schema}
    odd = [f"{name} ({kinds[name].simpleString()})" for name in names if not isinstance(kinds[name], _MAY_BE_NUMBERS)]
    if odd:
        raise ConfigurationError(
            f"drift.numbers names {', '.join(odd)}, which cannot be read as a number; "
            "give a number in sources/interactions.sql, or name the column in drift.categories"
        )


def _with_ids(catalogue: DataFrame, known: DataFrame | None, popular: Sequence[str]) -> DataFrame:
    """Return the catalogue plus the *known* and *popular* items that it lacks, and whether each item is new."""
    items = catalogue.select(Columns.ITEM, Columns.PRICE, Columns.CATEGORY)
    # An Arrow table needs no Python worker.
    table = pa.table(
        {Columns.ITEM: pa.array(popular, pa.string()), NEW_ITEMS: pa.array([1] * len(popular), pa.int32())}
    )
    ids = catalogue.sparkSession.createDataFrame(table)
    if known is not None:
        ids = (
            ids.union(known.select(Columns.ITEM, F.lit(0))).groupBy(Columns.ITEM).agg(F.min(NEW_ITEMS).alias(NEW_ITEMS))
        )
    elif not popular:
        return items.withColumn(NEW_ITEMS, F.lit(0))
    return items.join(ids, Columns.ITEM, "full")


def first_days(history: DataFrame, key: str, *, time_zone: str = "UTC") -> DataFrame:
    """Return one row per *key* (person or item) in *history*: the key and `first`, its first day."""
    first = F.min(Columns.EVENT_TIME).alias("_first")
    return history.groupBy(key).agg(first).select(key, day_number_of("_first", time_zone).alias("first"))


def day_number_of(instant: str, time_zone: str) -> Column:
    """Return the day of column *instant* by a clock in *time_zone*, in days since 1970-01-01."""
    return F.unix_date(clock_day(F.col(instant), time_zone))


def _paid(interactions: DataFrame) -> Column:
    # The price paid is more accurate than the list price in the catalogue snapshot.
    return F.col("unit_price" if "unit_price" in interactions.columns else _LIST_PRICE)
