"""Exact top-k."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def top_k(scores: NDArray[np.float32], allowed: NDArray[np.bool_], k: int) -> NDArray[np.int64]:
    """
    Return the positions of the *k* best allowed scores, best first; fewer when fewer are allowed.

    Ties go to the smaller position, so that the same scores always give the same list.

    >>> top_k(np.array([0.5, 0.9, 0.5, 0.7], dtype=np.float32), np.array([True, True, True, False]), 2)
    array([1, 0])
    """
    open_to = np.flatnonzero(allowed)
    values = scores[open_to]
    if len(open_to) > k:
        threshold = np.partition(values, len(values) - k)[len(values) - k]
        # Every tie at the threshold stays in, so that the tie rule and not the partition decides.
        kept = values >= threshold
        open_to, values = open_to[kept], values[kept]
    return open_to[np.argsort(-values, kind="stable")][:k]
