"""
Metrics of lists against the relevant items of people.

A metric takes *hits*, people x k, which is 1 (or True) where the item at that rank is relevant, and *relevant*, the
number of relevant items of each person (at least 1). It returns one value per person between 0 and 1. Lists shorter
than k are padded with 0. To cut lists at a shorter length, pass `hits[:, :length]`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Hits = NDArray[Any]
Counts = NDArray[np.int64]


def recall(hits: Hits, relevant: Counts) -> Values:
    """
    Hits divided by everything that is relevant.

    2 of 3 relevant items among 4 places; then 2 places, both hit, where 10 are relevant.

    >>> recall(np.array([[1, 0, 1, 0]]), np.array([3])).round(6)
    array([0.666667])
    >>> recall(np.array([[1, 1]]), np.array([10]))
    array([0.2])
    """
    return np.asarray(hits.sum(axis=1) / relevant)


def capped_recall(hits: Hits, relevant: Counts) -> Values:
    """
    Hits divided by the most that a list of this length can hit, min(k, relevant) (Thakur et al. 2021, R_cap).

    2 of 3 relevant items among 4 places; then 2 places, both hit, where 10 are relevant.

    >>> capped_recall(np.array([[1, 0, 1, 0]]), np.array([3])).round(6)
    array([0.666667])
    >>> capped_recall(np.array([[1, 1]]), np.array([10]))
    array([1.])
    """
    return np.asarray(hits.sum(axis=1) / np.minimum(hits.shape[1], relevant))


def precision(hits: Hits, relevant: Counts) -> Values:
    """
    Hits divided by k.

    >>> precision(np.array([[1, 0, 1, 0]]), np.array([3]))
    array([0.5])
    """
    return np.asarray(hits.sum(axis=1) / hits.shape[1])


def average_precision(hits: Hits, relevant: Counts) -> Values:
    """
    Precision at the rank of each hit, summed and divided by min(k, relevant); its mean over people is MAP.

    Hits at ranks 1 and 3 of 3 relevant: (1/1 + 2/3) / 3.

    >>> average_precision(np.array([[1, 0, 1, 0]]), np.array([3])).round(6)
    array([0.555556])
    """
    at_rank = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return np.asarray((at_rank * hits).sum(axis=1) / np.minimum(hits.shape[1], relevant))


def ndcg(hits: Hits, relevant: Counts) -> Values:
    """
    Discounted gain, 1 / log2(rank + 1) per hit, divided by that of a perfect list (Jarvelin and Kekalainen 2002).

    Hits at ranks 1 and 3 of 2 relevant: (1 + 1/2) / (1 + 1/log2(3)).

    >>> ndcg(np.array([[1, 0, 1, 0]]), np.array([2])).round(6)
    array([0.919721])
    """
    discounts = 1.0 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.cumsum(discounts)[np.minimum(hits.shape[1], relevant) - 1]
    return np.asarray((hits @ discounts) / ideal)


def hit_rate(hits: Hits, relevant: Counts) -> Values:
    """
    1 if anything was hit, else 0.

    >>> hit_rate(np.array([[0, 1], [0, 0]]), np.array([5, 5]))
    array([1., 0.])
    """
    return np.asarray(hits.any(axis=1), dtype=np.float64)


def reciprocal_rank(hits: Hits, relevant: Counts) -> Values:
    """
    1 / rank of the first hit, 0 without one; its mean over people is MRR (Voorhees 1999).

    >>> reciprocal_rank(np.array([[0, 0, 1, 1], [0, 0, 0, 0]]), np.array([2, 2])).round(6)
    array([0.333333, 0.      ])
    """
    found = hits.astype(np.bool_)
    return np.asarray(np.where(found.any(axis=1), 1.0 / (1.0 + found.argmax(axis=1)), 0.0))


METRICS: Mapping[str, Callable[[Hits, Counts], Values]] = {
    "recall": recall,
    "capped_recall": capped_recall,
    "precision": precision,
    "map": average_precision,
    "ndcg": ndcg,
    "hit_rate": hit_rate,
    "mrr": reciprocal_rank,
}
"""The metrics by their names in configuration, MLflow and reports."""
