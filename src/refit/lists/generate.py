"""Lists: recommendations and their reasons, as rows of the published files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from refit.batches.schema import _ENTRY, _REASON, SCHEMA
from refit.candidates.candidate_set import CandidateSet
from refit.lists.filling import Drafts, fill
from refit.ranking.flat_histories import Histories
from refit.ranking.ranker import Ranker
from refit.ranking.reasons import Reasons, find_reasons


@dataclass(frozen=True, eq=False)
class Listed:
    """The lists of some people."""

    histories: Histories
    drafts: Drafts
    reasons: Reasons
    short: dict[int, str]
    """Row of a person -> why the list has fewer than k items."""


def make_lists(ranker: Ranker, histories: Histories, k: int, reasons: int) -> Iterator[Listed]:
    """Yield lists of up to *k* items for the people of *histories*, in order, some people at a time."""
    for piece in ranker.pieces(histories):
        folded = ranker.fold(piece, influence=reasons > 0)
        drafts = fill(ranker.model, ranker.candidate_set, piece, ranker.best_of(folded, k))
        by_model = np.where(drafts.sources == 0, drafts.positions, -1)
        found = find_reasons(ranker, folded, by_model, reasons)
        yield Listed(piece, drafts, found, _why_short(ranker.candidate_set, piece, drafts.positions))


def _why_short(candidate_set: CandidateSet, histories: Histories, positions: NDArray[np.int64]) -> dict[int, str]:
    lengths = (positions >= 0).sum(axis=1)
    k = positions.shape[1]
    people = np.flatnonzero(lengths < k)
    if not len(people):
        return {}
    allowed = int(candidate_set.allowed.sum())
    bought_rows = histories.rows[histories.bought & candidate_set.allowed[histories.positions]]
    bought = np.bincount(bought_rows, minlength=len(histories))
    cap = f", at most {candidate_set.cap} of one category" if candidate_set.cap is not None else ""
    reasons = {}
    for person in people.tolist():
        before = f"{bought[person]} of {allowed} allowed items were bought before"
        why = before if bought[person] else f"{allowed} items are allowed"
        reasons[person] = f"{lengths[person]} of {k}: {why}{cap}"
    return reasons


def to_batch(candidate_set: CandidateSet, listed: Sequence[Listed], version: int, run_date: str) -> pa.RecordBatch:
    """Return the lists of several blocks of people as rows of `SCHEMA`, with repeated text dictionary-encoded."""
    positions = np.concatenate([block.drafts.positions for block in listed])
    there = positions >= 0
    reasons = np.concatenate([block.reasons.positions for block in listed])[there]
    given = reasons >= 0
    why = pa.StructArray.from_arrays(
        [
            _ids(candidate_set, reasons[given]),
            pa.array(np.concatenate([block.reasons.contributions for block in listed])[there][given]),
        ],
        names=[field.name for field in _REASON],
    )
    entries = pa.StructArray.from_arrays(
        [
            _ids(candidate_set, positions[there]),
            pa.array(np.concatenate([block.drafts.scores for block in listed])[there]),
            _sources(listed, there),
            pa.ListArray.from_arrays(_offsets(given.sum(axis=1)), why),
        ],
        names=[field.name for field in _ENTRY],
    )
    people = len(positions)
    first_rows = accumulate((len(block.histories) for block in listed), initial=0)
    short = {
        start + row: text for start, block in zip(first_rows, listed, strict=False) for row, text in block.short.items()
    }
    return pa.RecordBatch.from_arrays(
        [
            pa.concat_arrays([block.histories.user_ids for block in listed]),
            pa.ListArray.from_arrays(_offsets(there.sum(axis=1)), entries),
            pa.array(np.full(people, version, dtype=np.int32)),
            _repeated([run_date], np.zeros(people, dtype=np.int32)),
            pa.array([short.get(row) for row in range(people)], pa.string()),
        ],
        names=SCHEMA.names,
    )


def _offsets(lengths: NDArray[np.int64]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))


def _ids(candidate_set: CandidateSet, positions: NDArray[np.int64]) -> pa.Array:
    """Return the ids at *positions*, dictionary-encoded over those that occur."""
    used = np.zeros(len(candidate_set.items), dtype=np.bool_)
    used[positions] = True
    number = (np.cumsum(used) - 1).astype(np.int32)
    return pa.DictionaryArray.from_arrays(
        pa.array(number[positions]), candidate_set.items.take(pa.array(np.flatnonzero(used)))
    )


def _sources(listed: Sequence[Listed], there: NDArray[np.bool_]) -> pa.Array:
    labels = sorted({label for block in listed for label in block.drafts.labels})
    renumbered = [
        np.array([labels.index(label) for label in block.drafts.labels], dtype=np.int32)[block.drafts.sources]
        for block in listed
    ]
    return _repeated(labels, np.concatenate(renumbered)[there])


def _repeated(texts: list[str], numbers: NDArray[Any]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(numbers), pa.array(texts, pa.string()))
