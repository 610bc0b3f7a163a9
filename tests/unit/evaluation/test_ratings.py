"""Errors of predicted ratings: against another library, with intervals that hold, and of a baseline by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse
from sklearn.metrics import mean_absolute_error, root_mean_squared_error

from refit.evaluation.baselines import PairSample
from refit.evaluation.ratings import ByItemMean, compare_ratings, missed

DRAWS = {"resamples": 400, "level": 0.95, "seed": 1}


def lists_of(values: np.ndarray, lengths: np.ndarray) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(np.append(0, np.cumsum(lengths)), pa.int32()), values)


def test_errors_equal_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(3)
    lengths = generator.integers(0, 6, 200)
    given = generator.integers(1, 6, lengths.sum()).astype(float)
    predicted = {name: generator.normal(3, 1, len(given)) for name in ("challenger", "champion")}
    measured = missed(lists_of(given, lengths), predicted)
    assert measured is not None
    found = compare_ratings(measured, **DRAWS)
    assert (found.ratings, found.people) == (len(given), int((lengths > 0).sum()))
    for name, values in predicted.items():
        assert found.errors[name]["rmse"].mean == pytest.approx(root_mean_squared_error(given, values))
        assert found.errors[name]["mae"].mean == pytest.approx(mean_absolute_error(given, values))
    for kind, apart in found.against["champion"].items():
        both = found.errors["challenger"][kind].mean - found.errors["champion"][kind].mean
        assert apart.mean == pytest.approx(both)
        assert apart.low < apart.mean < apart.high


def test_only_ratings_that_every_model_predicts_are_compared() -> None:
    """The champion does not know the second item, and the third was not rated: one rating of one person is left."""
    given = pa.array([[4.0, 2.0], [float("nan")], []], pa.list_(pa.float64()))
    found = missed(given, {"challenger": np.array([3.0, 2.0, 1.0]), "champion": np.array([2.0, np.nan, 1.0])})
    assert found is not None
    assert found.ratings.tolist() == [1, 0, 0]
    assert found.squared["challenger"].tolist() == [1, 0, 0]
    assert found.squared["champion"].tolist() == [4, 0, 0]
    assert missed(given, {"challenger": np.full(3, np.nan)}) is None


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Errors of a standard normal have the root mean square 1, whatever person they are of; 95 of 100 hold it."""
    generator = np.random.default_rng(11)
    held = 0
    for _ in range(100):
        lengths = generator.integers(1, 5, 120)
        found = missed(lists_of(np.zeros(lengths.sum()), lengths), {"a": generator.normal(0, 1, lengths.sum())})
        assert found is not None
        interval = compare_ratings(found, **DRAWS).errors["a"]["rmse"]
        held += interval.low <= 1 <= interval.high
    assert 88 <= held <= 99


def test_the_item_mean_is_what_others_gave() -> None:
    """Tea was given 5 and 3, a mug 1; nobody gave the pot anything, so it has the mean of all three; tin is unknown."""
    confidences = sparse.csr_matrix(np.array([[5.0, 1.0, 0.0], [3.0, 0.0, 0.0]], dtype=np.float32))
    sample = PairSample(pa.array(["ann", "ben"]), pa.array(["tea", "mug", "pot"]), confidences, 3)
    wanted = pa.array([["mug", "tin"], [], ["pot", "tea"]])
    batch = pa.RecordBatch.from_pydict({"user_id": ["cem", "dia", "eve"]})
    found = ByItemMean.of(sample).predict(batch, wanted)
    np.testing.assert_array_equal(found, [1.0, np.nan, 3.0, 4.0])
