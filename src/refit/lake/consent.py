"""Consent: the only way to read events from the lake, which drops people who do not consent."""

from __future__ import annotations

from collections.abc import Iterable

from pyspark.sql import DataFrame, SparkSession

from refit.columns import Columns
from refit.lake.lake import Lake, Landed
from refit.lake.people import with_segment


def consenting(people: DataFrame) -> DataFrame:
    """
    Return the rows of *people* (one per person, from `refit.lake.people.with_segment`) whose `consent` is true.

    Without that column all rows stay: the shop's users table then holds only people who consent.
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

    *earlier* holds rows that replace other days (`refit.lake.summaries`), for people with and without consent. They are
    added to the events, which are then reduced to the columns of *earlier*.

    All code that learns from, evaluates, counts or shows histories reads them here, so that people who withdraw consent
    count nowhere from the next snapshot on. If *users* is None, the shop has no users table and all people stay.

    Raises:
        NotFoundError: none of the days has a row, and there is no *earlier*.
    """
    days = [day for day in days if day.path]
    events = earlier if earlier is not None and not days else lake.read(spark, "interactions", days)
    if earlier is not None and days:
        events = events.select(*earlier.columns).unionAll(earlier)
    if users is None:
        return events
    people = consenting(with_segment(lake.read(spark, "users", [users]), None))
    return events.join(people.select(Columns.USER), Columns.USER, "left_semi")
