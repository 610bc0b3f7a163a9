"""Baselines against their definitions written out, and at their edges."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from scipy import sparse
from sklearn.metrics.pairwise import cosine_similarity

from refit.evaluation.baselines import (
    Likeness,
    PairSample,
    PeopleNeighbours,
    collect_pairs,
    item_neighbours,
    popularity,
    recent_popularity,
)
from refit.evaluation.rankers import ByModel, ByPeople
from refit.model.item_factors import ItemFactors

NAMES = pa.array([f"i{n}" for n in range(12)])
PEOPLE = pa.array([f"p{n:02d}" for n in range(30)])
GENERATOR = np.random.default_rng(11)
TABLE = np.where(GENERATOR.random((30, 12)) < 0.35, GENERATOR.integers(1, 9, (30, 12)), 0).astype(np.float32)
"""Confidences from 1 to 8 of 30 people and 12 items."""
SAMPLE = PairSample(PEOPLE, NAMES, sparse.csr_matrix(TABLE), int((TABLE > 0).sum()))
MODEL = ItemFactors(
    items=NAMES,
    factors=np.ones((12, 1), dtype=np.float32),
    people=(TABLE > 0).sum(axis=0),
    alpha=1.0,
    regularisation=1.0,
    facts={},
)


def alike(rows: np.ndarray, kind: Likeness) -> np.ndarray:
    """Return the similarities of rows, none with themselves and none below 0, by scikit-learn and numpy."""
    found = cosine_similarity(rows) if kind == "cosine" else np.corrcoef(rows)
    np.fill_diagonal(found, 0.0)
    return np.maximum(found, 0.0)


def batch(table: np.ndarray, names: pa.Array, *, bought: bool = False) -> pa.RecordBatch:
    """Return histories of the rows of *table*."""
    rows = [np.flatnonzero(row) for row in table]
    return pa.RecordBatch.from_pydict(
        {
            "user_id": names,
            "items": pa.array([[f"i{n}" for n in row] for row in rows], pa.list_(pa.string())),
            "confidences": pa.array([table[at, row].tolist() for at, row in enumerate(rows)], pa.list_(pa.float64())),
            "bought": pa.array([[bought] * len(row) for row in rows], pa.list_(pa.bool_())),
        }
    )


@pytest.mark.parametrize("kind", ["cosine", "pearson"])
def test_item_neighbours_are_the_similarities_of_columns_of_roots(kind: Likeness) -> None:
    links = item_neighbours(MODEL, SAMPLE, likeness=kind, most=12).links
    assert links is not None
    found = sparse.csr_matrix((links.values, links.targets, links.starts), shape=(12, 12)).toarray()
    assert found == pytest.approx(alike(np.sqrt(TABLE).T, kind), abs=1e-6)
    assert links.power == 0.5


def test_only_the_nearest_neighbours_of_an_item_are_kept() -> None:
    links = item_neighbours(MODEL, SAMPLE, likeness="cosine", most=3).links
    assert links is not None
    assert np.diff(links.starts).max() <= 3
    expected = alike(np.sqrt(TABLE).T, "cosine")
    for item in range(12):
        part = slice(links.starts[item], links.starts[item + 1])
        assert sorted(links.values[part]) == pytest.approx(sorted(expected[item])[-3:], abs=1e-6)


@pytest.mark.parametrize("kind", ["cosine", "pearson"])
@pytest.mark.parametrize("most", [30, 4])
def test_people_neighbours_are_those_of_rows_of_roots_but_oneself(kind: Likeness, most: int) -> None:
    roots = np.sqrt(TABLE)
    weights = alike(roots, kind)
    weights = np.where(weights >= np.sort(weights, axis=1)[:, -most][:, None], weights, 0.0)
    found = np.concatenate(
        [scores for _, scores in PeopleNeighbours(SAMPLE, kind, most).scores(PEOPLE, sparse.csr_matrix(TABLE))]
    )
    assert found == pytest.approx(weights @ roots, abs=1e-5)


def test_blocks_do_not_change_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(PeopleNeighbours(SAMPLE, "pearson", 5).scores(PEOPLE, sparse.csr_matrix(TABLE)))
    links = item_neighbours(MODEL, SAMPLE, likeness="pearson", most=5).links
    monkeypatch.setattr("refit.evaluation.baselines._ENTRIES", 70)
    pieces = list(PeopleNeighbours(SAMPLE, "pearson", 5).scores(PEOPLE, sparse.csr_matrix(TABLE)))
    again = item_neighbours(MODEL, SAMPLE, likeness="pearson", most=5).links
    assert [first for first, _ in pieces] == list(range(0, 30, 2))
    assert np.concatenate([scores for _, scores in pieces]) == pytest.approx(whole[0][1], abs=1e-6)
    assert links is not None
    assert again is not None
    assert again.values == pytest.approx(links.values, abs=1e-6)


def test_people_are_ranked_by_their_scores_without_what_they_bought() -> None:
    ranked = ByPeople(PeopleNeighbours(SAMPLE, "cosine", 30)).rank(batch(TABLE, PEOPLE, bought=True), 12)
    scores = np.where(TABLE > 0, 0.0, alike(np.sqrt(TABLE), "cosine") @ np.sqrt(TABLE))
    for row in range(30):
        best = [item for item in np.argsort(-scores[row], kind="stable") if scores[row, item] > 1e-9]
        assert ranked[row].tolist() == best + [-1] * (12 - len(best))


def test_a_stranger_has_no_neighbours_and_somebody_outside_the_sample_has_some() -> None:
    table = np.zeros((2, 12), dtype=np.float32)
    table[1] = TABLE[4]
    ranked = ByPeople(PeopleNeighbours(SAMPLE, "cosine", 5)).rank(batch(table, pa.array(["x", "y"])), 4)
    assert ranked[0].tolist() == [-1] * 4
    # Nobody knows that y is p04, so p04 is a neighbour, with similarity 1.
    assert (ranked[1] >= 0).all()


def test_popularity_is_ranked_by_the_code_of_all_models() -> None:
    """Most people first, ties in the order of ids, and what was bought left out."""
    table = np.zeros((1, 12), dtype=np.float32)
    table[0, 3] = 1.0
    order = np.argsort(-MODEL.people, kind="stable")
    ranked = ByModel.over(popularity(MODEL), NAMES).rank(batch(table, PEOPLE[:1], bought=True), 12)
    assert ranked[0].tolist() == [*(item for item in order if item != 3), -1]
    everything = ByModel.over(popularity(MODEL), NAMES).rank(batch(TABLE, PEOPLE), 12)
    assert (everything == order).all()


def test_recent_popularity_counts_people_once_and_then_asks_who_touched_it_ever(spark: SparkSession) -> None:
    rows = [("p1", "i7"), ("p1", "i7"), ("p1", "i7"), ("p1", "i2"), ("p2", "i2"), ("p3", "gone")]
    recent = spark.createDataFrame(rows, "user_id string, item_id string")
    before = [item for item in np.argsort(-MODEL.people, kind="stable") if item not in (2, 7)]
    ranked = ByModel.over(recent_popularity(MODEL, recent), NAMES).rank(batch(TABLE[:1], PEOPLE[:1]), 12)
    assert ranked[0].tolist() == [2, 7, *before]


def test_a_large_set_is_sampled_by_whole_people(spark: SparkSession) -> None:
    rows = [(f"p{person:03d}", f"i{item}", float(item + 1)) for person in range(200) for item in range(5)]
    rows += [("p000", "i9", 0.0)]
    pairs = spark.createDataFrame(rows, "user_id string, item_id string, confidence double")
    whole = collect_pairs(pairs, NAMES, most=1_000, seed=1)
    assert (whole.share, whole.confidences.shape, whole.confidences.nnz) == (1.0, (200, 12), 1_000)
    assert whole.confidences[7].toarray()[0].tolist() == [1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0, 0]
    some = collect_pairs(pairs, NAMES, most=400, seed=1)
    assert some.pairs == 1_000
    assert 0.3 < some.share < 0.5
    assert set(np.diff(some.confidences.indptr)) == {5}
    again = collect_pairs(pairs.repartition(3), NAMES, most=400, seed=1)
    assert again.people.equals(some.people)
    assert not collect_pairs(pairs, NAMES, most=400, seed=2).people.equals(some.people)
