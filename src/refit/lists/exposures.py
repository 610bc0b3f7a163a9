"""Exposures: how often each candidate item is shown, and how unequally."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from refit.evaluation.gini import gini

Exposures = NDArray[np.int64]
"""Number of list entries of each item of the candidate set."""


def pack(exposures: Exposures) -> str:
    """Return the counts of one block as text: 32-bit integers, deflated, Base64; at most a few bytes per item."""
    return base64.b64encode(zlib.compress(exposures.astype("<u4").tobytes(), 1)).decode("ascii")


def add_up(packed: Sequence[str]) -> Exposures:
    """Return the sum of the packed counts of several blocks over one candidate set."""
    total: Exposures = np.zeros(0, dtype=np.int64)
    for text in packed:
        counts = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype="<u4")
        total = counts + total if len(total) else counts.astype(np.int64)
    return total


def concentration(exposures: Exposures, allowed: int) -> dict[str, float]:
    """
    Return the number of exposures, the number of items shown, the top-1 % exposure share and the Gini index.

    The last two are over *allowed* items; 1 % is at least one item. Items shown although not allowed take part if they
    are among the *allowed* most shown ones. Exposures 3, 1, 0, 0 and one item that is not allowed:

    >>> concentration(np.array([0, 3, 1, 0, 0]), 4)
    {'places': 4, 'shown': 2, 'top_share': 0.75, 'gini': 0.625}
    """
    counts = np.sort(exposures)[len(exposures) - min(allowed, len(exposures)) :]
    total, top_items = int(exposures.sum()), -(-len(counts) // 100)
    return {
        "places": total,
        "shown": int((exposures > 0).sum()),
        "top_share": float(counts[len(counts) - top_items :].sum() / total) if total else 0.0,
        "gini": gini(counts),
    }
