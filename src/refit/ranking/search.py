"""Search: exact maximum-inner-product search for many people, without visiting most items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

_FIRST, _LATER = 512, 2_048
"""Number of items in the first block, which finds everybody's first k, and the maximum in later blocks."""
_EXTRA = 14
"""Candidates kept beyond k; if more are tied within single-precision error, scores are redone in double precision."""


@dataclass(frozen=True, eq=False)
class Found:
    """Candidates for the best items of each person."""

    columns: NDArray[np.int64]
    """people x width, unordered; -1 where there is no further candidate."""
    sure: NDArray[np.bool_]
    """Whether the candidates certainly include the true best k; false if there were too many ties."""


@dataclass(frozen=True, eq=False)
class Index:
    """
    Item vectors by descending length, in single precision and scaled so that the longest has length 1.

    With |x| <= 1, every product and its partial sums stay within [-1, 1], whatever the units of the model.
    """

    positions: NDArray[np.int64]
    """The position of the item in each column."""
    vectors: NDArray[np.float32]
    """columns x rank."""
    lengths: NDArray[np.float64]
    """Length of each column, descending; rounded up, never too small."""
    longest: float
    """Length of the longest vector before scaling; 1 when every vector is 0."""

    @classmethod
    def of(cls, vectors: NDArray[np.float32], positions: NDArray[np.int64], factors: NDArray[np.float32]) -> Index:
        """Return the index of *vectors*, each multiplied by its factor; *positions* are their item positions."""
        lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)) * factors
        order = np.argsort(-lengths, kind="stable")
        longest = float(lengths[order[0]]) if len(order) and lengths[order[0]] > 0 else 1.0
        scale = (factors / longest)[order, None]
        return cls(
            positions=positions[order],
            vectors=(vectors[order] * scale).astype(np.float32),
            lengths=lengths[order] / longest * (1 + 1e-9),
            longest=longest,
        )

    @cached_property
    def columns(self) -> NDArray[np.int64]:
        """Position -> column, -1 for an item outside the index; one entry longer than the largest position needs."""
        found = np.full(int(self.positions.max(initial=-1)) + 2, -1, dtype=np.int64)
        found[self.positions] = np.arange(len(self.positions))
        return found

    def columns_of(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the columns of *positions*, -1 for an item outside the index."""
        return self.columns[np.minimum(positions, len(self.columns) - 1)]

    @property
    def error(self) -> float:
        """
        Upper bound on the error of a product in single precision.

        (rank + 4) u |x| |y| with u = 2^-24: rounding of both vectors and of a sum in any order (Higham 2002, 3.1); the
        rest covers sums with a second term of at most 1 and numbers too small for single precision.
        """
        return float((self.vectors.shape[1] + 8) * 2.0**-24 + 1e-30)

    def blocks(self, width: int) -> Iterator[tuple[int, int]]:
        """Yield the first and last column of each block; the first is wide enough to hold *width* items."""
        start, size = 0, max(_FIRST, 2 * width)
        while start < len(self.positions):
            stop = min(start + size, len(self.positions))
            yield start, stop
            start, size = stop, min(2 * size, max(_LATER, 2 * width))


def search(
    index: Index,
    vectors: NDArray[np.float64],
    closed: tuple[NDArray[np.int64], NDArray[np.int64]],
    k: int,
    added: NDArray[np.float64] | None = None,
) -> Found:
    """
    Return candidates among which are the best *k* columns of each person.

    *vectors* is people x rank, *closed* holds rows and columns of excluded pairs, and *added* is people x columns,
    terms added to the products. The search stops for a person when the length of the next item times the length of the
    person's vector, plus the largest term still to be added, falls below the k-th best score so far (Cauchy-Schwarz).
    """
    people, width = len(vectors), k + _EXTRA
    reach = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    scale = reach * index.longest
    if added is not None:
        scale = scale + np.abs(added).max(axis=1, initial=0.0)
    scale[scale == 0] = 1.0
    ours = (vectors * (index.longest / scale)[:, None]).astype(np.float32)
    reach = reach * index.longest / scale
    scores = np.full((people, width), -np.inf, dtype=np.float32)
    columns = np.full((people, width), -1, dtype=np.int64)
    blocks = list(index.blocks(width))
    tail = _largest_after(added / scale[:, None], blocks) if added is not None else None
    barred = _by_block(closed, blocks)
    active = np.arange(people)
    for number, (start, stop) in enumerate(blocks):
        if number:
            bound = reach[active] * index.lengths[start] + (tail[active, number] if tail is not None else 0.0)
            active = active[bound >= scores[active, width - k] - index.error]
            if not len(active):
                break
        everybody = len(active) == people
        product = (ours if everybody else ours[active]) @ index.vectors[start:stop].T
        if added is not None:
            product += added[active, start:stop] / scale[active, None]
        rows, barred_columns = barred[number]
        if not everybody:
            slots = np.full(people, -1)
            slots[active] = np.arange(len(active))
            rows = slots[rows]
            rows, barred_columns = rows[rows >= 0], barred_columns[rows >= 0]
        product[rows, barred_columns - start] = -np.inf
        _merge(scores, columns, active, product, start, k, index.error)
    columns[scores == -np.inf] = -1
    # Every item that ties with the k-th within the error must be a candidate; that holds if the last one is worse.
    sure = scores[:, 0] < scores[:, width - k] - 2 * index.error
    return Found(columns, sure | (scores[:, 0] == -np.inf))


def _merge(
    scores: NDArray[np.float32],
    columns: NDArray[np.int64],
    active: NDArray[np.int64],
    product: NDArray[np.float32],
    start: int,
    k: int,
    error: float,
) -> None:
    """Merge products that may be among the best k into the pools; column width - k of a pool is its k-th best."""
    width = scores.shape[1]
    floor = scores[active, width - k] - np.float32(2 * error)
    if start == 0 and product.shape[1] > width:
        floor = np.partition(product, product.shape[1] - width, axis=1)[:, product.shape[1] - width]
    flat = np.flatnonzero(product >= floor[:, None])
    if not len(flat):
        return
    rows = flat // product.shape[1]
    counts = np.bincount(rows, minlength=len(active))
    hit = np.flatnonzero(counts)
    offset = np.arange(len(flat)) - (np.cumsum(counts) - counts)[rows]
    more = int(counts.max())
    pool = np.cumsum(counts > 0)[rows] - 1
    values = np.full((len(hit), width + more), -np.inf, dtype=np.float32)
    names = np.full((len(hit), width + more), -1, dtype=np.int64)
    values[:, :width] = scores[active[hit]]
    names[:, :width] = columns[active[hit]]
    values[pool, width + offset] = product.ravel()[flat]
    names[pool, width + offset] = flat - rows * product.shape[1] + start
    best = np.argpartition(values, (more, more + width - k), axis=1)[:, more:]
    scores[active[hit]] = np.take_along_axis(values, best, axis=1)
    columns[active[hit]] = np.take_along_axis(names, best, axis=1)


def _by_block(
    closed: tuple[NDArray[np.int64], NDArray[np.int64]], blocks: list[tuple[int, int]]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    rows, columns = closed
    order = np.argsort(columns, kind="stable")
    rows, columns = rows[order], columns[order]
    cuts = np.searchsorted(columns, [stop for _, stop in blocks])
    return list(zip(np.split(rows, cuts)[:-1], np.split(columns, cuts)[:-1], strict=True))


def _largest_after(added: NDArray[np.float64], blocks: list[tuple[int, int]]) -> NDArray[np.float64]:
    """Return people x blocks: the largest value of *added* in a block or later, at least 0."""
    if not blocks:
        return np.zeros((len(added), 0))
    each = np.maximum.reduceat(added, [start for start, _ in blocks], axis=1)
    return np.asarray(np.maximum.accumulate(each[:, ::-1], axis=1)[:, ::-1])
