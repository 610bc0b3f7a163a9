"""Item-item neighbours."""

from __future__ import annotations

import numpy as np

from refit.config import Neighbours
from refit.model.item_links import ItemItemWeights
from refit.training.matrices import PairMatrix
from refit.training.sparse_rows import strongest_of

_ROWS_AT_ONCE = 256
"""Number of items whose similarities are in memory together, so that the whole Gram matrix need not fit."""


def neighbour_links(pairs: PairMatrix, settings: Neighbours) -> ItemItemWeights:
    """
    Return the `neighbours` largest cosines of each item with other items, over people.

    The cosine of the columns i and j of X = r ** power is shrunk towards 0: XtX[i, j] / (|X_i| |X_j| + shrinkage)
    (Sarwar et al. 2001; shrinkage after Bell and Koren 2007).
    """
    touched = pairs.powered(settings.power)
    by_item = touched.T.tocsr()
    norms = np.sqrt(np.asarray((touched.multiply(touched)).sum(axis=0)).ravel())
    row_starts, targets, values = [0], [], []
    for first in range(0, len(pairs.items), _ROWS_AT_ONCE):
        similar = (by_item[first : first + _ROWS_AT_ONCE] @ touched).tocsr()
        similar.sort_indices()
        for row in range(similar.shape[0]):
            part = slice(similar.indptr[row], similar.indptr[row + 1])
            others = similar.indices[part]
            cosines = similar.data[part] / (norms[first + row] * norms[others] + settings.shrinkage)
            cosines[others == first + row] = 0.0
            chosen = strongest_of(cosines, settings.neighbours)
            targets.append(others[chosen])
            values.append(cosines[chosen])
            row_starts.append(row_starts[-1] + len(chosen))
    return ItemItemWeights(
        starts=np.asarray(row_starts, dtype=np.int64),
        targets=np.concatenate(targets).astype(np.int32),
        values=np.concatenate(values).astype(np.float32),
        power=settings.power,
    )
