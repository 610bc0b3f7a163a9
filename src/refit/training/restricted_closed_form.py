"""Closed-form links for catalogues too large for one matrix: each item is regressed on its closest items alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.sparse import csr_array

from refit.config import ClosedForm
from refit.errors import NotEnoughDataError
from refit.model.item_links import ItemItemWeights
from refit.training.matrices import PairMatrix
from refit.training.sparse_rows import strongest_of

_ROWS_AT_ONCE = 256
"""Number of rows of the Gram matrix in memory together."""
_BYTES_PER_ENTRY, _BYTES_PER_WEIGHT = 24, 40
"""An entry of the Gram matrix, twice while rows are joined; a weight, with its copies while they are transposed."""


def restricted_bytes(items: int, settings: ClosedForm) -> int:
    """Return an estimate in bytes of the memory for the links of *items* items; it grows with their number."""
    held, near = (min(count, items) for count in (max(settings.held, settings.neighbourhood), settings.neighbourhood))
    return items * (_BYTES_PER_ENTRY * held + _BYTES_PER_WEIGHT * near)


def restricted_links(pairs: PairMatrix, settings: ClosedForm) -> ItemItemWeights:
    """
    Return the links of a closed form in which each item is explained by its closest `neighbourhood` items alone.

    The closed form solves, for each item j, the ridge regression of its column of X = r ** power on all other columns
    (Steck 2019). Here the other columns are those with the largest cosines N (as in fsSLIM, Ning and Karypis 2011):
    w = (X_N' X_N + lambda I)^-1 X_N' x_j; where somebody had each pair of items and N is all other items, both are
    equal. Of XtX each row holds its `held` entries with the largest cosines, and an entry that neither row holds counts
    as 0; where what is held is not positive definite, X_N' X_N is computed whole for that item. For each past item, the
    `links` largest weights are kept.

    Raises:
        NotEnoughDataError: a neighbourhood is singular without more regularisation.
    """
    touched = pairs.powered(settings.power)
    by_item = touched.T.tocsr()
    squares = np.asarray(touched.multiply(touched).sum(axis=0)).ravel()
    held = _held_gram(by_item, touched, squares, max(settings.held, settings.neighbourhood))
    starts, sources, values = [0], [], []
    for item in range(len(squares)):
        part = slice(held.indptr[item], held.indptr[item + 1])
        others, products = held.indices[part], held.data[part]
        chosen = strongest_of(products / np.sqrt(squares[others]), settings.neighbourhood)
        near, target = others[chosen], products[chosen]
        if len(near):
            gram = _gram_of(held, squares, near)
            values.append(_solved(gram, target, by_item, near, settings.regularisation))
            sources.append(near)
        starts.append(starts[-1] + len(near))
    # Row j holds what explains j; links go from what was had to what follows from it.
    explained = _sparse(values, sources, starts, held.shape)
    del held, values, sources
    weights = explained.T.tocsr()
    del explained
    weights.sort_indices()
    return _strongest_links(weights, settings)


def _held_gram(by_item: csr_array, touched: csr_array, squares: NDArray[np.float64], most: int) -> csr_array:
    """Return the entries of XtX off the diagonal with the *most* largest cosines of each row."""
    starts, columns, values = [0], [], []
    for first in range(0, len(squares), _ROWS_AT_ONCE):
        rows = csr_array(by_item[first : first + _ROWS_AT_ONCE] @ touched)
        rows.sort_indices()
        for row in range(rows.shape[0]):
            part = slice(rows.indptr[row], rows.indptr[row + 1])
            others, products = rows.indices[part], rows.data[part]
            cosines = products / np.sqrt(squares[others])  # but for a factor that the whole row shares
            cosines[others == first + row] = 0.0
            chosen = strongest_of(cosines, most)
            columns.append(others[chosen].astype(np.int32))
            values.append(products[chosen])
            starts.append(starts[-1] + len(chosen))
    return _sparse(values, columns, starts, (len(squares), len(squares)))


def _sparse(
    values: list[NDArray[np.float64]], columns: list[NDArray[np.int32]], starts: list[int], shape: tuple[int, int]
) -> csr_array:
    """Return a matrix of rows of *values*; positions of 32 bits need half the memory where they suffice."""
    kind = np.int32 if starts[-1] < np.iinfo(np.int32).max else np.int64
    parts = [np.concatenate([*values, np.empty(0)]), np.concatenate([*columns, np.empty(0, np.int32)])]
    return csr_array((parts[0], parts[1], np.asarray(starts, dtype=kind)), shape=shape)


def _gram_of(held: csr_array, squares: NDArray[np.float64], near: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return the held entries of XtX among the items *near*."""
    gram = held[near][:, near].toarray()
    # An entry may be held by one of its two items alone.
    gram = np.maximum(gram, gram.T)
    gram[np.diag_indices(len(near))] = squares[near]
    return np.asarray(gram, dtype=np.float64)


def _solved(
    gram: NDArray[np.float64],
    target: NDArray[np.float64],
    by_item: csr_array,
    near: NDArray[np.int32],
    regularisation: float,
) -> NDArray[np.float64]:
    """Return the ridge regression with Gram matrix *gram*, or with the whole one if it is not positive definite."""
    diagonal = np.diag_indices(len(near))
    for whole in (False, True):
        matrix = (by_item[near] @ by_item[near].T).toarray() if whole else gram
        matrix[diagonal] += regularisation
        _, solution, failed = lapack.dposv(matrix, target)
        if not failed:
            return np.asarray(solution, dtype=np.float64)
    raise NotEnoughDataError(f"the Gram matrix of {len(near):,} items is singular; raise closed_form.regularisation")


def _strongest_links(weights: csr_array, settings: ClosedForm) -> ItemItemWeights:
    starts, targets, values = [0], [], []
    for number in range(weights.shape[0]):
        part = slice(weights.indptr[number], weights.indptr[number + 1])
        chosen = strongest_of(weights.data[part], settings.links)
        targets.append(weights.indices[part][chosen].astype(np.int32))
        values.append(weights.data[part][chosen].astype(np.float32))
        starts.append(starts[-1] + len(chosen))
    return ItemItemWeights(
        starts=np.asarray(starts, dtype=np.int64),
        targets=np.concatenate(targets),
        values=np.concatenate(values),
        power=settings.power,
    )
