"""Exposures: how often each item of a shelf is shown, and how unequally."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from refit.evaluation.gini import gini

Exposures = NDArray[np.int64]
"""In how many places each item of the shelf stands."""


def pack(exposures: Exposures) -> str:
    """Return the counts of one block as text: 32-bit numbers, deflated, Base64; a few bytes for an item at most."""
    return base64.b64encode(zlib.compress(exposures.astype("<u4").tobytes(), 1)).decode("ascii")


def add_up(packed: Sequence[str]) -> Exposures:
    """Return the sum of the counts of several blocks of one shelf."""
    total: Exposures = np.zeros(0, dtype=np.int64)
    for text in packed:
        counts = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype="<u4")
        total = counts + total if len(total) else counts.astype(np.int64)
    return total


def concentration(exposures: Exposures, allowed: int) -> dict[str, float]:
    """
    Return the places, the different items, the share of places of the most shown hundredth of the items, and the Gini.

    The last two are over the *allowed* items of the shelf, and a hundredth is at least one item; of items that are
    shown although they are not allowed the most shown count. Places 3, 1, 0, 0 and one item that is not allowed:

    >>> concentration(np.array([0, 3, 1, 0, 0]), 4)
    {'places': 4, 'shown': 2, 'top_share': 0.75, 'gini': 0.625}
    """
    counts = np.sort(exposures)[len(exposures) - min(allowed, len(exposures)) :]
    places, most = int(exposures.sum()), -(-len(counts) // 100)
    return {
        "places": places,
        "shown": int((exposures > 0).sum()),
        "top_share": float(counts[len(counts) - most :].sum() / places) if places else 0.0,
        "gini": gini(counts),
    }
