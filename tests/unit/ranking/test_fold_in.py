"""Folding in against MLlib itself, and training on data whose answer is known."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from refit.candidates.candidate_set import CandidateSet
from refit.config import Als
from refit.errors import ModelDamagedError
from refit.model.item_factors import ItemFactors
from refit.ranking import fold_in
from refit.ranking.flat_histories import Histories, read_histories
from refit.ranking.fold_in import fold_in_people
from refit.ranking.ranker import best
from refit.testing import Checkerboard
from refit.training.mllib_als import fit, number_ids, to_item_factors, train_als

PAIRS = "user_id string, item_id string, confidence double"
SEED = 3


def people_with(*people: list[tuple[int, float]]) -> Histories:
    """Return people with histories of (position, r)."""
    flat = [entry for person in people for entry in person]
    return Histories(
        user_ids=pa.array([f"u{n}" for n in range(len(people))], pa.string()),
        offsets=np.cumsum([0, *map(len, people)]),
        positions=np.array([position for position, _ in flat], dtype=np.int64),
        confidences=np.array([rating for _, rating in flat], dtype=np.float64),
        bought=np.ones(len(flat), dtype=np.bool_),
    )


def random_pairs(spark: SparkSession) -> DataFrame:
    """Return 40 people x 25 items, a quarter of the pairs with r between 0.1 and 5; a few pairs have r = 0."""
    generator = np.random.default_rng(1)
    rows = [
        (f"u{user:02d}", f"i{item:02d}", float(0.0 if generator.random() < 0.1 else generator.uniform(0.1, 5)))
        for user in range(40)
        for item in range(25)
        if generator.random() < 0.25
    ]
    return spark.createDataFrame(rows, PAIRS)


@pytest.mark.parametrize(("rank", "alpha"), [(8, 3.0), (16, 0.5)])
def test_folding_in_gives_the_vectors_that_mllib_ends_with(spark: SparkSession, rank: int, alpha: float) -> None:
    """From the item factors and one person's row alone, up to single precision."""
    chosen = Als(rank=rank, iterations=3, alpha=alpha, regularisation=0.07, seed=SEED)
    numbered, items = number_ids(random_pairs(spark).where("confidence > 0"))
    numbered.persist()
    theirs = fit(numbered, chosen)
    model = to_item_factors(theirs, numbered, items, chosen, {})

    rows: dict[int, list[tuple[int, float]]] = {}
    for user, item, rating in numbered.orderBy("user", "item").collect():
        rows.setdefault(user, []).append((item, rating))
    vectors = {row["id"]: np.array(row["features"]) for row in theirs.userFactors.collect()}
    assert rows.keys() == vectors.keys()
    assert len(rows) == 40

    ours = fold_in_people(model, people_with(*rows.values())).vectors
    expected = np.array([vectors[user] for user in rows])
    worst = float((np.abs(ours - expected).max(axis=1) / np.abs(expected).max(axis=1)).max())
    assert worst < 1e-5
    numbered.unpersist()


@pytest.fixture(scope="module")
def model() -> ItemFactors:
    generator = np.random.default_rng(2)
    return ItemFactors(
        items=pa.array([f"i{n}" for n in range(12)]),
        factors=generator.normal(size=(12, 4)).astype(np.float32),
        people=np.ones(12, dtype=np.int64),
        alpha=2.0,
        regularisation=0.1,
        facts={},
    )


HISTORIES = [
    [],
    [(1, 0.5)],
    [(1, 0.5), (4, 2.0), (7, 1.0)],
    [(n, 0.5 + n / 3) for n in range(12)],
    [(3, 0.0), (5, 4.0)],
    [(2, 0.0)],
    [(n, 1.0) for n in range(5)],
]
"""Fewer items than the rank of 4, as many and more; pairs of confidence 0."""


