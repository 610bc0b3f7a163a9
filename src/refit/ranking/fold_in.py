"""Folding in: computes the vectors of people from their histories and the item factors alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refit.errors import ModelDamagedError
from refit.model.item_factors import ItemFactors
from refit.ranking.flat_histories import Histories

_CELLS = 1 << 21
"""Array size of people solved together, in numbers; keeps the arrays within the CPU caches."""
_KEPT = 1 << 23
"""Largest factors, in numbers (64 MB), kept rotated to the eigenbasis; of larger ones only needed rows are rotated."""


@dataclass(frozen=True, eq=False)
class Solved:
    """People with histories of similar length, and the contribution of each past item to their vectors."""

    people: NDArray[np.int64]
    """Row numbers of the people in the histories."""
    entries: NDArray[np.int64]
    """people x length: the entry of the histories behind each column of *influence*, -1 for none."""
    influence: NDArray[np.float64]
    """people x rank x length in the eigenbasis of YtY; the columns of a person sum to the vector in that basis."""


@dataclass(frozen=True, eq=False)
class People:
    """The folded-in people of some histories."""

    vectors: NDArray[np.float64]
    """people x rank; zeros for people who are not *known*."""
    known: NDArray[np.bool_]
    """Whether the model learns from at least one past item of the person."""
    basis: NDArray[np.float64]
    """rank x rank, the eigenvectors of YtY in its columns."""
    solved: tuple[Solved, ...] = ()
    """Contributions of past items to the vectors, if requested."""


def fold_in_people(model: ItemFactors, histories: Histories, *, influence: bool = False) -> People:
    """
    Return the vector of each person, with the contribution of each past item if *influence*.

    An implicit model solves (YtY + Yt (C - I) Y + lambda * n^e * I) x = Yt C p with c = 1 + alpha * r, p = 1 and n the
    number of past items with r > 0: the half-step that ALS ends with (Hu, Koren and Volinsky 2008; the factor n after
    Zhou et al. 2008). An explicit model solves (Yh^T Yh + lambda * n^e * I) x = Yh^T r over the history alone.

    Both are a diagonal D in the eigenbasis of YtY plus a sum over the n past items U with weights E. Where n is below
    the rank, x = D^-1 U^T (I + E U D^-1 U^T)^-1 t needs a system of n equations only (Woodbury 1950).

    Raises:
        ModelDamagedError: without regularisation, some person's equations have no unique solution.
    """
    taught = histories.teaches(len(model.items))
    people = histories.rows[taught]
    lengths = np.bincount(people, minlength=len(histories)).astype(np.int64)
    vectors = np.zeros((len(histories), model.rank))
    entries = np.flatnonzero(taught)
    first_entries = np.cumsum(lengths) - lengths
    values, basis = model.eigenbasis
    values = np.maximum(values, 0.0) if model.implicit else np.zeros(model.rank)
    turned, row_of = _turned(model, histories.positions[entries])
    solved = []
    for group, length in _groups(lengths, model.rank):
        indices = first_entries[group][:, None] + np.arange(length)
        there = np.arange(length) < lengths[group][:, None]
        chosen = entries[np.minimum(indices, len(entries) - 1)]
        past = np.take(turned, row_of[np.minimum(indices, len(entries) - 1)], axis=0)
        past[~there] = 0.0
        rating = np.where(there, histories.confidences[chosen], 0.0)
        extra = model.alpha * rating if model.implicit else there.astype(np.float64)
        target = np.where(there, 1.0 + extra, 0.0) if model.implicit else rating
        weights = values + model.regularisation * (lengths[group] ** model.frequency_exponent)[:, None]
        try:
            solve = _small if length < model.rank and weights.min() > 0 else _large
            made = solve(past, weights, extra, target, influence=influence)
        except np.linalg.LinAlgError as error:
            raise ModelDamagedError(
                f"the equations of people with {int(lengths[group].min()):,} past items have no single solution "
                f"at regularisation {model.regularisation:g}; train the model with a regularisation above 0"
            ) from error
        vectors[group] = made.sum(axis=2) @ basis.T
        if influence:
            solved.append(Solved(group, np.where(there, chosen, -1), made))
    return People(vectors, lengths > 0, basis, tuple(solved))


def _turned(model: ItemFactors, positions: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return item vectors in the eigenbasis, at least those at *positions*, and the row of each position."""
    if model.factors.size <= _KEPT:
        return model.turned, positions
    used = np.zeros(len(model.items), dtype=np.bool_)
    used[positions] = True
    number = np.cumsum(used) - 1
    return model.factors[used].astype(np.float64) @ model.eigenbasis[1], number[positions]


def _small(
    past: NDArray[np.float64],
    weights: NDArray[np.float64],
    extra: NDArray[np.float64],
    target: NDArray[np.float64],
    *,
    influence: bool,
) -> NDArray[np.float64]:
    spread = (past / weights[:, None, :]).transpose(0, 2, 1)
    system = extra[:, :, None] * (past @ spread)
    length = past.shape[1]
    system[:, np.arange(length), np.arange(length)] += 1.0
    if influence:
        return np.asarray((spread @ np.linalg.inv(system)) * target[:, None, :])
    return np.asarray(spread @ np.linalg.solve(system, target[:, :, None]))


def _large(
    past: NDArray[np.float64],
    weights: NDArray[np.float64],
    extra: NDArray[np.float64],
    target: NDArray[np.float64],
    *,
    influence: bool,
) -> NDArray[np.float64]:
    turned = past.transpose(0, 2, 1)
    system = (turned * extra[:, None, :]) @ past
    rank = past.shape[2]
    system[:, np.arange(rank), np.arange(rank)] += weights
    right = turned * target[:, None, :] if influence else turned @ target[:, :, None]
    return np.asarray(np.linalg.solve(system, right))


def _groups(lengths: NDArray[np.int64], rank: int) -> Iterator[tuple[NDArray[np.int64], int]]:
    """Yield bounded groups of people whose histories are padded to one length; empty histories are skipped."""
    ladder = [1, 2]
    while ladder[-1] < lengths.max(initial=0):
        ladder += [ladder[-1] * 3 // 2, ladder[-1] * 2]
    rungs = np.asarray(ladder)[np.searchsorted(ladder, lengths)]
    for length in np.unique(rungs[lengths > 0]).tolist():
        group = np.flatnonzero((rungs == length) & (lengths > 0))
        size = max(1, _CELLS // (length * max(rank, length)))
        for start in range(0, len(group), size):
            yield group[start : start + size], length
