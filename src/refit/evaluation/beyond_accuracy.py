"""
Properties of lists beyond accuracy: catalogue coverage, novelty, popularity and diversity.

*lists* are people x k item positions, best first, -1 where a list is shorter. *people* is the number of people in the
training set who touched each item.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from refit.evaluation.gini import gini

__all__ = ["coverage", "diversity", "gini", "novelty", "popularity_lift", "shown"]

Lists = NDArray[np.integer[Any]]
Counts = NDArray[np.int64]


def shown(lists: Lists, items: int) -> Counts:
    """
    Return how often each of *items* items is recommended.

    >>> shown(np.array([[0, 2], [2, -1]]), 4)
    array([1, 0, 2, 0])
    """
    return np.bincount(lists[lists >= 0], minlength=items)


def coverage(counts: Counts) -> float:
    """
    Return the share of the catalogue that is in at least one list, from the result of `shown`.

    >>> coverage(np.array([1, 0, 2, 0]))
    0.5
    """
    return float((counts > 0).mean()) if len(counts) else 0.0


def novelty(lists: Lists, people: Counts, everybody: int) -> float:
    """
    Return the mean self-information of recommended items, -log2(share of people who know the item), in bits.

    After Zhou et al. (2010), over all entries of all lists. An item without people counts as having one. Of 8 people,
    4 know the first item and 1 the second: (1 + 3) / 2 bits.

    >>> novelty(np.array([[0, 1]]), np.array([4, 1]), 8)
    2.0
    """
    recommended = lists[lists >= 0]
    if not len(recommended):
        return 0.0
    return float(np.mean(np.log2(everybody) - np.log2(np.maximum(people[recommended], 1))))


def popularity_lift(lists: Lists, people: Counts, past: NDArray[np.float64]) -> float:
    """
    Return the popularity of the lists relative to the same people's histories; 1 means equally popular.

    The popularity of an item is the number of people who touched it; means are taken over the entries of a list and
    then over people (after Abdollahpouri et al. 2019, as a ratio). *past* is the mean over each person's past items.
    Empty lists are left out. A list of items with 4 and 2 people, for past items with 2 people on average: 3 / 2.

    >>> popularity_lift(np.array([[0, 1]]), np.array([4, 2]), np.array([2.0]))
    1.5
    """
    filled = lists >= 0
    length = filled.sum(axis=1)
    kept = length > 0
    before = float(past[kept].mean()) if kept.any() else 0.0
    if not before:
        return 0.0
    popularity = np.where(filled, people[np.where(filled, lists, 0)], 0).sum(axis=1)
    return float((popularity[kept] / length[kept]).mean() / before)


def diversity(lists: Lists, touched: sparse.csr_matrix) -> float:
    """
    Return 1 - the mean cosine of pairs of items within a list (Smyth and McClave 2001), averaged over lists.

    An item is represented by the set of people who touched it (*touched* is people x items), so two items are similar
    if the same people touch both. The measure is therefore the same for every model, with or without factors, and
    needs no catalogue. For unit vectors the sum over pairs is (|sum of the vectors|^2 - sum of |vector|^2) / 2. Lists
    of fewer than two items are left out.

    Three people: both touch items 0 and 1, the third touches item 2; the pairs have cosines 1, 0 and 0.

    >>> people = sparse.csr_matrix(np.array([[1, 1, 0], [1, 1, 0], [0, 0, 1]]))
    >>> round(diversity(np.array([[0, 1, 2]]), people), 6)
    0.666667
    """
    filled = lists >= 0
    length = filled.sum(axis=1)
    chosen = np.flatnonzero(length > 1)
    if not len(chosen):
        return 0.0
    ones = sparse.csr_matrix(
        (np.ones(len(touched.data)), touched.indices, touched.indptr), shape=touched.shape, dtype=np.float64
    )
    sizes = np.asarray(ones.sum(axis=0)).ravel()
    unit = (ones @ sparse.diags(1.0 / np.sqrt(np.maximum(sizes, 1.0)))).T.tocsr()
    rows = np.repeat(np.arange(len(chosen)), length[chosen])
    picked = lists[chosen][filled[chosen]]
    inside = sparse.csr_matrix((np.ones(len(picked)), (rows, picked)), shape=(len(chosen), touched.shape[1]))
    sums = inside @ unit
    norms = np.asarray(sums.multiply(sums).sum(axis=1)).ravel()
    own = inside @ (sizes > 0).astype(np.float64)
    pairs = length[chosen] * (length[chosen] - 1)
    return float(1.0 - ((norms - own) / pairs).mean())