@pytest.mark.parametrize("exponent", [1.0, 0.0, 0.5])
@pytest.mark.parametrize("influence", [False, True])
@pytest.mark.parametrize("kept", [0, 1 << 23], ids=["a large model", "a small one"])
def test_the_vectors_solve_the_equations_written_out(
    model: ItemFactors, exponent: float, influence: bool, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """(YtCY + lambda n^e I) x = YtCp with the full 12 x 12 matrix C, whose diagonal is 1 but for the history."""
    monkeypatch.setattr(fold_in, "_KEPT", kept)
    y = model.factors.astype(np.float64)
    found = fold_in_people(replace(model, frequency_exponent=exponent), people_with(*HISTORIES), influence=influence)
    assert found.known.tolist() == [False, True, True, True, True, False, True]
    for vector, history in zip(found.vectors, HISTORIES, strict=True):
        taught = [(position, rating) for position, rating in history if rating > 0]
        c, p = np.eye(12), np.zeros(12)
        for position, rating in taught:
            c[position, position] += 2.0 * rating
            p[position] = 1.0
        system = y.T @ c @ y + 0.1 * len(taught) ** exponent * np.eye(4)
        expected = np.linalg.solve(system, y.T @ c @ p) if taught else np.zeros(4)
        np.testing.assert_allclose(vector, expected, rtol=1e-10, atol=1e-13)


def test_ratings_are_predicted_over_the_history_alone(model: ItemFactors) -> None:
    """(Yh^T Yh + lambda n I) x = Yh^T r for an explicit model."""
    found = fold_in_people(replace(model, implicit=False), people_with(*HISTORIES))
    for vector, history in zip(found.vectors, HISTORIES, strict=True):
        taught = [(position, rating) for position, rating in history if rating > 0]
        y = model.factors[[position for position, _ in taught]].astype(np.float64)
        ratings = np.array([rating for _, rating in taught])
        expected = np.linalg.solve(y.T @ y + 0.1 * max(len(taught), 1) * np.eye(4), y.T @ ratings)
        np.testing.assert_allclose(vector, expected, rtol=1e-10, atol=1e-13)


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), rank=st.integers(1, 12), people=st.integers(1, 30), longest=st.integers(0, 40))
def test_many_people_at_once_are_the_same_as_one_after_the_other(
    seed: int, rank: int, people: int, longest: int
) -> None:
    """Whatever lengths are solved together; what past items contribute adds up to the vector."""
    generator = np.random.default_rng(seed)
    many = ItemFactors(
        items=pa.array([f"i{n:02d}" for n in range(40)]),
        factors=generator.normal(size=(40, rank)).astype(np.float32),
        people=np.ones(40, dtype=np.int64),
        alpha=float(generator.uniform(0, 20)),
        regularisation=0.01,
        facts={},
    )
    rows = [
        [
            (int(n), float(generator.uniform(0, 5)))
            for n in generator.permutation(40)[: generator.integers(0, longest + 1)]
        ]
        for _ in range(people)
    ]
    found = fold_in_people(many, people_with(*rows), influence=True)
    y = many.factors.astype(np.float64)
    for vector, row in zip(found.vectors, rows, strict=True):
        mine, ratings = y[[position for position, _ in row]], np.array([rating for _, rating in row])
        system = y.T @ y + (mine.T * (many.alpha * ratings)) @ mine + 0.01 * max(len(row), 1) * np.eye(rank)
        expected = np.linalg.solve(system, mine.T @ (1 + many.alpha * ratings))
        np.testing.assert_allclose(vector, expected, rtol=1e-7, atol=1e-9)
    for solved in found.solved:
        turned = found.vectors[solved.people] @ found.basis
        np.testing.assert_allclose(solved.influence.sum(axis=2), turned, rtol=1e-9, atol=1e-11)
        assert (solved.influence.transpose(0, 2, 1)[solved.entries < 0] == 0).all()
    everybody = np.concatenate([np.empty(0, np.int64), *[solved.people for solved in found.solved]])
    assert sorted(everybody.tolist()) == np.flatnonzero(found.known).tolist()


def test_a_new_item_of_the_shelf_teaches_nothing(model: ItemFactors) -> None:
    """Position 12 lies behind the 12 items of the model."""
    with_new = fold_in_people(model, people_with([(12, 3.0), (1, 0.5)], [(12, 3.0)]))
    without = fold_in_people(model, people_with([(1, 0.5)], []))
    np.testing.assert_array_equal(with_new.vectors, without.vectors)
    assert with_new.known.tolist() == [True, False]


