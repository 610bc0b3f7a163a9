"""Scoring: each Spark task ranks a block of people, writes its part file and uploads it in the same pass."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark import TaskContext
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from refit.columns import Columns
from refit.config import Lists
from refit.digests import sha256
from refit.errors import NotEnoughDataError
from refit.factors import ItemFactors
from refit.fold_in import read_histories
from refit.interfaces import ObjectStore
from refit.lists import SCHEMA, Counts, rank_for, to_batch


@dataclass(frozen=True)
class Batch:
    """Where one batch goes and what its rows carry."""

    prefix: str
    model_version: int
    run_date: str


def everybody(histories: DataFrame, people: DataFrame | None) -> DataFrame:
    """
    Return one row for each person who may be served: *people*, or all with a history if there is no such table.

    A person without a history has empty arrays. A history of somebody who is not in *people* is left out: consent may
    have been withdrawn since it was landed.
    """
    if people is None:
        return histories
    empty = {
        Columns.ITEMS: "array<string>",
        Columns.CONFIDENCES: "array<double>",
        Columns.BOUGHT: "array<boolean>",
    }
    joined = people.select(Columns.USER).distinct().join(histories, Columns.USER, "left")
    return joined.select(
        Columns.USER, *[F.coalesce(name, F.array().cast(kind)).alias(name) for name, kind in empty.items()]
    )


def score(
    people: DataFrame,
    model: ItemFactors,
    allowed: NDArray[np.bool_],
    policy: Lists,
    batch: Batch,
    *,
    open_store: Callable[[], ObjectStore],
    parts: int,
) -> list[dict[str, Any]]:
    """
    Rank for everybody in *people* and return one commit record per part file: key, rows, bytes, sha256 and counts.

    The lists never pass through the JVM or the driver. A task that is tried again writes under another name, so files
    of lost attempts lie beside the batch and belong to no commit record.
    """
    shared = people.sparkSession.sparkContext.broadcast((model, allowed))

    def score_block(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        factors, open_items = shared.value
        counts = Counts(items=len(factors.items))
        sink = io.BytesIO()
        # Item ids repeat a lot, scores do not: a dictionary helps the first and costs the second.
        with pq.ParquetWriter(sink, SCHEMA, compression="zstd") as writer:
            for incoming in batches:
                ranked = []
                for history in read_histories(incoming, factors):
                    ranked.append(rank_for(factors, history, open_items, policy))
                    counts.add(ranked[-1], history, open_items, policy.k)
                writer.write_batch(to_batch(factors, ranked, batch.model_version, batch.run_date))
        if not counts.people:
            return
        context = TaskContext.get()
        number = context.partitionId() if context else 0
        key = f"{batch.prefix}/part-{number:05d}-{uuid4().hex[:8]}.parquet"
        content = sink.getvalue()
        open_store().create(key, content)
        record = {
            "key": key,
            "rows": counts.people,
            "bytes": len(content),
            "sha256": sha256(content),
            "counts": counts.as_record(),
        }
        yield pa.RecordBatch.from_pydict({"record": [json.dumps(record)]})

    spread = people.repartition(parts, Columns.USER).sortWithinPartitions(Columns.USER)
    rows = spread.mapInArrow(score_block, "record string").collect()
    if not rows:
        raise NotEnoughDataError("there is nobody to make lists for: no person has a history or a consent; land some")
    return sorted((json.loads(row["record"]) for row in rows), key=lambda record: str(record["key"]))
