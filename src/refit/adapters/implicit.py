"""The library `implicit`: alternating least squares in native code on one machine; the only file that knows it."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from implicit.cpu._als import calculate_loss
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy.sparse import csr_array, csr_matrix, hstack
from threadpoolctl import threadpool_limits

from refit.config import Als

_STEPS, _LAST_STEPS = 3, 6
"""Conjugate gradient steps for each solution, and for the final item factors."""
_WORTH_A_CALL = 64
"""Rows of equal strength get their own call if they are at least 1/64 of the other side's rows."""
_PEOPLE_AT_ONCE = 16_384
"""People per partial sum of the objective; the sums are added in a fixed order, independent of threads."""
_PEOPLE_WATCHED = 4 * _PEOPLE_AT_ONCE
"""Largest number of people from which the objective is computed; with more it is estimated from this many."""


class ImplicitLibrary:
    """
    Fits float32 factors with *threads* threads (0: one per core).

    Every row is solved independently by one thread, so the number of threads changes no bit of the result.
    """

    def __init__(self, threads: int = 0) -> None:
        self._threads = threads

    def factorise(
        self, confidences: csr_array, settings: Als, *, watch: Callable[[float], None] | None = None
    ) -> NDArray[np.float32]:
        """
        Return the item factors, items x rank, of the people x items matrix *confidences* of r > 0.

        As in Hu, Koren and Volinsky, the library takes c itself as the value of a pair and gives every other pair
        confidence 1, so its values are MLlib's 1 + alpha * r.
        """
        people, items = confidences.shape
        values = (1.0 + settings.alpha * confidences.data).astype(np.float32)
        unordered = csr_matrix((values, confidences.indices, confidences.indptr), shape=confidences.shape)
        # From here on rows of equal strength are adjacent.
        order, person_parts = _parts(np.diff(unordered.indptr), items, settings)
        by_person = unordered[order]
        item_order, item_parts = _parts(np.bincount(by_person.indices, minlength=items), people, settings)
        columns = np.argsort(item_order).astype(np.int32)[by_person.indices]
        by_person = csr_matrix((by_person.data, columns, by_person.indptr), shape=by_person.shape)
        by_item = by_person.T.tocsr()
        generator = np.random.default_rng(settings.seed)
        x = _started(generator, people, settings)
        y = _started(generator, items, settings)
        person_calls = [_Call.of(by_person, part, settings) for part in person_parts]
        item_calls = [_Call.of(by_item, part, settings) for part in item_parts]
        objective = _Objective.of(by_person, settings)
        # With several BLAS threads a matrix product may add in another order from run to run.
        with threadpool_limits(limits=1, user_api="blas"):
            for left in reversed(range(settings.iterations)):
                self._solve(person_calls, x, y, settings, _STEPS)
                self._solve(item_calls, y, x, settings, _STEPS if left else _LAST_STEPS)
                if watch:
                    watch(objective.value(x[:people], y[:items], self._threads))
        found = np.empty((items, settings.rank), dtype=np.float32)
        found[item_order] = y[:items]
        return found

    def _solve(
        self, calls: list[_Call], ours: NDArray[np.float32], theirs: NDArray[np.float32], settings: Als, steps: int
    ) -> None:
        model = AlternatingLeastSquares(
            factors=settings.rank, use_cg=settings.solver == "conjugate_gradient", num_threads=self._threads
        )
        model.cg_steps = steps
        for call in calls:
            rows = theirs[: call.values.shape[1]]
            model.solver(call.values, ours[call.rows], rows, call.regularisation, num_threads=self._threads)


@dataclass(frozen=True)
class _Part:
    """Rows of one side with their common regularisation strength; None if strengths differ."""

    rows: slice
    strength: float | None


def _parts(counts: NDArray[np.integer], others: int, settings: Als) -> tuple[NDArray[np.int64], list[_Part]]:
    """
    Return an order of the rows, which have *counts* pairs each, and the parts into which it divides them.

    The library uses one strength for all rows of a call, and each call first computes the Gram matrix of the other
    side's *others* rows. For many rows of equal strength that is cheap; all other rows form one mixed part.
    """
    if not settings.frequency_exponent:
        return np.arange(len(counts)), [_Part(slice(0, len(counts)), settings.regularisation)]
    different, group, sizes = np.unique(counts, return_inverse=True, return_counts=True)
    alone = sizes * _WORTH_A_CALL >= others
    order = np.argsort(np.where(alone[group], group, len(different)), kind="stable")
    parts, start = [], 0
    for count, size in zip(different[alone].tolist(), sizes[alone].tolist(), strict=True):
        strength = settings.regularisation * count**settings.frequency_exponent
        parts.append(_Part(slice(start, start + size), strength))
        start += size
    if start < len(counts):
        parts.append(_Part(slice(start, len(counts)), None))
    return order, parts