def test_equations_without_a_single_solution_are_said(model: ItemFactors) -> None:
    """Two equal columns of factors and no regularisation."""
    flat = replace(model, factors=np.zeros_like(model.factors), regularisation=0.0)
    with pytest.raises(ModelDamagedError, match="have no single solution at regularisation 0; train the model with"):
        fold_in_people(flat, people_with([(1, 0.5)]))


def test_histories_are_read_in_the_positions_of_the_model_without_unknown_items(model: ItemFactors) -> None:
    """The third batch begins in the middle of its arrays, as Arrow slices do."""
    rows = [
        ("ann", ["i3", "unheard of", "i1"], [1.0, 2.0, 3.0], [False, True, True]),
        ("ben", [], [], []),
        ("cem", ["gone"], [9.0], [True]),
        ("dia", ["i11", "i0"], [0.5, 0.0], [False, True]),
    ]
    names = ["user_id", "items", "confidences", "bought"]
    types = [pa.string(), pa.list_(pa.string()), pa.list_(pa.float64()), pa.list_(pa.bool_())]
    columns = [pa.array([row[n] for row in rows], types[n]) for n in range(4)]
    whole = pa.RecordBatch.from_arrays(columns, names=names)
    expected = [
        ("ann", [3, 1], [1.0, 3.0], [False, True]),
        ("ben", [], [], []),
        ("cem", [], [], []),
        ("dia", [11, 0], [0.5, 0.0], [False, True]),
    ]
    for start in (0, 2, 3):
        histories = read_histories(whole.slice(start), model)
        people = [histories.part(n, n + 1) for n in range(len(histories))]
        found = [
            (one.user_ids[0].as_py(), one.positions.tolist(), one.confidences.tolist(), one.bought.tolist())
            for one in people
        ]
        assert found == expected[start:]


BOARD = Checkerboard(16, user_name="Käufer {:02d} ☂".format, item_name="Bücher {:02d} 本".format)


@pytest.fixture(scope="module")
def trained(spark: SparkSession) -> ItemFactors:
    return _train(spark, partitions=2)


def _train(spark: SparkSession, partitions: int) -> ItemFactors:
    pairs = spark.createDataFrame([(*pair, 1.0) for pair in BOARD.pairs()], PAIRS).repartition(partitions)
    chosen = Als(rank=4, iterations=5, alpha=10.0, seed=SEED)
    with tempfile.TemporaryDirectory() as folder:
        return train_als(pairs, chosen, {"cutoff": "2026-01-05"}, checkpoints=f"{folder}/checkpoints")


def test_on_a_checkerboard_everybody_is_recommended_the_item_that_was_withheld(trained: ItemFactors) -> None:
    """Also when the ids are no ASCII."""
    liked: dict[str, list[str]] = {}
    for user, item in BOARD.pairs():
        liked.setdefault(user, []).append(item)
    for user, withheld in BOARD.withheld().items():
        positions = trained.positions(pa.array(liked[user]))
        history = people_with([(int(position), 1.0) for position in positions])
        found = best(trained, history, CandidateSet.plain(trained.items), 1)
        assert trained.items.take(pa.array(found.positions[0])).to_pylist() == [withheld]


def test_training_again_gives_the_same_bytes(spark: SparkSession, trained: ItemFactors) -> None:
    """However the pairs were spread."""
    assert _train(spark, partitions=5).to_files() == trained.to_files()


def test_a_model_knows_its_items_in_order_and_how_many_people_touched_each(trained: ItemFactors) -> None:
    """Seven people like each item: its colour's eight but for the one with its own number."""
    items = trained.items.to_pylist()
    assert all(first < second for first, second in pairwise(items))
    assert set(items) == set(BOARD.withheld().values())
    assert trained.people.tolist() == [7] * 16
    assert (trained.rank, trained.alpha, trained.facts) == (4, 10.0, {"cutoff": "2026-01-05"})
