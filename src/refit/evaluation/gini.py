"""How unequally items are shown. Imports are few because Spark workers load this module while making lists."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]


def gini(counts: Counts) -> float:
    """
    Return the Gini index of how often items are shown: 0 when all are shown equally often, near 1 when few are.

    With counts in ascending order x_1 ... x_n it is sum of (2 i - n - 1) x_i / (n * sum of x) (Fleder and Hosanagar
    2009). Counts 0, 0, 1, 3: (-3 * 0 - 1 * 0 + 1 * 1 + 3 * 3) / (4 * 4).

    >>> gini(np.array([1, 0, 3, 0])), gini(np.array([2, 2]))
    (0.625, 0.0)
    """
    total, n = int(counts.sum()), len(counts)
    if not total:
        return 0.0
    ranks = 2 * np.arange(1, n + 1) - n - 1
    return float((ranks * np.sort(counts)).sum() / (n * total))
