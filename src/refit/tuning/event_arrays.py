"""A history of events in memory, from which pairs for any half-life and weights are computed in milliseconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy.sparse import csr_array

from refit.columns import Columns
from refit.config import Confidence
from refit.training.matrices import PairMatrix, numbered, require_some

BYTES_PER_EVENT = 200
"""Memory per event while collecting: both ids as text, then four numbers."""
_MICROSECONDS_PER_DAY = 86_400_000_000.0


@dataclass(frozen=True, eq=False)
class EventArrays:
    """The events of a history, sorted by person, then item, then time."""

    people: pa.Array
    """User ids, ascending."""
    items: pa.Array
    """Item ids, ascending."""
    types: tuple[str, ...]
    """Event types; *kind* indexes into them."""
    starts: NDArray[np.int64]
    """pairs + 1: the events of pair p are starts[p] to starts[p + 1]."""
    person: NDArray[np.int32]
    """Index of the person of each pair."""
    item: NDArray[np.int32]
    """Index of the item of each pair."""
    kind: NDArray[np.int32]
    """Index of the type of each event."""
    time: NDArray[np.int64]
    """Time of each event, microseconds since 1970."""
    value: NDArray[np.float64]
    """Value of each event; NaN for none."""

    @classmethod
    def collect(cls, events: DataFrame) -> EventArrays:
        """Collect *events* (contract columns) in an order that does not depend on partitioning."""
        table = events.select(
            Columns.USER,
            Columns.ITEM,
            Columns.EVENT_TYPE,
            F.unix_micros(Columns.EVENT_TIME).alias(Columns.EVENT_TIME),
            F.col(Columns.VALUE).cast("double"),
        ).toArrow()
        require_some(len(table), len(table))
        people, person = numbered(table[Columns.USER])
        items, item = numbered(table[Columns.ITEM])
        types, kind = numbered(table[Columns.EVENT_TYPE])
        time = np.asarray(table[Columns.EVENT_TIME].to_numpy(), dtype=np.int64)
        value = np.asarray(table[Columns.VALUE].to_numpy(), dtype=np.float64)
        order = np.lexsort((value, kind, time, item, person))
        person, item = person[order], item[order]
        first = np.flatnonzero(np.diff(person, prepend=-1) | np.diff(item, prepend=-1))
        return cls(
            people=people,
            items=items,
            types=tuple(types.to_pylist()),
            starts=np.append(first, len(order)).astype(np.int64),
            person=person[first],
            item=item[first],
            kind=kind[order],
            time=time[order],
            value=value[order],
        )

    def confidences(
        self, *, since: datetime, as_of: datetime, weights: Mapping[str, float], confidence: Confidence
    ) -> NDArray[np.float64]:
        """Return r of each pair, as `refit.lake.pairs.person_item_pairs` defines it."""
        weight = np.array([weights.get(name, 0.0) for name in self.types])[self.kind]
        strength = weight * self._values(confidence) * self._recency(confidence, as_of)
        recent = self.time >= _micros(since)
        pair = np.repeat(np.arange(len(self.person)), np.diff(self.starts))[recent]
        strength = strength[recent]
        count = len(self.person)
        if confidence.combine == "latest":
            result = np.zeros(count)
            # Within a pair, events ascend in time; of events at one instant, the strongest counts.
            order = np.lexsort((strength, self.time[recent], pair))
            result[pair[order]] = strength[order]
            return result
        total = np.asarray(np.bincount(pair, weights=strength, minlength=count), dtype=np.float64)
        if confidence.combine == "mean":
            return np.asarray(total / np.maximum(np.bincount(pair, minlength=count), 1))
        return np.log1p(total) if confidence.combine == "log_sum" else total

    def had(self, types: tuple[str, ...]) -> csr_array:
        """Return people x items: 1 where the pair has an event of *types*."""
        bought = np.isin(np.array(self.types), types)[self.kind].astype(np.int64)
        touched = np.add.reduceat(bought, self.starts[:-1]) > 0
        return self.matrix(touched.astype(np.float64))

    def matrix(self, values: NDArray[np.float64]) -> csr_array:
        """Return people x items with the *values* of the pairs; zeros are left out."""
        there = values > 0
        shape = (len(self.people), len(self.items))
        matrix = csr_array((values[there], (self.person[there], self.item[there])), shape=shape)
        matrix.sort_indices()
        return matrix

    def _values(self, confidence: Confidence) -> NDArray[np.float64]:
        value = np.maximum(np.nan_to_num(self.value, nan=0.0), 0.0)
        return {"ignore": np.ones_like(value), "log": np.log1p(value), "linear": value}[confidence.value]

    def _recency(self, confidence: Confidence, as_of: datetime) -> NDArray[np.float64]:
        if confidence.half_life_days is None:
            return np.ones(len(self.time))
        age = (_micros(as_of) - self.time) / _MICROSECONDS_PER_DAY
        return np.asarray(0.5 ** (age / confidence.half_life_days))


def taught_matrix(pairs: csr_array, items: pa.Array) -> tuple[PairMatrix, NDArray[np.int64]]:
    """
    Return *pairs* without empty rows and columns, and the columns that were kept.

    The matrix equals that of `refit.training.collect_pairs` for the same pairs, so both train the same model.
    """
    columns = np.flatnonzero(np.bincount(pairs.indices, minlength=pairs.shape[1]))
    rows = np.flatnonzero(np.diff(pairs.indptr))
    return PairMatrix(items=items.take(pa.array(columns)), confidences=pairs[rows][:, columns].tocsr()), columns


def _micros(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)
