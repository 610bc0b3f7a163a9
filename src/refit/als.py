"""Training the item side with `pyspark.ml.recommendation.ALS`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.ml.recommendation import ALS, ALSModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from refit import folders
from refit.columns import Columns
from refit.config import Als
from refit.factors import ItemFactors

_USER, _ITEM = "user", "item"
"""Integer ids; they exist for the fit only."""
_BLOCKS_PER_CORE = 1
"""Few blocks: forty of them cost twice the time and four times the memory of two on two cores."""
_CHECKPOINT_EVERY = 2
"""Iterations. Without checkpoints the lineage grows until reading it overflows the stack; with them it is faster."""


def train_als(pairs: DataFrame, settings: Als, facts: Mapping[str, Any], *, checkpoints: str) -> ItemFactors:
    """
    Return the item factors of *pairs* (user_id, item_id, confidence; one row per pair, confidence 0 teaches nothing).

    Implicit preferences after Hu, Koren and Volinsky (2008). The same pairs, settings and number of cores give the same
    bytes. *checkpoints* is a folder that every executor can write; it is deleted afterwards.
    """
    pairs.sparkSession.sparkContext.setCheckpointDir(checkpoints)
    numbered, items = number_ids(pairs.where(F.col(Columns.CONFIDENCE) > 0))
    numbered.persist()
    try:
        return to_item_factors(fit(numbered, settings), numbered, items, settings, facts)
    finally:
        numbered.unpersist()
        folders.delete(pairs.sparkSession, checkpoints)


def number_ids(pairs: DataFrame) -> tuple[DataFrame, DataFrame]:
    """
    Return *pairs* with integer columns `user` and `item`, and the table item_id -> item.

    Numbers follow the order of the ids, so they do not depend on how the data were partitioned.
    """
    people = pairs.select(Columns.USER).distinct().orderBy(Columns.USER).zipWithIndex(_USER)
    items = pairs.select(Columns.ITEM).distinct().orderBy(Columns.ITEM).zipWithIndex(_ITEM)
    numbered = (
        pairs.join(people, Columns.USER)
        .join(F.broadcast(items), Columns.ITEM)
        .select(F.col(_USER).cast("int"), F.col(_ITEM).cast("int"), F.col(Columns.CONFIDENCE).cast("float"))
        # The order within a block decides the order of additions, and so the last bits of the factors.
        .repartition(_USER)
        .sortWithinPartitions(_USER, _ITEM)
    )
    return numbered, items


def fit(numbered: DataFrame, settings: Als) -> ALSModel:
    """Return MLlib's own model of pairs with integer ids."""
    blocks = max(2, numbered.sparkSession.sparkContext.defaultParallelism * _BLOCKS_PER_CORE)
    als = ALS(
        rank=settings.rank,
        maxIter=settings.iterations,
        regParam=settings.regularisation,
        alpha=settings.alpha,
        implicitPrefs=True,
        numUserBlocks=blocks,
        numItemBlocks=blocks,
        userCol=_USER,
        itemCol=_ITEM,
        ratingCol=Columns.CONFIDENCE,
        seed=settings.seed,
        checkpointInterval=_CHECKPOINT_EVERY,
    )
    return als.fit(numbered)


def to_item_factors(
    model: ALSModel, numbered: DataFrame, items: DataFrame, settings: Als, facts: Mapping[str, Any]
) -> ItemFactors:
    """Return the item side of MLlib's *model* with the shop's own ids; collects items, never people."""
    counts = numbered.groupBy(_ITEM).count()
    table = (
        model.itemFactors.join(items, F.col("id") == items[_ITEM])
        .join(counts, _ITEM)
        .select(Columns.ITEM, "features", "count")
        .orderBy(Columns.ITEM)
        .toArrow()
    )
    flat = table["features"].combine_chunks().flatten().to_numpy()
    return ItemFactors(
        items=table[Columns.ITEM].combine_chunks().cast(pa.string()),
        factors=np.asarray(flat, dtype=np.float32).reshape(len(table), settings.rank),
        people=np.asarray(table["count"].to_numpy(), dtype=np.int64),
        alpha=settings.alpha,
        regularisation=settings.regularisation,
        facts=dict(facts),
    )
