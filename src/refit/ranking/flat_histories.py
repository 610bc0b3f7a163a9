"""Flat histories: converts histories of many people from Arrow to flat arrays of model positions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from refit.candidates.candidate_set import CandidateSet
from refit.columns import Columns
from refit.model.item_factors import ItemFactors


@dataclass(frozen=True, eq=False)
class Histories:
    """The rows of `refit.lake.pairs.histories` for several people, one entry per person and past item."""

    user_ids: pa.Array
    offsets: NDArray[np.int64]
    """people + 1: the entries of person n are offsets[n] to offsets[n + 1]."""
    positions: NDArray[np.int64]
    """Positions of past items; items unknown to both the model and the candidate set are left out."""
    confidences: NDArray[np.float64]
    """Confidence r as in MLlib; entries with 0 are not used for training."""
    bought: NDArray[np.bool_]
    """Whether the person's list must leave the item out."""
    segments: pa.Array | None = None
    """Segment or null per person, whose popular items are used where the model knows nothing."""

    def __len__(self) -> int:
        """Return the number of people."""
        return len(self.offsets) - 1

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """The person of each entry."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def teaches(self, items: int) -> NDArray[np.bool_]:
        """Return, for each entry, whether a model of *items* items learns from it."""
        return (self.confidences > 0) & (self.positions < items)

    def part(self, start: int, stop: int) -> Histories:
        """Return the people from *start* up to but excluding *stop*."""
        first, last = self.offsets[start], self.offsets[stop]
        return Histories(
            user_ids=self.user_ids.slice(start, stop - start),
            offsets=self.offsets[start : stop + 1] - first,
            positions=self.positions[first:last],
            confidences=self.confidences[first:last],
            bought=self.bought[first:last],
            segments=None if self.segments is None else self.segments.slice(start, stop - start),
        )


def read_histories(batch: pa.RecordBatch, model: ItemFactors, candidate_set: CandidateSet | None = None) -> Histories:
    """
    Return the people of an Arrow batch of histories; items that the model does not know are left out.

    With a candidate set *candidate_set*, its new items are kept too: they teach nothing but may have been bought.
    """
    items = batch.column(batch.schema.get_field_index(Columns.ITEMS))
    offsets = np.asarray(items.offsets.to_numpy(), dtype=np.int64)
    offsets = offsets - offsets[0]
    known = model.items if candidate_set is None else candidate_set.items
    found = pc.fill_null(pc.index_in(items.flatten(), value_set=known), -1)
    positions = np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)
    keep = positions >= 0
    before = np.concatenate([[0], np.cumsum(keep)])
    segment = batch.schema.get_field_index(Columns.SEGMENT)
    return Histories(
        user_ids=batch.column(batch.schema.get_field_index(Columns.USER)),
        offsets=before[offsets],
        positions=positions[keep],
        confidences=np.asarray(_flat(batch, Columns.CONFIDENCES), dtype=np.float64)[keep],
        bought=np.asarray(_flat(batch, Columns.BOUGHT), dtype=np.bool_)[keep],
        segments=batch.column(segment) if segment >= 0 else None,
    )


def _flat(batch: pa.RecordBatch, name: str) -> Any:
    return batch.column(batch.schema.get_field_index(name)).flatten().to_numpy(zero_copy_only=False)
