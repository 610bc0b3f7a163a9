"""Scoring: each Spark task ranks a block of people, writes its part file and uploads it in the same pass."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from refit.candidates.as_of import candidates_as_of
from refit.candidates.build import BuiltCandidates
from refit.candidates.candidate_set import CandidateSet
from refit.columns import Columns
from refit.config import Lists, Shop
from refit.errors import NotEnoughDataError
from refit.lake.as_of import everybody_as_of
from refit.lake.lake import Lake
from refit.lists.score_blocks import Batch, score_block
from refit.model.item_factors import ItemFactors
from refit.ranking.ranker import Ranker
from refit.storage.object_store import ObjectStore
from refit.training.model_settings import shop_of

__all__ = ["Batch", "parts_for", "score", "score_as_of"]

_EVENTS_PER_PART = 1_000_000
"""Bounds the memory of the task that makes one part file."""


def parts_for(spark: SparkSession, events: int) -> int:
    """Return into how many part files the lists of people with so many *events* go."""
    return max(spark.sparkContext.defaultParallelism, math.ceil(events / _EVENTS_PER_PART))


def score_as_of(
    spark: SparkSession,
    lake: Lake,
    shop: Shop,
    model: ItemFactors,
    as_of: datetime,
    batch: Batch,
    *,
    open_store: Callable[[], ObjectStore],
    events: int,
) -> tuple[list[dict[str, Any]], BuiltCandidates]:
    """
    Make lists for everybody as of *as_of*, as `score` does, and return its records and the shelf they were made from.

    *events* is how many there are before *as_of*; so many part files are made that none needs much memory.
    """
    stocked = candidates_as_of(spark, lake, shop, model, as_of)
    # Tuning may have found another half-life and other weights than shop.toml has.
    people = everybody_as_of(spark, lake, shop_of(model, shop), as_of)
    parts = parts_for(spark, events)
    return score(people, model, stocked.shelf, shop.lists, batch, open_store=open_store, parts=parts), stocked


def score(
    people: DataFrame,
    model: ItemFactors,
    shelf: CandidateSet,
    policy: Lists,
    batch: Batch,
    *,
    open_store: Callable[[], ObjectStore],
    parts: int,
) -> list[dict[str, Any]]:
    """
    Make lists for everybody in *people* from the *shelf* and return one commit record per part file.

    *people* has one row per person as `refit.lake.people.everybody` describes it. A record holds key, counts and what
    `PartFile.close` says of the file. Parts are ranges of user_id, so that one person lies in one row group of one
    part. The lists never pass through the JVM or the driver. A task that is tried again writes under another name, so
    files of lost attempts lie beside the batch and belong to no commit record.

    Spark starts one Python worker per core and gives it as many BLAS threads as a task has cores, so that none waits
    for another.

    Raises:
        NotEnoughDataError: nobody is in *people*.
        ModelDamagedError: *shelf* was made for another model.
    """
    Ranker(model, shelf)
    shared = people.sparkSession.sparkContext.broadcast((model, shelf))
    block = partial(score_block, shared=shared, k=policy.k, reasons=policy.reasons, batch=batch, open_store=open_store)
    spread = people.repartitionByRange(parts, Columns.USER).sortWithinPartitions(Columns.USER)
    rows = spread.mapInArrow(block, "record string").collect()
    shared.destroy()
    if not rows:
        raise NotEnoughDataError("there is nobody to make lists for: no person has a history or a consent; land some")
    return sorted((json.loads(row["record"]) for row in rows), key=lambda record: str(record["key"]))
