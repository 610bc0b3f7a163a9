"""Caps: at most so many items of one category in a list."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def earlier_of_group(groups: NDArray[np.int32]) -> NDArray[np.int64]:
    """
    Return for each place of each row how many places before it have the same group; groups below 0 count as 0.

    >>> earlier_of_group(np.array([[7, 3, 7, -1, 7, -1]], dtype=np.int32)).tolist()
    [[0, 0, 1, 0, 2, 0]]
    """
    rows, width = groups.shape
    order = np.argsort(groups, axis=1, kind="stable")
    sorted_groups = np.take_along_axis(groups, order, axis=1)
    places = np.arange(width)
    starts = np.zeros((rows, width), dtype=np.int64)
    changed = sorted_groups[:, 1:] != sorted_groups[:, :-1]
    starts[:, 1:] = np.maximum.accumulate(np.where(changed, places[1:], 0), axis=1)
    counts = np.empty((rows, width), dtype=np.int64)
    np.put_along_axis(counts, order, places - starts, axis=1)
    return np.where(groups < 0, 0, counts)


def keep_within_cap(
    positions: NDArray[np.int64], groups: NDArray[np.int32], cap: int | None, k: int
) -> NDArray[np.int64]:
    """
    Return for each row the places of its first *k* positions that the cap lets pass, in their order, -1 for no more.

    *positions* holds -1 where there is nothing; an item is skipped when *cap* items of its group come before it.
    """
    keep = positions >= 0
    if cap is not None:
        there = np.where(keep, groups[positions], -1).astype(np.int32)
        keep = keep & (earlier_of_group(there) < cap)
    return first_places(keep, k)


def first_places(keep: NDArray[np.bool_], k: int) -> NDArray[np.int64]:
    """
    Return the places of the first *k* true values of each row, -1 for no more.

    >>> first_places(np.array([[True, False, True, True], [False, False, True, False]]), 2).tolist()
    [[0, 2], [2, -1]]
    """
    rank = np.cumsum(keep, axis=1) - 1
    rows, places = np.nonzero(keep & (rank < k))
    found = np.full((len(keep), k), -1, dtype=np.int64)
    found[rows, rank[rows, places]] = places
    return found
