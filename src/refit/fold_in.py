"""Folding in: a person's vector from their own history and the item factors alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from refit.columns import Columns
from refit.factors import ItemFactors


@dataclass(frozen=True, eq=False)
class FoldedIn:
    """One person: their vector and what it was made of."""

    vector: NDArray[np.float64]
    """rank."""
    influence: NDArray[np.float64]
    """rank x history: column j is what past item j contributes to the vector; the columns sum to it."""
    positions: NDArray[np.int64]
    """Positions in the model of the past items that taught, in the order of the columns of *influence*."""


def fold_in(model: ItemFactors, positions: NDArray[np.int64], confidences: NDArray[np.float64]) -> FoldedIn:
    """
    Return the person whose history is *positions* (unknown items already left out) with MLlib's r in *confidences*.

    Solves (YtY + Yt (C - I) Y + lambda * n * I) x = Yt C p with c = 1 + alpha * r, p = 1 where r > 0 and n the number
    of positive r: the half-step that `pyspark.ml.recommendation.ALS` ends with (Hu, Koren and Volinsky 2008; the
    factor n after Zhou et al. 2008), so that the result equals `ALSModel.userFactors` for the same data.
    """
    taught = confidences > 0
    known, rating = positions[taught], confidences[taught]
    items = model.factors[known].astype(np.float64)
    extra = model.alpha * rating
    system = model.gram + (items.T * extra) @ items
    system[np.diag_indices(model.rank)] += model.regularisation * len(known) ** model.frequency_exponent
    influence = np.linalg.solve(system, items.T * (1.0 + extra)).astype(np.float64, copy=False)
    return FoldedIn(vector=influence.sum(axis=1), influence=influence, positions=known)


@dataclass(frozen=True, eq=False)
class History:
    """One person's row of `refit.histories.histories`, in the positions of one model."""

    user_id: str
    positions: NDArray[np.int64]
    """Known items only."""
    confidences: NDArray[np.float64]
    bought: NDArray[np.bool_]


def read_histories(batch: pa.RecordBatch, model: ItemFactors) -> Iterator[History]:
    """Yield the people of an Arrow batch of histories; items that the model does not know are left out."""
    items = batch.column(batch.schema.get_field_index(Columns.ITEMS))
    offsets = np.asarray(items.offsets.to_numpy())
    start = offsets[0]
    positions = model.positions(items.flatten())
    confidences = np.asarray(_flat(batch, Columns.CONFIDENCES), dtype=np.float64)
    bought = np.asarray(_flat(batch, Columns.BOUGHT), dtype=np.bool_)
    known = positions >= 0
    for row, user_id in enumerate(batch.column(batch.schema.get_field_index(Columns.USER)).to_pylist()):
        part = slice(offsets[row] - start, offsets[row + 1] - start)
        keep = known[part]
        yield History(user_id, positions[part][keep], confidences[part][keep], bought[part][keep])


def _flat(batch: pa.RecordBatch, name: str) -> Any:
    return batch.column(batch.schema.get_field_index(name)).flatten().to_numpy(zero_copy_only=False)
