"""Closed-form links between items."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

from refit.config import ClosedForm
from refit.errors import NotEnoughDataError
from refit.links import ItemLinks
from refit.training.matrices import PairMatrix
from refit.training.sparse_rows import strongest


def closed_form_links(pairs: PairMatrix, settings: ClosedForm) -> ItemLinks:
    """
    Return the item-item weights B = I - P diag(1 / diag P) with P = (XtX + lambda I)^-1 and X = r ** power.

    That is the least-squares solution of X = X B with a zero diagonal (Steck, "Embarrassingly Shallow Autoencoders for
    Sparse Data", 2019). Of each past item the `links` largest by absolute value are kept.

    Raises:
        NotEnoughDataError: more items than `max_items`; time grows with their cube.
    """
    count = len(pairs.items)
    if count > settings.max_items:
        raise NotEnoughDataError(
            f"a closed-form model of {count:,} items would invert a matrix of {count:,} x {count:,}; at most "
            f"{settings.max_items:,} items are allowed: raise closed_form.max_items, or train neighbours or als instead"
        )
    touched = pairs.powered(settings.power)
    gram = (touched.T @ touched).toarray()
    gram[np.diag_indices(count)] += settings.regularisation
    inverse = _inverse(gram)
    diagonal = np.diag(inverse).copy()
    inverse /= -diagonal
    inverse[np.diag_indices(count)] = 0.0
    return strongest(inverse, settings.links, settings.power)


def _inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverse of a symmetric positive definite matrix, through its Cholesky factor."""
    # LAPACK reads columns first; the transpose of a symmetric matrix is itself and needs no copy.
    factor, failed = lapack.dpotrf(matrix.T, lower=1, overwrite_a=1, clean=0)
    if failed:
        raise NotEnoughDataError(
            f"the items' Gram matrix is singular at item {failed:,}; raise closed_form.regularisation"
        )
    half, _ = lapack.dpotri(factor, lower=1, overwrite_c=1)
    lower: NDArray[np.float64] = np.tril(half)
    lower += np.tril(half, -1).T
    return lower
