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
from refit.training.sparse_rows import strongest

_AT_ONCE = 256
"""Rows of the matrix that are made or mirrored together: what is beside the matrix stays small."""


def closed_form_bytes(items: int, settings: ClosedForm) -> int:
    """Return the bytes that the links of *items* items need while they are made: one matrix, some rows, the links."""
    rows = 3 * 12 * min(_AT_ONCE, items) * items
    return 8 * items**2 + rows + 24 * items * min(settings.links, items)


def closed_form_links(pairs: PairMatrix, settings: ClosedForm) -> ItemItemWeights:
    """
    Return the item-item weights B = I - P diag(1 / diag P) with P = (XtX + lambda I)^-1 and X = r ** power.

    That is the least-squares solution of X = X B with a zero diagonal (Steck, "Embarrassingly Shallow Autoencoders for
    Sparse Data", 2019). Of each past item the `links` largest by absolute value are kept. One matrix of items x items
    in double precision is all that is held: XtX becomes P, and P becomes B, in the same memory.

    Raises:
        NotEnoughDataError: more items than `max_items`; time grows with their cube.
    """
    count = len(pairs.items)
    if count > settings.max_items:
        raise NotEnoughDataError(
            f"a closed-form model of {count:,} items would invert a matrix of {count:,} x {count:,}; at most "
            f"{settings.max_items:,} items are allowed: raise closed_form.max_items, or train neighbours or als instead"
        )
    matrix = _gram(pairs.powered(settings.power))
    matrix[np.diag_indices(count)] += settings.regularisation
    _invert(matrix)
    matrix /= -np.diag(matrix).copy()
    matrix[np.diag_indices(count)] = 0.0
    return strongest(matrix, settings.links, settings.power)


def _gram(touched: csr_array) -> NDArray[np.float64]:
    """Return XtX, some rows at a time: as a sparse matrix it can be larger than as a dense one."""
    count = touched.shape[1]
    by_item = touched.T.tocsr()
    gram = np.empty((count, count))
    for first in range(0, count, _AT_ONCE):
        rows = slice(first, first + _AT_ONCE)
        gram[rows] = (by_item[rows] @ touched).toarray()
    return gram


def _invert(matrix: NDArray[np.float64]) -> None:
    """Put the inverse of a symmetric positive definite *matrix* in its place, through its Cholesky factor."""
    # LAPACK reads columns first; the transpose of a symmetric matrix is itself and needs no copy.
    factor, failed = lapack.dpotrf(matrix.T, lower=1, overwrite_a=1, clean=0)
    if failed:
        raise NotEnoughDataError(
            f"the items' Gram matrix is singular at item {failed:,}; raise closed_form.regularisation"
        )
    half, _ = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if not np.shares_memory(half, matrix):
        matrix[:] = half.T
    # What is above the diagonal here is below it there, and the other half is left over from the factor.
    count = len(matrix)
    for first in range(0, count, _AT_ONCE):
        last = min(first + _AT_ONCE, count)
        square = matrix[first:last, first:last]
        square[:] = np.triu(square) + np.triu(square, 1).T
        matrix[last:, first:last] = matrix[first:last, last:].T
