"""Consent: the one way in which events are read from the lake, without those of people who do not give it."""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import DataFrame, SparkSession

from refit.columns import Columns
from refit.lake.lake import Lake, Landed
from refit.lake.people import with_segment


def consenting(people: DataFrame) -> DataFrame:
    """
    Return the rows of *people*, one a person as `refit.lake.people.with_segment` gives them, whose `consent` is true.

    All stay where there is no such column: the shop's users table then holds nobody else.
    """
    return people.where(Columns.CONSENT) if Columns.CONSENT in people.columns else people


def events_of_consenting(
    spark: SparkSession,
    lake: Lake,
    days: Iterable[Landed],
    users: Landed | None,
    *,
    earlier: DataFrame | None = None,
) -> DataFrame:
    """
    Return the events of the landed *days* whose people are in the snapshot *users* and consent there.

    *earlier* are rows that stand for other days (`refit.lake.summaries`), of people who consent or not: the events
    then have its columns alone, and its rows beside their own.

    Whatever learns, judges, counts or shows histories reads them here, so that somebody who withdraws consent counts
    nowhere from the next snapshot on. None for *users*: the shop has no users table, and everybody stays.

    Raises:
        NotFoundError: none of the days has a row, and none is *earlier*.
    """
    days = [day for day in days if day.path]
    events = earlier if earlier is not None and not days else lake.read(spark, "interactions", days)
    if earlier is not None and days:
        events = events.select(*earlier.columns).unionAll(earlier)
    if users is None:
        return events
    people = consenting(with_segment(lake.read(spark, "users", [users]), None))
    return events.join(people.select(Columns.USER), Columns.USER, "left_semi")
