"""The shop as of an instant: nothing at or after it is read."""

from __future__ import annotations

from datetime import UTC, datetime

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from refit.cleaning import without_cancelled
from refit.columns import Columns
from refit.config import Shop
from refit.errors import ConfigurationError
from refit.lake.consent import consenting, events_of_consenting
from refit.lake.lake import Lake, Landed
from refit.lake.pairs import histories, person_item_pairs
from refit.lake.people import everybody, with_segment
from refit.lake.summaries import split, stand_in

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def days_before(lake: Lake, as_of: datetime) -> list[Landed]:
    """Return every landed day of interactions before *as_of*, oldest first."""
    return lake.days("interactions", _BEGINNING, as_of)


def history_before(
    spark: SparkSession, lake: Lake, shop: Shop, as_of: datetime, *, consent_at: datetime | None = None
) -> DataFrame:
    """
    Return every event before *as_of* that was not cancelled before it, from people who consent.

    Consent is read from the newest users snapshot not after *consent_at* (default: *as_of*): a model that learns up to
    a cutoff and is judged after it must not learn from people who withdrew consent in between.
    """
    users = lake.snapshot("users", consent_at or as_of)
    events = events_of_consenting(spark, lake, days_before(lake, as_of), users)
    return without_cancelled(events.where(F.col(Columns.EVENT_TIME) < F.lit(as_of)), shop.events)


def people_as_of(spark: SparkSession, lake: Lake, shop: Shop, as_of: datetime) -> DataFrame | None:
    """
    Return one row per person who consents, with `segment` if the lists use one; None for a shop without users.

    Raises:
        ConfigurationError: the segment column that the shop names does not exist.
    """
    landed = lake.snapshot("users", as_of)
    if landed is not None:
        return consenting(with_segment(lake.read(spark, "users", [landed]), shop.lists.segment))
    if shop.lists.segment is None:
        return None
    raise ConfigurationError(
        f"lists.segment = {shop.lists.segment!r}: no users table is landed for shop {shop.name!r}; "
        "add sources/users.sql and land it, or take the setting out of shop.toml"
    )


def everybody_as_of(spark: SparkSession, lake: Lake, shop: Shop, as_of: datetime) -> DataFrame:
    """
    Return the history of each person who may be served, as `refit.lake.people.everybody` describes it.

    It holds the items that count for training or as bought. Days before the month in which the training window begins
    are read through their summary (`refit.lake.summaries`), which is made and stored if it does not exist yet.
    """
    clock, events = shop.calendar.clock, shop.serving_events
    since = clock.back(as_of, shop.training.window_days)
    days = split(days_before(lake, as_of), since, clock)
    observed = events_of_consenting(
        spark,
        lake,
        days.after,
        lake.snapshot("users", as_of),
        earlier=stand_in(spark, lake, days.before, events),
    )
    history = without_cancelled(observed.where(F.col(Columns.EVENT_TIME) < F.lit(as_of)), events)
    pairs = person_item_pairs(history, since=since, as_of=as_of, events=events, confidence=shop.confidence)
    return everybody(histories(pairs, silent=False), people_as_of(spark, lake, shop, as_of))


def catalogue_as_of(spark: SparkSession, lake: Lake, as_of: datetime) -> DataFrame:
    """Return the catalogue of items; NotFoundError if none was ever landed."""
    snapshot = lake.snapshot("items", as_of)
    return lake.read(spark, "items", [snapshot] if snapshot else [])
