"""Search: the items with the largest products for many people, exactly and without visiting most items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

_FIRST, _LATER = 512, 2_048
"""Items in the first block, which finds everybody's first k, and at most in each later one."""
_EXTRA = 14
"""Candidates kept beyond k; more than these within the error of single precision are settled in double precision."""


@dataclass(frozen=True, eq=False)
class Found:
    """Candidates for the best of each person."""

    columns: NDArray[np.int64]
    """people x width, in no order; -1 where there are no more."""
    sure: NDArray[np.bool_]
    """Whether the true best k are surely among them; otherwise there were too many ties to tell."""


@dataclass(frozen=True, eq=False)
class Index:
    """
    Vectors of items by falling length, in single precision and scaled so that the longest has length 1.

    With |x| <= 1 every product and its partial sums stay within [-1, 1], whatever the units of the model are.
    """

    positions: NDArray[np.int64]
    """The position of the item in each column."""
    vectors: NDArray[np.float32]
    """columns x rank."""
    lengths: NDArray[np.float64]
    """Of each column, falling, never too small."""
    longest: float
    """The length before scaling that is now 1; 1 when every vector is 0."""

    @classmethod
    def of(cls, vectors: NDArray[np.float32], positions: NDArray[np.int64], factors: NDArray[np.float32]) -> Index:
        """Return the index of *vectors*, each times its factor; *positions* says which items these are."""
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
        """Position -> column, -1 for an item that is not here; one longer than the largest position."""
        found = np.full(int(self.positions.max(initial=-1)) + 2, -1, dtype=np.int64)
        found[self.positions] = np.arange(len(self.positions))
        return found

    def columns_of(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the columns of *positions*, -1 for an item that is not here."""
        return self.columns[np.minimum(positions, len(self.columns) - 1)]

    @property
    def error(self) -> float:
        """
        How far a product in single precision may be from the true one.

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

    *vectors* is people x rank, *closed* are rows and columns of pairs that must not be found, and *added* is people x
    columns: what each score gets beside the product. A person leaves when the length of the next item, times the
    length of the person's vector, plus the largest that is still to be added, falls below the k-th best so far
    (Cauchy-Schwarz), so that the rest need not be looked at.
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
        rows, places = barred[number]
        if not everybody:
            slots = np.full(people, -1)
            slots[active] = np.arange(len(active))
            rows = slots[rows]
            rows, places = rows[rows >= 0], places[rows >= 0]
        product[rows, places - start] = -np.inf
        _merge(scores, columns, active, product, start, k, index.error)
    columns[scores == -np.inf] = -1
    # Whoever is as good as the k-th within the error must be a candidate: there is room when the last one is worse.
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
    """Put what may be among the best k into the pools; column width - k of a pool is its k-th best."""
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
    slot = np.arange(len(flat)) - (np.cumsum(counts) - counts)[rows]
    more = int(counts.max())
    line = np.cumsum(counts > 0)[rows] - 1
    values = np.full((len(hit), width + more), -np.inf, dtype=np.float32)
    names = np.full((len(hit), width + more), -1, dtype=np.int64)
    values[:, :width] = scores[active[hit]]
    names[:, :width] = columns[active[hit]]
    values[line, width + slot] = product.ravel()[flat]
    names[line, width + slot] = flat - rows * product.shape[1] + start
    best = np.argpartition(values, (more, more + width - k), axis=1)[:, more:]
    scores[active[hit]] = np.take_along_axis(values, best, axis=1)
    columns[active[hit]] = np.take_along_axis(names, best, axis=1)


def _by_block(
    closed: tuple[NDArray[np.int64], NDArray[np.int64]], blocks: list[tuple[int, int]]
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    rows, places = closed
    order = np.argsort(places, kind="stable")
    rows, places = rows[order], places[order]
    cuts = np.searchsorted(places, [stop for _, stop in blocks])
    return list(zip(np.split(rows, cuts)[:-1], np.split(places, cuts)[:-1], strict=True))


def _largest_after(added: NDArray[np.float64], blocks: list[tuple[int, int]]) -> NDArray[np.float64]:
    """Return people x blocks: the largest of *added* in a block or after it, never below 0."""
    if not blocks:
        return np.zeros((len(added), 0))
    each = np.maximum.reduceat(added, [start for start, _ in blocks], axis=1)
    return np.asarray(np.maximum.accumulate(each[:, ::-1], axis=1)[:, ::-1])
