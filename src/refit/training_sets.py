"""Splitting history at a cutoff: what a model learns from, and what judges it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from refit.columns import Columns
from refit.config import Events, Training
from refit.errors import NotEnoughDataError, NotFoundError
from refit.lake import Lake


def holdout(
    interactions: DataFrame, training: DataFrame, *, cutoff: datetime, as_of: datetime, events: Events
) -> DataFrame:
    """
    Return what each person came to want in [cutoff, as_of): user_id and the array `relevant` of item ids.

    Only people and items that *training* (pairs of `person_item_pairs` at *cutoff*) teaches something about are kept,
    since every model is asked the same question, and items the person had already bought are left out when the shop's
    lists leave them out.
    """
    taught = training.where(F.col(Columns.CONFIDENCE) > 0)
    wanted = (
        interactions.where((F.col(Columns.EVENT_TIME) >= F.lit(cutoff)) & (F.col(Columns.EVENT_TIME) < F.lit(as_of)))
        .where(F.col(Columns.EVENT_TYPE).isin(*events.relevant))
        .select(Columns.USER, Columns.ITEM)
        .distinct()
        .join(taught.select(Columns.USER).distinct(), Columns.USER, "left_semi")
        .join(taught.select(Columns.ITEM).distinct(), Columns.ITEM, "left_semi")
    )
    had = training.where(Columns.BOUGHT).select(Columns.USER, Columns.ITEM)
    return (
        wanted.join(had, [Columns.USER, Columns.ITEM], "left_anti")
        .groupBy(Columns.USER)
        .agg(F.array_sort(F.collect_set(Columns.ITEM)).alias(Columns.RELEVANT))
    )


def count_pairs(pairs: DataFrame, judges: DataFrame) -> dict[str, int]:
    """Return how many pairs, people and items teach, and how many people judge."""
    taught = pairs.where(F.col(Columns.CONFIDENCE) > 0)
    row = taught.agg(F.count(F.lit(1)), F.count_distinct(Columns.USER), F.count_distinct(Columns.ITEM)).collect()[0]
    return {"pairs": row[0], "people": row[1], "items": row[2], "judges": judges.count()}


def require_enough(counts: Mapping[str, int], limits: Training) -> None:
    """Raise NotEnoughDataError that names everything of which there is too little."""
    needed = {
        "pairs": limits.min_interactions,
        "people": limits.min_people,
        "items": limits.min_items,
        "judges": limits.min_people,
    }
    short = [f"{counts[name]:,} {name} (at least {least:,})" for name, least in needed.items() if counts[name] < least]
    if short:
        raise NotEnoughDataError(
            f"the training set is too small: {', '.join(short)}; land more days, or move as_of or the window"
        )


def load_manifest(lake: Lake, place: str) -> dict[str, Any]:
    """Return the manifest of the training set at *place*; NotFoundError when it was never finished."""
    stored = lake.store.get(f"{place}/manifest.json")
    if stored is None:
        raise NotFoundError(f"{lake.path(place)} holds no finished training set; run build_training_set first")
    manifest: dict[str, Any] = json.loads(stored.content)
    return manifest
