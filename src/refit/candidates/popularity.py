"""Popularity: recently popular items, for people without a history and for items that the model lacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from refit.candidates.candidate_set import EVERYBODY, Popular
from refit.columns import Columns
from refit.config import Events

_WANTED = "wanted"
_TOUCHED = "touched"
_SCHEMA = pa.schema(
    [(Columns.SEGMENT, pa.string()), (Columns.ITEM, pa.string()), (_WANTED, pa.int64()), (_TOUCHED, pa.int64())]
)


@dataclass(frozen=True, eq=False)
class RecentInteractions:
    """Number of people of each segment who touched each item, counting each person once."""

    segments: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    """Parallel to the next three arrays; `EVERYBODY` for people without a segment, or in one that is too small."""
    items: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    wanted: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Number of people with an event that counts as success."""
    touched: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Number of people with any event used in training."""
    people: Mapping[str, int] = field(default_factory=dict)
    """Segment -> number of its people who wanted anything; `EVERYBODY` -> all people who did."""

    def people_of(self, items: pa.Array) -> NDArray[np.int64]:
        """Return the number of people, over all segments, who touched each of *items*."""
        positions = _positions(self.items, items)
        known = positions >= 0
        return np.bincount(positions[known], self.touched[known], minlength=len(items)).astype(np.int64)


def count_interactions(
    interactions: DataFrame, segments: DataFrame | None, *, events: Events, min_segment_people: int
) -> RecentInteractions:
    """
    Count the people who touched each item in *interactions*, which must hold only the recent days.

    *segments* has one row per `user_id` with its `segment`. A segment in which fewer than *min_segment_people* people
    wanted anything counts as `EVERYBODY`, so the result grows only with items and sufficiently large segments.
    """
    relevant = F.col(Columns.EVENT_TYPE).isin(*events.relevant)
    pairs = (
        interactions.where(F.col(Columns.EVENT_TYPE).isin(*events.weights))
        .groupBy(Columns.USER, Columns.ITEM)
        .agg(F.max(relevant).alias(_WANTED))
    )
    segment = F.lit(EVERYBODY)
    if segments is not None:
        pairs = pairs.join(segments, Columns.USER, "left")
        segment = F.coalesce(F.col(Columns.SEGMENT), segment)
    pairs = pairs.select(Columns.USER, Columns.ITEM, _WANTED, segment.alias(Columns.SEGMENT)).persist()
    try:
        people = _large_segments(pairs, min_segment_people)
        large = F.col(Columns.SEGMENT).isin([name for name in people if name != EVERYBODY])
        rows = (
            pairs.withColumn(Columns.SEGMENT, F.when(large, F.col(Columns.SEGMENT)).otherwise(EVERYBODY))
            .groupBy(Columns.SEGMENT, Columns.ITEM)
            .agg(F.count_if(_WANTED).alias(_WANTED), F.count(F.lit(1)).alias(_TOUCHED))
            .toArrow()
            .cast(_SCHEMA)
            .combine_chunks()
        )
    finally:
        pairs.unpersist()
    return RecentInteractions(
        segments=rows[Columns.SEGMENT].combine_chunks(),
        items=rows[Columns.ITEM].combine_chunks(),
        wanted=np.asarray(rows[_WANTED].to_numpy(), dtype=np.int64),
        touched=np.asarray(rows[_TOUCHED].to_numpy(), dtype=np.int64),
        people=people,
    )


def rank_popular(
    touches: RecentInteractions, items: pa.Array, allowed: NDArray[np.bool_], taught: NDArray[np.int64]
) -> dict[str, Popular]:
    """
    Return the allowed items touched by everybody, and by each large enough segment, best first.

    The score is the share of the segment's people who wanted the item in the recent days. Ties go to the item that more
    people of the segment touched, then to the one with more people in training (*taught*), then to the smaller
    position. *taught* has one entry per item of the model; the remaining *items* are new. A segment that touched no
    allowed item has no list.
    """
    before = np.concatenate([taught, np.zeros(len(items) - len(taught), dtype=np.int64)])
    positions = _positions(touches.items, items)
    usable = (positions >= 0) & allowed[positions]
    ranked = {}
    for name, people in touches.people.items():
        mine = usable if name == EVERYBODY else usable & _equal(touches.segments, name)
        wanted, touched = (
            np.bincount(positions[mine], count[mine], minlength=len(items))
            for count in (touches.wanted, touches.touched)
        )
        found = np.flatnonzero(touched)
        if len(found):
            order = found[np.lexsort((-before[found], -touched[found], -wanted[found]))]
            ranked[name] = Popular(order, (wanted[order] / max(people, 1)).astype(np.float32))
    return ranked


def _large_segments(pairs: DataFrame, min_people: int) -> dict[str, int]:
    sizes = pairs.where(_WANTED).groupBy(Columns.SEGMENT).agg(F.count_distinct(Columns.USER).alias("people"))
    large = (F.col("people") >= min_people) & (F.col(Columns.SEGMENT) != EVERYBODY)
    rows = (
        sizes.groupBy(F.when(large, F.col(Columns.SEGMENT)).otherwise(EVERYBODY).alias(Columns.SEGMENT))
        .agg(F.sum("people").alias("people"))
        .orderBy(Columns.SEGMENT)
        .collect()
    )
    people = {str(name): int(count) for name, count in rows}
    return {**people, EVERYBODY: sum(people.values())}


def _positions(ids: pa.Array, items: pa.Array) -> NDArray[np.int64]:
    found = pc.fill_null(pc.index_in(ids, value_set=items), -1)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)


def _equal(names: pa.Array, name: str) -> NDArray[np.bool_]:
    return np.asarray(pc.equal(names, name).to_numpy(zero_copy_only=False), dtype=np.bool_)
