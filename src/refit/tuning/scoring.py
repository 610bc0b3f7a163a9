"""Scores the lists of a model for a few thousand people in the memory of one process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_array

from refit.evaluation.metrics import METRICS
from refit.model.item_factors import ItemFactors
from refit.training.blending import link_scores, people_vectors

_AT_ONCE = 512
"""Number of people whose scores are in memory together."""


@dataclass(frozen=True, eq=False)
class HoldoutPeople:
    """People who wanted something after a cutoff; all arrays have one row per person, columns are *items*."""

    items: pa.Array
    had: csr_array
    """1 where the list must leave the item out."""
    relevant: csr_array
    """1 where the person wanted the item."""
    wanted: NDArray[np.int64]
    """Number of items each person wanted, at least 1; includes items that the columns lack."""


def judge(model: ItemFactors, histories: csr_array, judges: HoldoutPeople, *, metric: str, k: int) -> float:
    """
    Return the mean of *metric* at *k* over the holdout people *judges*, ranking every item of *model* they may see.

    *histories* are confidences, people x `judges.items`. Ties go to the smaller position.
    """
    known = model.positions(judges.items)
    history, had, relevant = (
        _in_positions(part, known, len(model.items)) for part in (histories, judges.had, judges.relevant)
    )
    values = []
    for first in range(0, history.shape[0], _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        scores = scores_of(model, history[part])
        out = had[part]
        scores[np.repeat(np.arange(len(scores)), np.diff(out.indptr)), out.indices] = -np.inf
        values.append(METRICS[metric](_hits(scores, relevant[part], k), judges.wanted[part]))
    return float(np.concatenate(values).mean())


def scores_of(model: ItemFactors, history: csr_array) -> NDArray[np.float64]:
    """Return the score of every item for each row of *history*, people x items."""
    if not model.rank:
        return link_scores(model.links, history) if model.links else np.zeros(history.shape)
    scores = people_vectors(model, history) @ model.factors.astype(np.float64).T
    return scores + link_scores(model.links, history) if model.links else scores


def _hits(scores: NDArray[np.float64], relevant: csr_array, k: int) -> NDArray[np.float64]:
    """Return people x k: 1 where the item at that rank is relevant; ranks without an item are 0."""
    count = min(k, scores.shape[1])
    # Sort the few candidates stably; ties at the cut are rare in double precision, so the partition may decide them.
    best = np.sort(np.argpartition(-scores, count - 1, axis=1)[:, :count], axis=1)
    found = np.take_along_axis(scores, best, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")
    best, found = np.take_along_axis(best, order, axis=1), np.take_along_axis(found, order, axis=1)
    hits = np.zeros((len(scores), k))
    for row in range(len(scores)):
        wanted = relevant.indices[relevant.indptr[row] : relevant.indptr[row + 1]]
        hits[row, :count] = np.isin(best[row], wanted) & np.isfinite(found[row])
    return hits


def _in_positions(rows: csr_array, known: NDArray[np.int64], count: int) -> csr_array:
    """Return *rows* with columns mapped to model positions; items unknown to the model are left out."""
    there = known[rows.indices] >= 0
    row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))[there]
    moved = csr_array((rows.data[there], (row, known[rows.indices[there]])), shape=(rows.shape[0], count))
    moved.sort_indices()
    return moved
