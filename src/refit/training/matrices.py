"""Pairs as a sparse matrix in the memory of one machine, and estimates of their size before collecting them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy.sparse import csr_array

from refit.columns import Columns
from refit.errors import DataRefusedError, NotEnoughDataError
from refit.training.stored_pairs import StoredPairs

_BYTES_PER_PAIR = 250
"""Memory per pair while collecting: both ids as text, their numbers, and the matrix in both orientations."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """Size of the training data; people and items may be approximate to a few percent."""

    pairs: int
    people: int
    items: int

    def local_bytes(self, rank: int, *, links: int = 0) -> int:
        """
        Return an estimate of the memory that training needs on one machine.

        It covers the pairs, the float32 factors of *rank* (0 for none) and *links* bytes for links between items.
        """
        return self.pairs * _BYTES_PER_PAIR + (self.people + self.items) * rank * 4 * 2 + links

    def __str__(self) -> str:
        """Return the size as a phrase for sentences."""
        return f"{self.pairs:,} pairs of about {self.people:,} people and {self.items:,} items"


def measure(pairs: DataFrame) -> Size:
    """
    Return the size of *pairs* with confidence above 0.

    Raises:
        DataRefusedError: a confidence is negative, NaN, infinite or missing.
        NotEnoughDataError: no pair has a confidence above 0.
    """
    value = F.col(Columns.CONFIDENCE)
    unusable = value.isNull() | F.isnan(value) | (value < 0) | (value == float("inf"))
    taught = (value > 0) & ~unusable
    row = pairs.agg(
        F.count(F.when(unusable, 1)),
        F.count(F.lit(1)),
        F.count(F.when(taught, 1)),
        F.approx_count_distinct(F.when(taught, F.col(Columns.USER))),
        F.approx_count_distinct(F.when(taught, F.col(Columns.ITEM))),
    ).collect()[0]
    require_usable(row[0], row[1])
    require_some(row[2], row[1])
    return Size(pairs=row[2], people=row[3], items=row[4])


def require_usable(unusable: int, pairs: int) -> None:
    """Raise DataRefusedError if any confidence is not a finite number of at least 0."""
    if unusable:
        raise DataRefusedError(
            f"{unusable:,} of {pairs:,} pairs have a confidence that is negative, NaN, infinite or missing; all "
            "must be 0 or more: look at the values of the events and at [confidence] in shop.toml"
        )


def require_some(taught: int, pairs: int) -> None:
    """Raise NotEnoughDataError if no pair has a confidence above 0."""
    if not taught:
        raise NotEnoughDataError(
            f"none of the {pairs:,} pairs of the training set has a confidence above 0, so there is nothing to learn; "
            "land more days, lengthen training.window_days, or look at [confidence] in shop.toml"
        )


@dataclass(frozen=True, eq=False)
class PairMatrix:
    """Confidences r > 0 of people (rows) for items (columns)."""

    items: pa.Array
    """Item ids, ascending; one per column."""
    confidences: csr_array
    """People x items, float64, columns ascending within a row."""

    @property
    def size(self) -> Size:
        """The exact size."""
        people, items = self.confidences.shape
        return Size(pairs=int(self.confidences.nnz), people=people, items=items)

    @cached_property
    def people_per_item(self) -> NDArray[np.int64]:
        """Number of people who touched each item."""
        return np.bincount(self.confidences.indices, minlength=len(self.items)).astype(np.int64)

    def powered(self, power: float) -> csr_array:
        """Return the matrix of r ** power."""
        data = np.power(self.confidences.data, power)
        return csr_array((data, self.confidences.indices, self.confidences.indptr), shape=self.confidences.shape)


def collect_pairs(pairs: DataFrame | StoredPairs) -> PairMatrix:
    """
    Return *pairs* (user_id, item_id, confidence; one row per pair) as a matrix; pairs of confidence 0 are left out.

    Rows and columns follow the order of the ids, so they do not depend on partitioning or reader. Raises what `measure`
    raises.
    """
    if isinstance(pairs, StoredPairs):
        table = pairs.table()
    else:
        table = pairs.select(Columns.USER, Columns.ITEM, Columns.CONFIDENCE).toArrow()
    values = np.asarray(table[Columns.CONFIDENCE].cast(pa.float64()).to_numpy(), dtype=np.float64)
    require_usable(int((~np.isfinite(values) | (values < 0)).sum()), len(values))
    require_some(int((values > 0).sum()), len(values))
    if not values.all():
        table, values = table.filter(pa.array(values > 0)), values[values > 0]
    people, rows = numbered(table[Columns.USER])
    items, columns = numbered(table[Columns.ITEM])
    matrix = csr_array((values, (rows, columns)), shape=(len(people), len(items)))
    matrix.sort_indices()
    return PairMatrix(items=items, confidences=matrix)


def numbered(ids: pa.ChunkedArray) -> tuple[pa.Array, NDArray[np.int32]]:
    """Return the distinct ids, ascending, and the index of each row's id among them."""
    codes = ids if pa.types.is_dictionary(ids.type) else ids.dictionary_encode()
    # Unify the dictionaries before joining chunks: joined text would not fit 32-bit offsets.
    encoded = codes.unify_dictionaries().combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):  # without a chunk there is nothing to combine
        encoded = pa.array([], pa.string()).dictionary_encode()
    rows = encoded.indices.to_numpy()
    names = encoded.dictionary.cast(pa.string())
    order = pc.sort_indices(names).to_numpy()
    # A dictionary may hold ids of rows that were left out.
    order = order[np.bincount(rows, minlength=len(names))[order] > 0]
    ranks = np.empty(len(names), dtype=np.int32)
    ranks[order] = np.arange(len(order), dtype=np.int32)
    return names.take(pa.array(order)), ranks[rows]
