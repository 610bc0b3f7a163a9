"""Training the item side with `pyspark.ml.recommendation.ALS`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from refit.columns import Columns
from refit.config import Als
from refit.errors import NotEnoughDataError
from refit.model.item_factors import ItemFactors
from refit.storage import filesystem

if TYPE_CHECKING:
    from pyspark.ml.recommendation import ALSModel

_USER, _ITEM = "user", "item"
"""Columns of integer ids, used only for fitting."""
_MOST_IDS = 2**31 - 1
"""MLlib's ids are 32-bit integers."""
_BLOCKS_PER_CORE = 1
"""Blocks per core; on two cores, forty blocks took twice the time and four times the memory of two."""
_PAIRS_PER_BLOCK = 20_000_000
"""Largest block of ratings; a block is one JVM object of 12 bytes per rating, so 240 MB."""
_CHECKPOINT_EVERY = 2
"""Iterations between checkpoints; without them training is slower and the lineage can overflow the stack."""


def train_als(pairs: DataFrame, settings: Als, facts: Mapping[str, Any], *, checkpoints: str) -> ItemFactors:
    """
    Return the item factors of *pairs* (user_id, item_id, confidence; one row per pair, confidence 0 teaches nothing).

    Implicit preferences after Hu, Koren and Volinsky (2008), or the confidences as ratings (Koren, Bell and Volinsky
    2009). Equal pairs, settings and number of cores give equal bytes. Only items are collected. *checkpoints* is a
    folder writable by every executor; it is deleted afterwards.

    Raises:
        NotEnoughDataError: a rank that the data do not support, or more people or items than 32 bits can number.
    """
    pairs.sparkSession.sparkContext.setCheckpointDir(checkpoints)
    numbered, items = number_ids(pairs.where(F.col(Columns.CONFIDENCE) > 0))
    numbered.persist()
    try:
        largest = numbered.agg(F.max(_USER), F.max(_ITEM), F.count(F.lit(1))).collect()[0]
        require_supported(settings.rank, people=largest[0] + 1, items=largest[1] + 1)
        blocks = blocks_for(largest[2], numbered.sparkSession.sparkContext.defaultParallelism)
        return to_item_factors(fit(numbered, settings, blocks), numbered, items, settings, facts)
    finally:
        numbered.unpersist()
        filesystem.delete(pairs.sparkSession, checkpoints)


def number_ids(pairs: DataFrame) -> tuple[DataFrame, DataFrame]:
    """
    Return *pairs* with integer columns `user` and `item`, and the table item_id -> item.

    Numbers follow the order of the ids, so they do not depend on partitioning.
    """
    people = pairs.select(Columns.USER).distinct().orderBy(Columns.USER).zipWithIndex(_USER)
    items = pairs.select(Columns.ITEM).distinct().orderBy(Columns.ITEM).zipWithIndex(_ITEM)
    numbered = (
        pairs.join(people, Columns.USER)
        .join(F.broadcast(items), Columns.ITEM)
        .select(F.col(_USER), F.col(_ITEM), F.col(Columns.CONFIDENCE).cast("float"))
        # The order within a block determines the order of additions, and thus the last bits of the factors.
        .repartition(_USER)
        .sortWithinPartitions(_USER, _ITEM)
    )
    return numbered, items


def require_supported(rank: int, *, people: int, items: int) -> None:
    """Raise NotEnoughDataError when MLlib cannot number the ids, or *rank* exceeds the smaller side of the data."""
    for what, count in (("people", people), ("items", items)):
        if count > _MOST_IDS:
            raise NotEnoughDataError(
                f"the training set has {count:,} {what}, and MLlib numbers at most {_MOST_IDS:,}; shorten "
                "training.window_days, or leave out those of a single event in the mapping"
            )
    if rank > min(people, items):
        raise NotEnoughDataError(
            f"als.rank = {rank} is larger than {people:,} people and {items:,} items support; it can be at most "
            f"{min(people, items)}: lower the rank or land more days"
        )


def blocks_for(pairs: int, cores: int) -> int:
    """
    Return the number of blocks for each side: one per core, or more if a block would grow too large.

    >>> blocks_for(1_000_000, 2), blocks_for(1_000_000_000, 16)
    (2, 50)
    """
    return max(2, cores * _BLOCKS_PER_CORE, -(-pairs // _PAIRS_PER_BLOCK))


def fit(numbered: DataFrame, settings: Als, blocks: int = 2) -> ALSModel:
    """Fit MLlib's model to pairs with integer ids."""
    from pyspark.ml.recommendation import ALS  # noqa: PLC0415  it imports pandas; steps that do not train need neither

    als = ALS(
        rank=settings.rank,
        maxIter=settings.iterations,
        regParam=settings.regularisation,
        alpha=settings.alpha,
        implicitPrefs=settings.preferences == "implicit",
        nonnegative=settings.nonnegative,
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
        implicit=settings.preferences == "implicit",
    )
