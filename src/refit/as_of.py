"""The shop as it stood at an instant: nothing at or after it is read."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from refit.cleaning import without_cancelled
from refit.columns import Columns
from refit.config import Shop
from refit.factors import ItemFactors
from refit.histories import histories, person_item_pairs
from refit.items import allowed_positions
from refit.lake import Lake, Landed
from refit.scoring import everybody

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def days_before(lake: Lake, as_of: datetime) -> list[Landed]:
    """Return every landed day of interactions before *as_of*, oldest first."""
    return lake.days("interactions", _BEGINNING, as_of)


def history_before(spark: SparkSession, lake: Lake, shop: Shop, as_of: datetime) -> DataFrame:
    """Return every event before *as_of* that was not taken back before it."""
    events = lake.read(spark, "interactions", days_before(lake, as_of)).where(F.col(Columns.EVENT_TIME) < F.lit(as_of))
    return without_cancelled(events, shop.events)


def everybody_as_of(spark: SparkSession, lake: Lake, shop: Shop, as_of: datetime) -> DataFrame:
    """Return the history of each person who may be served, as `refit.scoring.everybody` describes it."""
    pairs = person_item_pairs(
        history_before(spark, lake, shop, as_of),
        since=as_of - shop.training.window,
        as_of=as_of,
        events=shop.events,
        confidence=shop.confidence,
    )
    people = lake.snapshot("users", as_of)
    return everybody(histories(pairs), lake.read(spark, "users", [people]) if people else None)


def catalogue_as_of(spark: SparkSession, lake: Lake, as_of: datetime) -> DataFrame:
    """Return the catalogue of items; NotFoundError when none was ever landed."""
    snapshot = lake.snapshot("items", as_of)
    return lake.read(spark, "items", [snapshot] if snapshot else [])


def allowed_as_of(spark: SparkSession, lake: Lake, model: ItemFactors, as_of: datetime) -> NDArray[np.bool_]:
    """Return for each item of *model* whether it may be shown."""
    return allowed_positions(model, catalogue_as_of(spark, lake, as_of), as_of)
