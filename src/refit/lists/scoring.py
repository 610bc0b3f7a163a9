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
    """Return the number of part files for the lists of people with *events* events in total."""
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
    Make lists for everybody as of *as_of* with `score`; return its records and the candidates that were ranked.

    *events* is the number of events before *as_of*; it sets the number of part files and so bounds memory per task.
    """
    built = candidates_as_of(spark, lake, shop, model, as_of)
    # Tuning may have chosen a half-life and weights that differ from shop.toml.
    people = everybody_as_of(spark, lake, shop_of(model, shop), as_of)
    parts = parts_for(spark, events)
    return score(people, model, built.candidate_set, shop.lists, batch, open_store=open_store, parts=parts), built


def score(
    people: DataFrame,
    model: ItemFactors,
    candidate_set: CandidateSet,
    policy: Lists,
    batch: Batch,
    *,
    open_store: Callable[[], ObjectStore],
    parts: int,
) -> list[dict[str, Any]]:
    """
    Make lists for everybody in *people* from *candidate_set* and return one commit record per part file.

    *people* has one row per person, as returned by `refit.lake.people.everybody`. A record contains the key, the counts
    and the result of `PartFile.close`. Parts are ranges of user_id, so a person is in one row group of one part. The
    lists never pass through the JVM or the driver. A retried task writes under a new name, so files of failed attempts
    may remain beside the batch but are in no commit record.

    Spark starts one Python worker per core and gives each as many BLAS threads as a task has cores, so that workers do
    not compete.

    Raises:
        NotEnoughDataError: *people* is empty.
        ModelDamagedError: *candidate_set* was made for a different model.
    """
    Ranker(model, candidate_set)
    shared = people.sparkSession.sparkContext.broadcast((model, candidate_set))
    block = partial(score_block, shared=shared, k=policy.k, reasons=policy.reasons, batch=batch, open_store=open_store)
    partitioned = people.repartitionByRange(parts, Columns.USER).sortWithinPartitions(Columns.USER)
    rows = partitioned.mapInArrow(block, "record string").collect()
    shared.destroy()
    if not rows:
        raise NotEnoughDataError("there is nobody to make lists for: no person has a history or a consent; land some")
    return sorted((json.loads(row["record"]) for row in rows), key=lambda record: str(record["key"]))
