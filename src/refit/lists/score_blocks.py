"""Score blocks: the work of one Spark task. Every worker pays for the imports, so they are few."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pyarrow as pa
from pyspark import TaskContext

from refit.batches.part_files import PartFile
from refit.candidates.candidate_set import CandidateSet
from refit.lists.counts import Counts
from refit.lists.generate import Listed, make_lists, to_batch
from refit.model.item_factors import ItemFactors
from refit.ranking.flat_histories import read_histories
from refit.ranking.ranker import Ranker
from refit.storage.object_store import ObjectStore

if TYPE_CHECKING:
    from pyspark import Broadcast

_GROUP = 1_000
"""Approximate number of people per row group: few enough to fetch for one person, enough to compress."""


@dataclass(frozen=True)
class Batch:
    """Destination of one batch and the constants in its rows."""

    prefix: str
    model_version: int
    run_date: str


def score_block(
    batches: Iterator[pa.RecordBatch],
    *,
    shared: Broadcast[tuple[ItemFactors, CandidateSet]],
    k: int,
    reasons: int,
    batch: Batch,
    open_store: Callable[[], ObjectStore],
) -> Iterator[pa.RecordBatch]:
    """Make the lists of the people in *batches*, upload them as one part file and yield its commit record."""
    ranker = Ranker(*shared.value)
    counts = Counts(ranker.candidate_set)
    content, described = write_part(_groups(ranker, _counted(batches, counts), k, reasons), counts, batch)
    if not described["rows"]:
        return
    context = TaskContext.get()
    number = context.partitionId() if context else 0
    key = f"{batch.prefix}/part-{number:05d}-{uuid4().hex[:8]}.parquet"
    open_store().create(key, content)
    yield pa.RecordBatch.from_pydict({"record": [json.dumps({"key": key, **described})]})


def write_part(groups: Iterable[list[Listed]], counts: Counts, batch: Batch) -> tuple[bytes, dict[str, Any]]:
    """Return one part file with a row group for each of *groups*, and its record, which includes *counts*."""
    part = PartFile()
    for group in groups:
        for listed in group:
            counts.add(listed.drafts, listed.histories)
        rows = to_batch(counts.candidate_set, group, batch.model_version, batch.run_date)
        counts.add_rows(rows)
        part.write_group(rows)
    if not part.rows:
        return b"", {"rows": 0}
    content, described = part.close()
    return content, {**described, "counts": counts.as_record()}


def _counted(batches: Iterator[pa.RecordBatch], counts: Counts) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        counts.receive(batch)
        yield batch


def _groups(ranker: Ranker, batches: Iterator[pa.RecordBatch], k: int, reasons: int) -> Iterator[list[Listed]]:
    """Yield the lists of the people in *batches*, in order, one row group at a time."""
    group: list[Listed] = []
    for batch in batches:
        histories = read_histories(batch, ranker.model, ranker.candidate_set)
        for listed in make_lists(ranker, histories, k, reasons):
            group.append(listed)
            if sum(len(block.histories) for block in group) >= _GROUP:
                yield group
                group = []
    if group:
        yield group
