"""The library `implicit`: alternating least squares in native code on one machine; the only file that knows it."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from implicit.cpu._als import calculate_loss
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy.sparse import csr_array, csr_matrix, hstack
from threadpoolctl import threadpool_limits

from refit.config import Als

_PEOPLE_AT_ONCE = 16_384
"""Whose part of the objective is one sum; the sums are added in their order, whatever thread made them."""


class ImplicitLibrary:
    """
    Fits float32 factors with *threads* threads (0: one per core).

    Every row is solved by one thread and for itself, so the number of threads changes no bit of the result.
    """

    def __init__(self, threads: int = 0) -> None:
        self._threads = threads

    def factorise(
        self, confidences: csr_array, settings: Als, *, watch: Callable[[float], None] | None = None
    ) -> NDArray[np.float32]:
        """
        Return the item factors, items x rank, of the people x items matrix *confidences* of r > 0.

        The library takes c itself as the value of a pair and counts every other pair with 1, as Hu, Koren and Volinsky
        do, so its values are MLlib's 1 + alpha * r.
        """
        people, items = confidences.shape
        values = (1.0 + settings.alpha * confidences.data).astype(np.float32)
        by_person = csr_matrix((values, confidences.indices, confidences.indptr), shape=confidences.shape)
        generator = np.random.default_rng(settings.seed)
        x = _started(generator, people, settings)
        y = _started(generator, items, settings)
        regularisation = 0.0 if settings.frequency_exponent else settings.regularisation
        person_side = _scaled(by_person, settings)
        item_side = _scaled(by_person.T.tocsr(), settings)
        # A product of matrices by several threads of BLAS may add in another order from one run to the next.
        with threadpool_limits(limits=1, user_api="blas"):
            for left in reversed(range(settings.iterations)):
                # Conjugate gradients stop short of each row's solution, so the last iteration takes it exactly.
                solve = AlternatingLeastSquares(
                    factors=settings.rank,
                    use_cg=settings.solver == "conjugate_gradient" and left > 0,
                    num_threads=self._threads,
                ).solver
                solve(person_side, x[:people], y[: person_side.shape[1]], regularisation, num_threads=self._threads)
                solve(item_side, y[:items], x[: item_side.shape[1]], regularisation, num_threads=self._threads)
                if watch:
                    watch(self._objective(by_person, x[:people], y[:items], settings))
        return np.ascontiguousarray(y[:items])

    def _objective(self, by_person: csr_matrix, x: NDArray[np.float32], y: NDArray[np.float32], settings: Als) -> float:
        """
        Return what is minimised, sum of c (p - x y)^2 over all pairs + lambda * sum of n^e |factors|^2 over both sides.

        It is divided by its value where all factors are 0, the sum of c over the pairs that are there.
        """

        def missed(first: int) -> float:
            part = slice(first, first + _PEOPLE_AT_ONCE)
            rows = by_person[part]
            # The library divides by the sum of all confidences; pairs that are not there have 1.
            weights = float(rows.data.sum(dtype=np.float64) + rows.shape[0] * rows.shape[1] - rows.nnz)
            return float(calculate_loss(rows, x[part], y, 0.0, num_threads=1)) * weights

        with ThreadPoolExecutor(self._threads or os.cpu_count()) as pool:
            total = sum(pool.map(missed, range(0, by_person.shape[0], _PEOPLE_AT_ONCE)))
        for factors, counts in (
            (x, np.diff(by_person.indptr)),
            (y, np.bincount(by_person.indices, minlength=len(y))),
        ):
            squares = np.einsum("ij,ij->i", factors, factors, dtype=np.float64)
            total += settings.regularisation * float(squares @ counts.astype(np.float64) ** settings.frequency_exponent)
        return float(total / by_person.data.sum(dtype=np.float64))


def _started(generator: np.random.Generator, rows: int, settings: Als) -> NDArray[np.float32]:
    """Return small random factors, and below them the imaginary rows that `_scaled` speaks of."""
    drawn = generator.random((rows, settings.rank), dtype=np.float32) * np.float32(0.01)
    imaginary = np.sqrt(settings.regularisation) * np.eye(settings.rank)
    return np.concatenate([drawn, imaginary.astype(np.float32)])


def _scaled(values: csr_matrix, settings: Als) -> csr_matrix:
    """
    Return *values* such that each row's regularisation is multiplied by n ** frequency_exponent.

    The library has one strength for all rows. But a pair whose value is negative is one that is *not* wanted, with the
    confidence of its size: it adds |c| y yT to the system and nothing to the right side. So everybody does not want
    `rank` imaginary items, sqrt(lambda) times the unit vectors, with confidence n ** e; together they add exactly
    lambda * n ** e * I. (The 1 with which every pair counts is part of |c|.)
    """
    if not settings.frequency_exponent:
        return values
    strengths = np.diff(values.indptr).astype(np.float64) ** settings.frequency_exponent
    unwanted = csr_array(
        (
            np.repeat(-strengths, settings.rank).astype(np.float32),
            np.tile(np.arange(settings.rank, dtype=np.int32), len(strengths)),
            np.arange(len(strengths) + 1, dtype=np.int32) * settings.rank,
        ),
        shape=(len(strengths), settings.rank),
    )
    return csr_matrix(hstack([values, unwanted], format="csr"))
