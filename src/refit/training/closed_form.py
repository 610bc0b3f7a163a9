"""Closed-form links between items."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.sparse import csr_array

from refit.config import ClosedForm
from refit.errors import NotEnoughDataError
from refit.model.item_links import ItemItemWeights
from refit.training.matrices import PairMatrix
from refit.training.restricted_closed_form import restricted_bytes, restricted_links
from refit.training.sparse_rows import strongest

_AT_ONCE = 256
"""Number of rows computed or mirrored together; keeps the memory besides the matrix small."""


def is_restricted(items: int, settings: ClosedForm) -> bool:
    """Return whether a catalogue of *items* items is too large for one matrix, see `restricted_links`."""
    return items > settings.max_items


def closed_form_bytes(items: int, settings: ClosedForm) -> int:
    """Return the bytes needed to compute the links of *items* items: one matrix, some rows, the links."""
    if is_restricted(items, settings):
        return restricted_bytes(items, settings)
    rows = 3 * 12 * min(_AT_ONCE, items) * items
    return 8 * items**2 + rows + 24 * items * min(settings.links, items)


def closed_form_links(pairs: PairMatrix, settings: ClosedForm) -> ItemItemWeights:
    """
    Return the item-item weights B = I - P diag(1 / diag P) with P = (XtX + lambda I)^-1 and X = r ** power.

    That is the least-squares solution of X = X B with a zero diagonal (Steck, "Embarrassingly Shallow Autoencoders for
    Sparse Data", 2019). For each past item, the `links` largest weights by absolute value are kept. Only one items x
    items matrix in double precision is held: XtX becomes P, and P becomes B, in the same memory. More than `max_items`
    items do not share an equation; see `restricted_links`.

    Raises:
        NotEnoughDataError: the Gram matrix is singular without more regularisation.
    """
    count = len(pairs.items)
    if is_restricted(count, settings):
        return restricted_links(pairs, settings)
    matrix = _gram(pairs.powered(settings.power))
    matrix[np.diag_indices(count)] += settings.regularisation
    _invert(matrix)
    matrix /= -np.diag(matrix).copy()
    matrix[np.diag_indices(count)] = 0.0
    return strongest(matrix, settings.links, settings.power)


def _gram(touched: csr_array) -> NDArray[np.float64]:
    """Return a dense XtX, computed some rows at a time, because a sparse one can be larger."""
    count = touched.shape[1]
    by_item = touched.T.tocsr()
    gram = np.empty((count, count))
    for first in range(0, count, _AT_ONCE):
        rows = slice(first, first + _AT_ONCE)
        gram[rows] = (by_item[rows] @ touched).toarray()
    return gram


def _invert(matrix: NDArray[np.float64]) -> None:
    """Invert a symmetric positive definite *matrix* in place through its Cholesky factor."""
    # LAPACK reads columns first; the transpose of a symmetric matrix is itself and needs no copy.
    factor, failed = lapack.dpotrf(matrix.T, lower=1, overwrite_a=1, clean=0)
    if failed:
        raise NotEnoughDataError(
            f"the items' Gram matrix is singular at item {failed:,}; raise closed_form.regularisation"
        )
    half, _ = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if not np.shares_memory(half, matrix):
        matrix[:] = half.T
    # LAPACK's lower triangle is the upper one here; the other half holds remains of the factor and is mirrored over.
    count = len(matrix)
    for first in range(0, count, _AT_ONCE):
        last = min(first + _AT_ONCE, count)
        square = matrix[first:last, first:last]
        square[:] = np.triu(square) + np.triu(square, 1).T
        matrix[last:, first:last] = matrix[first:last, last:].T
