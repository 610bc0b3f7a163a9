"""Data for the scoring bench: a model and histories of any number of people, and a model that was really trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from refit.model.item_factors import ItemFactors
from refit.ranking.flat_histories import Histories
from refit.ranking.fold_in import fold_in_people

RANK = 64
LONGEST = 25
"""Past items of a person, at most; what the usual way must fetch beyond k."""
_TOPICS = 40
_BLOCK = 20_000


def made_model(items: int) -> ItemFactors:
    """Return a model whose lengths fall with popularity as those of ALS do, in directions that mean nothing."""
    generator = np.random.default_rng(1)
    lengths = np.arange(1, items + 1) ** -0.5
    factors = generator.normal(size=(items, RANK)) / np.sqrt(RANK) * generator.permutation(lengths)[:, None]
    people = np.maximum(1, (lengths * items)).astype(np.int64)
    return _model(factors.astype(np.float32) * 3, people, regularisation=0.1, exponent=1.0)


def histories_of(people: int, items: int, first: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the lengths and, one after the other, the items of everybody's history, popular ones more often."""
    generator = np.random.default_rng([2, first])
    lengths = generator.integers(3, LONGEST + 1, people)
    owners = np.repeat(np.arange(people), lengths)
    order = np.random.default_rng(3).permutation(items)
    pairs = np.unique(owners * items + order[(generator.random(len(owners)) ** 3 * items).astype(np.int64)])
    return np.bincount(pairs // items, minlength=people), pairs % items


def write(folder: Path, people: int, items: int) -> None:
    """Write histories as the lake gives them, and the vectors that the usual way starts from."""
    model = made_model(items)
    for name, content in model.to_files().items():
        (folder / name).write_bytes(content)
    for place in ("histories", "vectors", "bought"):
        (folder / place).mkdir()
    numbers = pa.array(np.arange(items, dtype=np.int32))
    factors = _lists(model.factors)
    pq.write_table(pa.table({"id": numbers, "features": factors}), folder / "item_factors.parquet")
    for first in range(0, people, _BLOCK):
        count = min(_BLOCK, people - first)
        lengths, positions = histories_of(count, items, first)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        ratings, bought = np.ones(len(positions)), np.ones(len(positions), dtype=np.bool_)
        ids = pa.array([f"person-{first + n:09d}" for n in range(count)])
        table = {
            "user_id": ids,
            "items": pa.ListArray.from_arrays(offsets.astype(np.int32), model.items.take(pa.array(positions))),
            "confidences": pa.ListArray.from_arrays(offsets.astype(np.int32), pa.array(ratings)),
            "bought": pa.ListArray.from_arrays(offsets.astype(np.int32), pa.array(bought)),
        }
        part = f"part-{first:09d}.parquet"
        pq.write_table(pa.table(table), folder / "histories" / part)
        vectors = fold_in_people(model, Histories(ids, offsets, positions, ratings, bought)).vectors
        people_ids = np.arange(first, first + count, dtype=np.int32)
        pq.write_table(
            pa.table({"id": pa.array(people_ids), "features": _lists(vectors.astype(np.float32))}),
            folder / "vectors" / part,
        )
        pairs = {"user": pa.array(np.repeat(people_ids, lengths)), "item": pa.array(positions.astype(np.int32))}
        pq.write_table(pa.table(pairs), folder / "bought" / part)


def trained_model(people: int, items: int) -> tuple[ItemFactors, Histories]:
    """Return a model trained by `implicit` on purchases with popularity and tastes, and the people it learnt from."""
    # The measured processes need the constants of this file and neither of these libraries.
    from implicit.als import AlternatingLeastSquares  # noqa: PLC0415
    from scipy import sparse  # noqa: PLC0415

    generator = np.random.default_rng(4)
    popularity = generator.permutation(np.arange(1, items + 1) ** -0.8)
    topics = generator.integers(0, _TOPICS, items)
    order = np.lexsort((np.arange(items), topics))
    weights = np.cumsum(popularity[order])
    ends = np.searchsorted(topics[order], np.arange(_TOPICS), side="right") - 1
    starts = np.concatenate([[0.0], weights[ends[:-1]]])
    lengths = np.minimum(generator.geometric(1 / 18, people) + 2, 200)
    owners = np.repeat(np.arange(people), lengths)
    tastes = generator.integers(0, _TOPICS, (people, 3))
    topic = tastes[owners, generator.choice(3, len(owners), p=[0.5, 0.3, 0.2])]
    drawn = generator.random(len(owners))
    inside = starts[topic] + drawn * (weights[ends[topic]] - starts[topic])
    any_item = drawn * weights[-1]
    taste = generator.random(len(owners)) < 0.75
    positions = order[np.minimum(np.searchsorted(weights, np.where(taste, inside, any_item)), items - 1)]
    pairs = np.unique(owners * items + positions)
    owners, positions = pairs // items, pairs % items
    matrix = sparse.csr_matrix((np.ones(len(pairs), np.float32), (owners, positions)), shape=(people, items))
    als = AlternatingLeastSquares(
        factors=RANK, iterations=6, alpha=10.0, regularization=1.0, random_state=1, num_threads=1
    )
    als.fit(matrix, show_progress=False)
    model = _model(
        np.asarray(als.item_factors), matrix.getnnz(axis=0).astype(np.int64), regularisation=1.0, exponent=0.0
    )
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=people))])
    ids = pa.array([f"person-{n:09d}" for n in range(people)])
    ones = np.ones(len(positions))
    return model, Histories(ids, offsets, positions, ones, ones > 0)


def _model(
    factors: NDArray[np.float32], people: NDArray[np.int64], *, regularisation: float, exponent: float
) -> ItemFactors:
    return ItemFactors(
        items=pa.array([f"item-{n:07d}" for n in range(len(factors))]),
        factors=factors,
        people=people,
        alpha=10.0,
        regularisation=regularisation,
        facts={},
        frequency_exponent=exponent,
    )


def _lists(rows: NDArray[np.float32]) -> pa.Array:
    offsets = np.arange(0, rows.size + 1, rows.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(rows.ravel()))
