"""Judging models on people whose lists are known in advance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from scipy import stats

from refit.config import Evaluation
from refit.evaluation import Judged, by_factors, by_popularity, judge_people, paired_interval
from refit.factors import ItemFactors
from refit.fold_in import History

SETTINGS = Evaluation(k=3, seed=1, resamples=1_000)
NAMES = ["a0", "a1", "a2", "a3", "b0", "b1", "b2", "b3"]


def two_tastes(names: list[str], people: Mapping[str, int]) -> ItemFactors:
    """
    Return a model with one latent factor for each letter.

    Whoever has touched only items of one letter has a vector along that letter, so they are ranked a0 a1 a2 ..., and
    after them come the items of the other letter, all with score 0, in the order of their names.
    """
    strength = {"0": 1.0, "1": 0.9, "2": 0.8, "3": 0.7}
    factors = [[strength[name[1]] * (name[0] == letter) for letter in "ab"] for name in names]
    return ItemFactors(
        items=pa.array(names),
        factors=np.array(factors, dtype=np.float32),
        people=np.array([people.get(name, 1) for name in names]),
        alpha=1.0,
        regularisation=0.1,
        facts={},
    )


CHALLENGER = two_tastes(NAMES, {"a0": 50, "b0": 40, "a1": 30})
CHAMPION = two_tastes([name for name in NAMES if name != "a2"], {"b3": 50, "b1": 40})
"""Does not know a2; its best sellers were others."""


def people(
    spark: SparkSession, rows: list[tuple[str, list[str], list[bool], list[str]]]
) -> tuple[DataFrame, DataFrame]:
    """Return histories and holdout of (person, past items, bought, relevant items)."""
    histories = [(user, items, [1.0] * len(items), bought) for user, items, bought, _ in rows]
    kinds = "user_id string, items array<string>, confidences array<double>, bought array<boolean>"
    wanted = [(user, relevant) for user, _, _, relevant in rows]
    return (
        spark.createDataFrame(histories, kinds),
        spark.createDataFrame(wanted, "user_id string, relevant array<string>"),
    )


ROWS = [
    # challenger a1 a2 a3, popularity b0 a1 a2 (a0 was bought)
    ("ann", ["a0"], [True], ["a2"]),
    # challenger b0 b1 b2, popularity a0 b0 a1
    ("ben", ["b0"], [False], ["b0", "a1"]),
    # nothing is known of her; challenger and popularity a0 b0 a1, champion by its own popularity b3 b1 a0
    ("cem", ["gone"], [True], ["a1"]),
]


@pytest.fixture(scope="module")
def judged(spark: SparkSession) -> Judged:
    histories, holdout = people(spark, ROWS)
    return judge_people(histories, holdout, {"challenger": CHALLENGER, "champion": CHAMPION}, SETTINGS)


LOG2_3 = float(np.log2(3))


@pytest.mark.parametrize(
    ("model", "metric", "expected"),
    [
        ("challenger", "hit_rate", [1, 1, 1]),
        ("challenger", "recall", [1, 1 / 2, 1]),
        ("challenger", "precision", [1 / 3, 1 / 3, 1 / 3]),
        ("challenger", "map", [1 / 2, 1 / 2, 1 / 3]),
        ("challenger", "ndcg", [1 / LOG2_3, 1 / (1 + 1 / LOG2_3), 1 / 2]),
        ("popularity", "hit_rate", [1, 1, 1]),
        ("popularity", "recall", [1, 1, 1]),
        ("popularity", "map", [1 / 3, (1 / 2 + 2 / 3) / 2, 1 / 3]),
        ("popularity", "ndcg", [1 / 2, (1 / LOG2_3 + 1 / 2) / (1 + 1 / LOG2_3), 1 / 2]),
        ("champion", "hit_rate", [0, 1, 0]),
        ("champion", "ndcg", [0, 1 / (1 + 1 / LOG2_3), 0]),
    ],
)
def test_every_metric_of_every_model_by_hand(judged: Judged, model: str, metric: str, expected: list[float]) -> None:
    """People in the order of their ids: ann, ben, cem."""
    assert judged.values[model][metric].tolist() == pytest.approx(expected)
    assert judged.mean(model, metric) == pytest.approx(sum(expected) / 3)
    assert judged.means()[model][metric] == pytest.approx(sum(expected) / 3)


def test_what_the_lists_cover_is_counted_over_people(judged: Judged) -> None:
    """Challenger: a1 a2 a3, b0 b1 b2, a0; champion: a1 a3 b0, b0 b1 b2, b3 b1 a0."""
    assert judged.people == 3
    assert dict(judged.recommended) == {"challenger": 7, "champion": 7, "popularity": 4}
    assert judged.catalogue == 8


def test_only_people_with_a_question_are_judged_and_at_most_so_many(spark: SparkSession) -> None:
    """Who is chosen depends on the seed and not on the order of the rows."""
    rows = [(f"u{n}", ["a0"], [True], ["a1"] if n % 2 else ["b0"]) for n in range(8)]
    histories, holdout = people(spark, rows)
    settings = SETTINGS.model_copy(update={"max_people": 5})
    asked = holdout.where("user_id <> 'u7'")

    first = judge_people(histories, asked, {"challenger": CHALLENGER}, settings)
    again = judge_people(
        histories.orderBy("user_id", ascending=False), asked.repartition(3), {"challenger": CHALLENGER}, settings
    )

    assert first.people == again.people == 5
    for metric in first.values["challenger"]:
        assert first.values["challenger"][metric].tolist() == again.values["challenger"][metric].tolist()


def history(positions: list[int], confidences: list[float]) -> History:
    bought = np.zeros(len(positions), dtype=np.bool_)
    return History("ann", np.array(positions, dtype=np.int64), np.array(confidences, dtype=np.float64), bought)


def test_popularity_is_the_same_for_everybody_but_for_what_is_not_allowed() -> None:
    allowed = np.ones(8, dtype=np.bool_)
    allowed[4] = False
    assert by_popularity(CHALLENGER, history([1], [1.0]), allowed, 2).tolist() == [0, 1]


@pytest.mark.parametrize("known", [history([], []), history([2], [0.0])], ids=["nothing", "nothing recent"])
def test_somebody_of_whom_a_model_knows_nothing_is_judged_by_what_the_lists_would_show(known: History) -> None:
    """Which is popularity and not the order of names."""
    everything = np.ones(8, dtype=np.bool_)
    assert by_factors(CHALLENGER, known, everything, 3).tolist() == [0, 4, 1]


def test_the_interval_of_a_constant_difference_is_that_difference() -> None:
    found = paired_interval(np.linspace(0.25, 1, 50), np.linspace(0.25, 1, 50) - 0.25, SETTINGS)
    assert (found.difference, found.low, found.high) == pytest.approx((0.25, 0.25, 0.25))


def test_the_interval_is_that_of_the_normal_law_when_people_are_many() -> None:
    """Mean plus and minus 1.96 standard errors, to within the error of a thousand resamples."""
    generator = np.random.default_rng(3)
    ours, theirs = generator.random(2_000), generator.random(2_000) - 0.05
    differences = ours - theirs
    low, high = stats.norm.interval(0.95, differences.mean(), stats.sem(differences))

    found = paired_interval(ours, theirs, SETTINGS)
    assert found.difference == pytest.approx(differences.mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.1 * (high - low))
    assert found.low > 0


def test_people_are_compared_with_themselves() -> None:
    """Two models that differ by 0.01 for everybody are told apart although people differ by far more."""
    theirs = np.random.default_rng(4).random(100) * 100
    assert paired_interval(theirs + 0.01, theirs, SETTINGS).low > 0


def test_nineteen_of_twenty_intervals_cover_the_truth() -> None:
    """200 samples of 100 people with mean 0.2: between 90 and 99 percent of the intervals hold it."""
    generator = np.random.default_rng(5)
    settings = Evaluation(seed=6, resamples=200)
    covered = 0
    for _ in range(200):
        ours = generator.normal(0.2, 1, 100)
        found = paired_interval(ours, np.zeros(100), settings)
        covered += found.low <= 0.2 <= found.high
    assert 180 <= covered <= 198


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(7).random(50)
    assert paired_interval(values, np.zeros(50), SETTINGS) == paired_interval(values, np.zeros(50), SETTINGS)
