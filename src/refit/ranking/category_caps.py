"""Caps: limit the number of items of one category in a list."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def earlier_of_group(groups: NDArray[np.int32]) -> NDArray[np.int64]:
    """
    Return, for each entry, the number of earlier entries of its row in the same group; 0 for groups below 0.

    >>> earlier_of_group(np.array([[7, 3, 7, -1, 7, -1]], dtype=np.int32)).tolist()
    [[0, 0, 1, 0, 2, 0]]
    """
    rows, width = groups.shape
    order = np.argsort(groups, axis=1, kind="stable")
    sorted_groups = np.take_along_axis(groups, order, axis=1)
    ranks = np.arange(width)
    group_starts = np.zeros((rows, width), dtype=np.int64)
    changed = sorted_groups[:, 1:] != sorted_groups[:, :-1]
    group_starts[:, 1:] = np.maximum.accumulate(np.where(changed, ranks[1:], 0), axis=1)
    counts = np.empty((rows, width), dtype=np.int64)
    np.put_along_axis(counts, order, ranks - group_starts, axis=1)
    return np.where(groups < 0, 0, counts)


def keep_within_cap(
    positions: NDArray[np.int64], groups: NDArray[np.int32], cap: int | None, k: int
) -> NDArray[np.int64]:
    """
    Return, for each row, the column indices of its first *k* positions within the cap, in order, -1 after the last.

    *positions* is -1 where there is no item; an item is skipped if *cap* items of its group come before it.
    """
    keep = positions >= 0
    if cap is not None:
        there = np.where(keep, groups[positions], -1).astype(np.int32)
        keep = keep & (earlier_of_group(there) < cap)
    return first_places(keep, k)


def first_places(keep: NDArray[np.bool_], k: int) -> NDArray[np.int64]:
    """
    Return the column indices of the first *k* true values of each row, -1 after the last.

    >>> first_places(np.array([[True, False, True, True], [False, False, True, False]]), 2).tolist()
    [[0, 2], [2, -1]]
    """
    rank = np.cumsum(keep, axis=1) - 1
    rows, columns = np.nonzero(keep & (rank < k))
    found = np.full((len(keep), k), -1, dtype=np.int64)
    found[rows, rank[rows, columns]] = columns
    return found
