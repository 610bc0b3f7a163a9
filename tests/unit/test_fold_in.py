"""Folding in against MLlib itself, and training on data whose answer is known."""

from __future__ import annotations

import tempfile
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from refit.als import fit, number_ids, to_item_factors, train_als
from refit.config import Als
from refit.factors import ItemFactors
from refit.fold_in import fold_in, read_histories
from refit.ranking import top_k
from refit.testing import Checkerboard

PAIRS = "user_id string, item_id string, confidence double"
SEED = 3


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
    settings = Als(rank=rank, iterations=3, alpha=alpha, regularisation=0.07, seed=SEED)
    numbered, items = number_ids(random_pairs(spark).where("confidence > 0"))
    numbered.persist()
    theirs = fit(numbered, settings)
    model = to_item_factors(theirs, numbered, items, settings, {})

    rows: dict[int, list[tuple[int, float]]] = {}
    for user, item, rating in numbered.orderBy("user", "item").collect():
        rows.setdefault(user, []).append((item, rating))
    vectors = {row["id"]: np.array(row["features"]) for row in theirs.userFactors.collect()}
    assert rows.keys() == vectors.keys()
    assert len(rows) == 40

    worst = 0.0
    for user, history in rows.items():
        positions, ratings = (np.array(column) for column in zip(*history, strict=True))
        ours = fold_in(model, positions, ratings).vector
        worst = max(worst, float(np.abs(ours - vectors[user]).max() / np.abs(vectors[user]).max()))
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


def test_the_vector_solves_the_equations_written_out(model: ItemFactors) -> None:
    """(YtCY + lambda n I) x = YtCp with the full 12 x 12 matrix C, whose diagonal is 1 but for the history."""
    positions, ratings = np.array([1, 4, 7]), np.array([0.5, 2.0, 1.0])
    y = model.factors.astype(np.float64)
    c, p = np.eye(12), np.zeros(12)
    c[positions, positions] += 2.0 * ratings
    p[positions] = 1.0
    expected = np.linalg.solve(y.T @ c @ y + 0.1 * 3 * np.eye(4), y.T @ c @ p)

    np.testing.assert_allclose(fold_in(model, positions, ratings).vector, expected, rtol=1e-12)


def test_what_each_past_item_contributes_adds_up_to_the_vector(model: ItemFactors) -> None:
    person = fold_in(model, np.array([1, 4, 7]), np.array([0.5, 2.0, 1.0]))
    assert person.influence.shape == (4, 3)
    np.testing.assert_allclose(person.influence.sum(axis=1), person.vector, rtol=1e-14)
    assert person.positions.tolist() == [1, 4, 7]


def test_a_pair_of_confidence_0_teaches_nothing(model: ItemFactors) -> None:
    """Neither through its item nor through the number of pairs that scales the regularisation."""
    with_zero = fold_in(model, np.array([1, 2, 4]), np.array([0.5, 0.0, 2.0]))
    without = fold_in(model, np.array([1, 4]), np.array([0.5, 2.0]))
    np.testing.assert_array_equal(with_zero.vector, without.vector)
    assert with_zero.positions.tolist() == [1, 4]


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
        found = [
            (h.user_id, h.positions.tolist(), h.confidences.tolist(), h.bought.tolist())
            for h in read_histories(whole.slice(start), model)
        ]
        assert found == expected[start:]


BOARD = Checkerboard(16, user_name="Käufer {:02d} ☂".format, item_name="Bücher {:02d} 本".format)


@pytest.fixture(scope="module")
def trained(spark: SparkSession) -> ItemFactors:
    return _train(spark, partitions=2)


def _train(spark: SparkSession, partitions: int) -> ItemFactors:
    pairs = spark.createDataFrame([(*pair, 1.0) for pair in BOARD.pairs()], PAIRS).repartition(partitions)
    settings = Als(rank=4, iterations=5, alpha=10.0, seed=SEED)
    with tempfile.TemporaryDirectory() as folder:
        return train_als(pairs, settings, {"cutoff": "2026-01-05"}, checkpoints=f"{folder}/checkpoints")


def test_on_a_checkerboard_everybody_is_recommended_the_item_that_was_withheld(trained: ItemFactors) -> None:
    """Also when the ids are no ASCII."""
    liked: dict[str, list[str]] = {}
    for user, item in BOARD.pairs():
        liked.setdefault(user, []).append(item)
    for user, withheld in BOARD.withheld().items():
        positions = trained.positions(pa.array(liked[user]))
        vector = fold_in(trained, positions, np.ones(len(positions))).vector
        allowed = np.ones(16, dtype=np.bool_)
        allowed[positions] = False
        best = top_k(trained.factors @ vector.astype(np.float32), allowed, 1)
        assert trained.items.take(pa.array(best)).to_pylist() == [withheld]


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
