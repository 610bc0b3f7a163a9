"""Keeps the strongest entries of each row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refit.model.item_links import ItemItemWeights


def strongest(weights: NDArray[np.float64], most: int, power: float) -> ItemItemWeights:
    """
    Return up to *most* largest nonzero entries by absolute value of each row of *weights* (items x items).

    Ties go to the smaller position.

    >>> kept = strongest(np.array([[0.0, 0.2, -0.3], [0.2, 0.0, 0.2], [0.0, 0.0, 0.0]]), 1, 1.0)
    >>> kept.starts.tolist(), kept.targets.tolist(), kept.values.tolist()
    ([0, 1, 2, 2], [2, 0], [-0.30000001192092896, 0.20000000298023224])
    """
    row_starts, targets, values = [0], [], []
    for row in weights:
        chosen = strongest_of(row, most)
        targets.append(chosen)
        values.append(row[chosen])
        row_starts.append(row_starts[-1] + len(chosen))
    return ItemItemWeights(
        starts=np.asarray(row_starts, dtype=np.int64),
        targets=np.concatenate(targets).astype(np.int32),
        values=np.concatenate(values).astype(np.float32),
        power=power,
    )


def strongest_of(row: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Return the positions, ascending, of up to *most* largest nonzero entries by absolute value."""
    sizes = np.abs(row)
    if most < len(row):
        threshold = np.partition(sizes, len(row) - most)[len(row) - most]
        above = np.flatnonzero((sizes > threshold) & (sizes > 0))
        tied = np.flatnonzero((sizes == threshold) & (sizes > 0))[: most - len(above)]
        return np.sort(np.concatenate([above, tied]))
    return np.flatnonzero(sizes > 0)