@dataclass(frozen=True)
class _Call:
    """One call of the library's solver."""

    rows: slice
    values: csr_matrix
    regularisation: float

    @classmethod
    def of(cls, values: csr_matrix, part: _Part, settings: Als) -> _Call:
        """
        Return the call for the rows of *part*; if their strengths differ, each row gets its own.

        A pair with a negative value means *not* wanted, with the confidence of its absolute value: it adds |c| y yT to
        the system and nothing to the right-hand side. So every row gets `rank` imaginary unwanted items, sqrt(lambda)
        times the unit vectors, with confidence n ** e; together they add exactly lambda * n ** e * I. (The base
        confidence 1 of every pair is part of |c|.)
        """
        chosen = values[part.rows]
        if part.strength is not None:
            return cls(part.rows, chosen, part.strength)
        strengths = np.diff(chosen.indptr).astype(np.float64) ** settings.frequency_exponent
        unwanted = csr_array(
            (
                np.repeat(-strengths, settings.rank).astype(np.float32),
                np.tile(np.arange(settings.rank, dtype=np.int32), len(strengths)),
                np.arange(len(strengths) + 1, dtype=np.int32) * settings.rank,
            ),
            shape=(len(strengths), settings.rank),
        )
        return cls(part.rows, csr_matrix(hstack([chosen, unwanted], format="csr")), 0.0)


def _started(generator: np.random.Generator, rows: int, settings: Als) -> NDArray[np.float32]:
    """Return small random factors, followed by the imaginary rows of `_Call.of`."""
    drawn = generator.random((rows, settings.rank), dtype=np.float32) * np.float32(0.01)
    imaginary = np.sqrt(settings.regularisation) * np.eye(settings.rank)
    return np.concatenate([drawn, imaginary.astype(np.float32)])


@dataclass(frozen=True)
class _Objective:
    """
    The minimised objective: sum of c (p - x y)^2 over all pairs + lambda * sum of n^e |factors|^2 over both sides.

    It is divided by its value at zero factors, the sum of c over the observed pairs.
    """

    people: NDArray[np.int64]
    """People whose pairs are evaluated, ascending."""
    by_person: csr_matrix
    """Their rows."""
    person_strengths: NDArray[np.float64]
    item_strengths: NDArray[np.float64]
    """lambda * n^e of each person and each item."""

    @classmethod
    def of(cls, by_person: csr_matrix, settings: Als) -> _Objective:
        """Return the objective on *by_person*, or on a sample of its people that the seed determines."""
        count, items = by_person.shape
        people = np.arange(count)
        if count > _PEOPLE_WATCHED:
            people = np.sort(np.random.default_rng(settings.seed).choice(count, _PEOPLE_WATCHED, replace=False))
        lengths = np.diff(by_person.indptr), np.bincount(by_person.indices, minlength=items)
        strengths = (
            settings.regularisation * each.astype(np.float64) ** settings.frequency_exponent for each in lengths
        )
        return cls(people, by_person[people], *strengths)

    def value(self, x: NDArray[np.float32], y: NDArray[np.float32], threads: int) -> float:
        """Return the objective at *x* and *y*."""
        mine = x[self.people]

        def missed(first: int) -> float:
            part = slice(first, first + _PEOPLE_AT_ONCE)
            rows = self.by_person[part]
            # The library divides by the sum of all confidences; unobserved pairs have 1.
            weights = float(rows.data.sum(dtype=np.float64) + rows.shape[0] * rows.shape[1] - rows.nnz)
            return float(calculate_loss(rows, mine[part], y, 0.0, num_threads=1)) * weights

        with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
            total = sum(pool.map(missed, range(0, len(self.people), _PEOPLE_AT_ONCE)), 0.0)
        share = len(self.people) / len(x)
        total += share * float(_squares(x) @ self.person_strengths + _squares(y) @ self.item_strengths)
        return float(total / self.by_person.data.sum(dtype=np.float64))


def _squares(factors: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(np.einsum("ij,ij->i", factors, factors, dtype=np.float64))
