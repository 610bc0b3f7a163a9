"""
Ranking metrics of one list against one person's relevant items.

Every function takes *hits*, an array of the list's length k that is 1 where the item at that rank is relevant, and
*relevant*, the number of relevant items (at least 1). A list shorter than k is padded with 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Hits = NDArray[np.float64]


def recall(hits: Hits, relevant: int) -> float:
    """
    Hits divided by the most that a list of this length can hit, min(k, relevant).

    >>> recall(np.array([1.0, 0.0, 1.0, 0.0]), 3)
    0.6666666666666666
    >>> recall(np.array([1.0, 1.0]), 10)
    1.0
    """
    return float(hits.sum() / min(len(hits), relevant))


def precision(hits: Hits, relevant: int) -> float:
    """
    Hits divided by k.

    >>> precision(np.array([1.0, 0.0, 1.0, 0.0]), 3)
    0.5
    """
    return float(hits.sum() / len(hits))


def average_precision(hits: Hits, relevant: int) -> float:
    """
    Precision at the rank of each hit, summed and divided by min(k, relevant).

    Hits at ranks 1 and 3 of 3 relevant: (1/1 + 2/3) / 3.

    >>> round(average_precision(np.array([1.0, 0.0, 1.0, 0.0]), 3), 6)
    0.555556
    """
    at_rank = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float((at_rank * hits).sum() / min(len(hits), relevant))


def ndcg(hits: Hits, relevant: int) -> float:
    """
    Discounted gain, 1 / log2(rank + 1) per hit, divided by that of a perfect list (Jarvelin and Kekalainen 2002).

    Hits at ranks 1 and 3 of 2 relevant: (1 + 1/2) / (1 + 1/log2(3)).

    >>> round(ndcg(np.array([1.0, 0.0, 1.0, 0.0]), 2), 6)
    0.919721
    """
    discounts = 1.0 / np.log2(np.arange(2, len(hits) + 2))
    return float((hits * discounts).sum() / discounts[: min(len(hits), relevant)].sum())


def hit_rate(hits: Hits, relevant: int) -> float:
    """
    1 if anything was hit, else 0.

    >>> hit_rate(np.array([0.0, 1.0]), 5), hit_rate(np.array([0.0, 0.0]), 5)
    (1.0, 0.0)
    """
    return float(hits.any())


METRICS: dict[str, Callable[[Hits, int], float]] = {
    "recall": recall,
    "precision": precision,
    "map": average_precision,
    "ndcg": ndcg,
    "hit_rate": hit_rate,
}
"""The metrics by the names that configuration, MLflow and reports use."""
