"""Blending: scales several score sources to the same spread and adds them in one model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array

from refit.model.item_factors import ItemFactors
from refit.model.item_links import ItemItemWeights
from refit.ranking.flat_histories import Histories
from refit.ranking.fold_in import fold_in_people
from refit.training.matrices import PairMatrix

_SAMPLE = 500
"""Number of people whose scores are used to estimate spreads."""


def blend(model: ItemFactors, links: ItemItemWeights, pairs: PairMatrix, *, weight: float) -> ItemFactors:
    """
    Return *model* with *links* beside its factors, scaled so that *weight* is the share of the links.

    The spread of a part is the standard deviation of a person's scores over all items, averaged over up to 500 people
    of *pairs* (every n-th in id order). Weight 0 keeps only the factors, weight 1 only the links.
    """
    if weight == 0:
        return model
    if weight == 1:
        return replace(model, factors=np.empty((len(model.items), 0), dtype=np.float32), links=links)
    sample = _sample(pairs)
    spread = _spread(_factor_scores(model, sample))
    link_spread = _spread(link_scores(links, sample))
    scale = spread / link_spread * weight / (1.0 - weight) if link_spread > 0 else 0.0
    return replace(model, links=replace(links, values=(links.values * scale).astype(np.float32)))


def with_repeat_weight(model: ItemFactors, pairs: PairMatrix, *, weight: float, power: float) -> ItemFactors:
    """
    Return *model* in which a past item of confidence r adds *weight* standard deviations * r ** power to its own score.

    A model with links keeps their power; *power* applies to a model without links.
    """
    if weight == 0:
        return model
    sample = _sample(pairs)
    scores = _factor_scores(model, sample)
    if model.links:
        scores = scores + link_scores(model.links, sample)
    value = weight * _spread(scores)
    count = len(model.items)
    matrix = diags_array(np.full(count, value), format="csr")
    if model.links:
        matrix = matrix + as_matrix(model.links)
    matrix = csr_array(matrix)
    matrix.sort_indices()
    links = ItemItemWeights(
        starts=matrix.indptr.astype(np.int64),
        targets=matrix.indices.astype(np.int32),
        values=matrix.data.astype(np.float32),
        power=model.links.power if model.links else power,
    )
    return replace(model, links=links)


def as_matrix(links: ItemItemWeights) -> csr_array:
    """Return the links as a sparse matrix, past items x ranked items, in double precision."""
    values = links.values.astype(np.float64)
    return csr_array((values, links.targets, links.starts), shape=(links.items, links.items))


def link_scores(links: ItemItemWeights, history: csr_array) -> NDArray[np.float64]:
    """Return what *links* add to the scores, people x items; *history* holds confidences, people x items."""
    strengths = csr_array((links.strengths(history.data), history.indices, history.indptr), shape=history.shape)
    return np.asarray((strengths @ as_matrix(links)).toarray(), dtype=np.float64)


def people_vectors(model: ItemFactors, history: csr_array) -> NDArray[np.float64]:
    """Return the folded-in vector of each row of *history*, people x rank."""
    people = Histories(
        user_ids=pa.nulls(history.shape[0], pa.string()),
        offsets=history.indptr.astype(np.int64),
        positions=history.indices.astype(np.int64),
        confidences=history.data.astype(np.float64),
        bought=np.zeros(history.nnz, dtype=np.bool_),
    )
    return fold_in_people(model, people).vectors


def _factor_scores(model: ItemFactors, history: csr_array) -> NDArray[np.float64]:
    if not model.rank:
        return np.zeros(history.shape)
    return people_vectors(model, history) @ model.factors.astype(np.float64).T


def _sample(pairs: PairMatrix) -> csr_array:
    step = max(1, pairs.confidences.shape[0] // _SAMPLE)
    return pairs.confidences[::step][:_SAMPLE]


def _spread(scores: NDArray[np.float64]) -> float:
    return float(scores.std(axis=1).mean())
