"""Scoring: each Spark task ranks a block of people, writes its part file and uploads it in the same pass."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from pyspark.sql import DataFrame

from refit.columns import Columns
from refit.config import Lists
from refit.errors import NotEnoughDataError
from refit.factors import ItemFactors
from refit.interfaces import ObjectStore
from refit.lists.score_blocks import Batch, score_block
from refit.ranking.ranker import Ranker
from refit.shelves.shelf import Shelf

__all__ = ["Batch", "score"]


def score(
    people: DataFrame,
    model: ItemFactors,
    shelf: Shelf,
    policy: Lists,
    batch: Batch,
    *,
    open_store: Callable[[], ObjectStore],
    parts: int,
) -> list[dict[str, Any]]:
    """
    Make lists for everybody in *people* from the *shelf* and return one commit record per part file.

    *people* has one row per person as `refit.people.everybody` describes it. A record holds key, counts and what
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
