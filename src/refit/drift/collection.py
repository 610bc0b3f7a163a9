"""Reads the data of drift profiles and drift checks from the lake, as of an instant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from refit.columns import Columns
from refit.config import Drift, Shop
from refit.drift.counting import Table, count_days, frequent_names, quantile_edges
from refit.drift.features import (
    BY_ITEM,
    DAY,
    NEW_ITEMS,
    NEW_PEOPLE,
    TOP_ITEM,
    WEEKDAY,
    between,
    day_number_of,
    event_features,
    first_days,
    named,
    person_days,
)
from refit.drift.profiles import Binning, DailyCounts, Profile, by_weekday
from refit.drift.profiles import weekday as weekday_of
from refit.errors import NotFoundError
from refit.lake.as_of import catalogue_as_of, days_before
from refit.lake.consent import events_of_consenting
from refit.lake.lake import Lake, Landed
from refit.storage import filesystem

_EPOCH = date(1970, 1, 1)
_TENURE = "tenure_of_{}"
_LOTS = 1_000_000


def reference_profile(
    spark: SparkSession, lake: Lake, shop: Shop, days: Sequence[Landed], cutoff: datetime, *, users: Landed | None
) -> Profile:
    """
    Return the profile of the `drift.reference_days` days before *cutoff*; *days* are all landed days before it.

    Only people who consent in the snapshot *users* count; None for a shop without a users table. Activity is measured
    on days that have `drift.activity_days` days of history; a young shop has none.
    """
    drift = shop.drift
    zone = shop.calendar.zone
    start = shop.calendar.day_of(cutoff) - timedelta(days=drift.reference_days)
    history = _read(spark, lake, days, users, None, cutoff)
    events = _read(spark, lake, days, users, start, cutoff)
    items = catalogue_as_of(spark, lake, cutoff)
    rows = event_features(events, items, drift, time_zone=zone).persist()
    active = None
    try:
        edges = quantile_edges(rows, drift.numbers)
        most = {name: drift.top_items if name == TOP_ITEM else drift.max_categories for name in named(drift)}
        names = frequent_names(rows, most)
        tables = [Table(rows, drift.numbers, named(drift), (WEEKDAY,))]
        tenures = []
        if NEW_ITEMS in drift.newcomers:
            dated = events.select(Columns.ITEM, day_number_of(Columns.EVENT_TIME, zone).alias(DAY))
            tenures.append(_tenure(dated, first_days(history, Columns.ITEM, time_zone=zone), Columns.ITEM, NEW_ITEMS))
        if drift.activity or NEW_PEOPLE in drift.newcomers:
            recent = _read(spark, lake, days, users, start - timedelta(days=drift.activity_days), cutoff)
            active = person_days(recent, items, drift, shop.events, time_zone=zone)
            active = active.where(F.col(DAY) >= day_number(start)).persist()
            whole = active.where(F.col(DAY) >= day_number(_first(days)) + drift.activity_days - 1)
            edges |= quantile_edges(whole, drift.activity)
            tables.append(Table(whole, drift.activity))
            if NEW_PEOPLE in drift.newcomers:
                tenures.append(
                    _tenure(active, first_days(history, Columns.USER, time_zone=zone), Columns.USER, NEW_PEOPLE)
                )
        binning = Binning({name: edges[name] for name in (*drift.numbers, *drift.activity)}, names)
        daily = count_days([*tables, *tenures], binning)
    finally:
        rows.unpersist()
        if active is not None:
            active.unpersist()
    return Profile(
        ruler=binning,
        days={n: sum(weekday_of(day) == n for day in daily) for n in range(7)},
        counts=by_weekday(daily, (*drift.numbers, *drift.categories, *drift.activity)),
        tenure={name: _whole_period(daily, _TENURE.format(name)) for name in drift.newcomers},
        history=(start - _first(days)).days,
    )


def current_days(
    spark: SparkSession,
    lake: Lake,
    shop: Shop,
    reference: Profile,
    *,
    days: Sequence[Landed],
    since: date,
    as_of: datetime,
    people: DataFrame | None,
    items: DataFrame,
) -> DailyCounts:
    """
    Return the counts of each day in [*since*, *as_of*) in the bins of *reference*; one Spark job.

    *days* are all landed days before *as_of*; *people* and *items* are the ids in the model's training data. Without
    *people*, new people are not counted. Consent is read from the newest users snapshot not after *as_of*.
    """
    users = lake.snapshot("users", as_of)
    drift = measurable(shop.drift, reference)
    catalogue = catalogue_as_of(spark, lake, as_of)
    new_items = (NEW_ITEMS,) if NEW_ITEMS in drift.newcomers else ()
    events = event_features(
        _read(spark, lake, days, users, since, as_of),
        catalogue,
        drift,
        time_zone=shop.calendar.zone,
        known=items if new_items else None,
        names=reference.ruler.names,
    )
    by_name = [name for name in named(drift) if name not in BY_ITEM]
    by_item = [name for name in named(drift) if name in BY_ITEM]
    tables = [Table(events, drift.numbers, by_name, (WEEKDAY, *by_item, *new_items))]
    new_people = NEW_PEOPLE in drift.newcomers and people is not None
    if drift.activity or new_people:
        recent = _read(spark, lake, days, users, since - timedelta(days=drift.activity_days), as_of)
        active = person_days(recent, catalogue, drift, shop.events, time_zone=shop.calendar.zone)
        active = active.where(F.col(DAY) >= day_number(since))
        if people is not None and new_people:
            known = people.select(Columns.USER, F.lit(0).alias(NEW_PEOPLE))
            active = active.join(known, Columns.USER, "left").fillna(1, NEW_PEOPLE)
        tables.append(Table(active, drift.activity, (), (NEW_PEOPLE,) if new_people else ()))
    return count_days(tables, reference.ruler)


def watch(
    spark: SparkSession,
    lake: Lake,
    shop: Shop,
    reference: Profile,
    items: pa.Array,
    training_set: str,
    *,
    cutoff: datetime,
    as_of: datetime,
) -> DailyCounts:
    """
    Return the counts of the days since *cutoff* that a check at *as_of* covers; empty if none is landed.

    *items* are the ids that the model knows. *training_set* is the folder of its training set, which holds the known
    people; if it was deleted, new people are not counted.
    """
    days = days_before(lake, as_of)
    since = window_start(days, shop.drift, shop.calendar.day_of(cutoff))
    if since is None:
        return {}
    pairs = lake.path(f"{training_set}/pairs")
    people = spark.read.parquet(pairs).select(Columns.USER).distinct() if filesystem.exists(spark, pairs) else None
    known = spark.createDataFrame(pa.table({Columns.ITEM: items}))
    return current_days(spark, lake, shop, reference, days=days, since=since, as_of=as_of, people=people, items=known)


def sample(
    spark: SparkSession,
    lake: Lake,
    shop: Shop,
    days: Sequence[Landed],
    since: date,
    until: datetime,
    most: int,
    *,
    users: Landed | None,
) -> pa.Table:
    """
    Return up to *most* events of [*since*, *until*) with the numbers and categories of the policy, chosen by a hash.

    Only people who consent in the snapshot *users* count; None for a shop without a users table.

    Raises:
        NotFoundError: a landed day is no longer in the lake, or there is none.
    """
    end = shop.calendar.clock.day_from(until) - timedelta(days=1)
    chosen = [day for day in days if day.path and since.isoformat() <= day.day <= end.isoformat()]
    gone = [day.day for day in chosen if not filesystem.exists(spark, lake.path(day.path))]
    if gone:
        raise NotFoundError(f"{len(gone)} of {len(chosen)} days from {since} are not in the lake any more")
    events = _read(spark, lake, chosen, users, since, until)
    chance = F.xxhash64(Columns.USER, Columns.ITEM, Columns.EVENT_TIME)
    # The entries of the landed days give the number of rows, so rows that cannot be chosen are not sorted.
    share = min(1.0, 1.1 * most / max(sum(day.rows for day in chosen), 1))
    lucky = events.where(F.pmod(chance, F.lit(_LOTS)) < int(share * _LOTS)).orderBy(chance).limit(most)
    drift = shop.drift
    rows = event_features(lucky, catalogue_as_of(spark, lake, until), drift, time_zone=shop.calendar.zone)
    weekdays = F.date_format(F.date_from_unix_date(DAY), "E").alias(WEEKDAY)
    columns = [weekdays if name == WEEKDAY else F.col(name) for name in (*drift.numbers, *drift.categories)]
    return rows.select(*columns).toArrow()


def measurable(drift: Drift, reference: Profile) -> Drift:
    """Return *drift* without features missing from *reference*; the policy may have gained some since."""
    measured = {*reference.counts, *reference.tenure}
    groups = ("numbers", "categories", "activity", "newcomers")
    return drift.model_copy(
        update={group: tuple(name for name in getattr(drift, group) if name in measured) for group in groups}
    )


def day_number(day: date) -> int:
    """Return the days since 1970-01-01."""
    return (day - _EPOCH).days


def window_start(days: Sequence[Landed], drift: Drift, cutoff: date) -> date | None:
    """Return the first day since the day *cutoff* that a check covers, or None if there is none."""
    new = [entry.day for entry in days if entry.path and entry.day >= cutoff.isoformat()]
    return date.fromisoformat(new[-drift.days :][0]) if new else None


def _first(days: Sequence[Landed]) -> date:
    return date.fromisoformat(min(entry.day for entry in days if entry.path))


def _read(
    spark: SparkSession,
    lake: Lake,
    days: Sequence[Landed],
    users: Landed | None,
    since: date | None,
    until: datetime,
) -> DataFrame:
    start = since or _EPOCH
    chosen = [day for day in days if day.day >= start.isoformat()]
    events = events_of_consenting(spark, lake, chosen, users)
    return between(events, lake.clock.start_of(start), until)


def _tenure(rows: DataFrame, first: DataFrame, key: str, name: str) -> Table:
    code = _TENURE.format(name)
    aged = rows.join(first, key).select(DAY, (F.col(DAY) - F.col("first")).alias(code))
    return Table(aged, codes=(code,))


def _whole_period(daily: DailyCounts, feature: str) -> dict[int, int]:
    total: dict[int, int] = {}
    for counted in daily.values():
        for code, count in counted[feature].items():
            total[code] = total.get(code, 0) + count
    return total
