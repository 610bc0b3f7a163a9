"""Judging models on people whose lists are known in advance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from refit.config import Evaluation
from refit.errors import ConfigurationError
from refit.evaluation.baselines import PeopleNeighbours, collect_pairs, item_neighbours
from refit.evaluation.cohorts import FIRST_SEEN_DAYS
from refit.evaluation.holdout_lists import Judged, judge_people
from refit.evaluation.rankers import ByModel, ByPeople
from refit.lake.pairs import histories as histories_of
from refit.model.item_factors import ItemFactors

SETTINGS = Evaluation(k=3, ks=(1, 2), seed=1)
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
        ("challenger", "mrr", [1 / 2, 1, 1 / 3]),
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
    assert judged.users.to_pylist() == ["ann", "ben", "cem"]
    assert judged.values(model, metric).tolist() == pytest.approx(expected)
    assert judged.mean(model, metric) == pytest.approx(sum(expected) / 3)
    assert judged.means()[model][metric] == pytest.approx(sum(expected) / 3)


def test_a_shorter_list_is_the_beginning_of_the_longer_one(judged: Judged) -> None:
    """Of the challenger's lists only ben's begins with a hit; of two places ann's second is one too."""
    assert judged.lengths == (1, 2, 3)
    assert judged.values("challenger", "hit_rate", 1).tolist() == [0, 1, 0]
    assert judged.values("challenger", "hit_rate", 2).tolist() == [1, 1, 0]
    assert judged.values("challenger", "recall", 1).tolist() == [0, 1 / 2, 0]
    assert judged.values("challenger", "capped_recall", 1).tolist() == [0, 1, 0]


def test_the_lists_themselves_are_kept(judged: Judged) -> None:
    """Champion: a1 a3 b0, b0 b1 b2, b3 b1 a0, in the positions of the challenger."""
    names = judged.items.to_pylist()
    lists = [[names[place] for place in row] for row in judged.lists["champion"]]
    assert lists == [["a1", "a3", "b0"], ["b0", "b1", "b2"], ["b3", "b1", "a0"]]
    assert judged.hits["champion"].tolist() == [[False] * 3, [True, False, False], [False] * 3]


def test_who_the_judged_people_are_is_kept(judged: Judged) -> None:
    """Ann has a0, which 50 people have, ben b0 with 40, and of cem nothing is known."""
    assert judged.relevant.tolist() == [1, 2, 1]
    assert judged.described.activity.tolist() == [1, 1, 0]
    assert judged.past.tolist() == [50, 40, 0]


def test_traits_follow_their_people(spark: SparkSession) -> None:
    histories, holdout = people(spark, ROWS)
    kinds = f"user_id string, {FIRST_SEEN_DAYS} double, country string"
    traits = spark.createDataFrame([("cem", 3.0, "Chad"), ("ann", 40.0, None), ("zoe", 1.0, "Oman")], kinds)
    judged = judge_people(histories, holdout, {"challenger": CHALLENGER}, SETTINGS, traits=traits)
    described = judged.described
    assert described.first_seen_days is not None
    assert described.first_seen_days.tolist() == pytest.approx([40.0, float("nan"), 3.0], nan_ok=True)
    assert described.segments is not None
    assert described.segments["country"].to_pylist() == [None, None, "Chad"]


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
    assert first.users.equals(again.users)
    assert first.lists["challenger"].tolist() == again.lists["challenger"].tolist()


def test_nobody_can_be_judged(spark: SparkSession) -> None:
    histories, holdout = people(spark, ROWS)
    judged = judge_people(histories, holdout.where("user_id = 'nobody'"), {"challenger": CHALLENGER}, SETTINGS)
    assert judged.people == 0
    assert judged.lists["challenger"].shape == (0, 3)
    assert judged.mean("challenger", "ndcg") == 0.0


def test_a_catalogue_of_one_item_gives_lists_of_one_or_none(spark: SparkSession) -> None:
    one = two_tastes(["a0"], {"a0": 1})
    histories, holdout = people(spark, [("ann", ["a0"], [True], ["a0"]), ("ben", ["a0"], [False], ["a0"])])
    judged = judge_people(histories, holdout, {"challenger": one}, SETTINGS)
    assert judged.lists["challenger"].tolist() == [[-1, -1, -1], [0, -1, -1]]
    assert judged.values("challenger", "recall").tolist() == [0, 1]


def test_a_model_may_not_recommend_what_nobody_is_asked_about(spark: SparkSession) -> None:
    """The champion's best item is gone from the training set; what comes after it is judged."""
    champion = two_tastes(["a00", *NAMES], {"a00": 90})
    histories, holdout = people(spark, ROWS[:1])
    judged = judge_people(histories, holdout, {"challenger": CHALLENGER, "champion": champion}, SETTINGS)
    assert judged.lists["champion"].tolist() == judged.lists["challenger"].tolist()


def test_a_champion_of_another_id_space_is_refused(spark: SparkSession, tell: Callable[[str, str], None]) -> None:
    histories, holdout = people(spark, ROWS)
    stranger = two_tastes([f"{name[0]}{name[1]}" for name in NAMES], {})
    stranger = ItemFactors(
        items=pa.array([f"sku-{n}" for n in range(8)]),
        factors=stranger.factors,
        people=stranger.people,
        alpha=1.0,
        regularisation=0.1,
        facts={},
    )
    with pytest.raises(ConfigurationError, match="champion knows none of the 8 items") as refused:
        judge_people(histories, holdout, {"challenger": CHALLENGER, "champion": stranger}, SETTINGS)
    tell("a champion of another id space", str(refused.value))


def test_predicted_ratings_are_compared_with_given_ones(spark: SparkSession) -> None:
    """
    One factor, every item 1, regularisation 0.5: with ratings 4 and 2 of two items x = 6 / (2 + 0.5 * 2) = 2.

    Ann gave 3 and 2, so the errors are 1 and 0. Of ben nothing is known, so his rating is not predicted.
    """
    model = ItemFactors(
        items=pa.array(["a", "b", "c", "d"]),
        factors=np.ones((4, 1), dtype=np.float32),
        people=np.ones(4, dtype=np.int64),
        alpha=1.0,
        regularisation=0.5,
        facts={},
        implicit=False,
    )
    histories = spark.createDataFrame(
        [("ann", ["a", "b"], [4.0, 2.0], [True, True]), ("ben", ["z"], [5.0], [True])],
        "user_id string, items array<string>, confidences array<double>, bought array<boolean>",
    )
    holdout = spark.createDataFrame(
        [("ann", ["c", "d"], [3.0, 2.0]), ("ben", ["c"], [1.0])],
        "user_id string, relevant array<string>, ratings array<double>",
    )
    found = judge_people(histories, holdout, {"challenger": model}, SETTINGS).ratings
    assert found is not None
    assert found.ratings.tolist() == [2, 0]
    assert found.squared["challenger"] == pytest.approx([1, 0])
    assert found.absolute["challenger"] == pytest.approx([1, 0])
    implicit = replace(model, implicit=True)
    assert judge_people(histories, holdout, {"challenger": implicit, "champion": model}, SETTINGS).ratings is None


TASTES = [
    ("p0", ["a0", "a1", "a2"]),
    ("p1", ["a0", "a1", "a3"]),
    ("p2", ["b0", "b1", "b2"]),
    ("p3", ["b0", "b1", "b3"]),
]
"""Two pairs of people who agree on two of three items; each lacks the one that the other has beside them."""


def test_neighbours_recommend_what_the_like_minded_took(spark: SparkSession) -> None:
    """
    Whoever has a0 a1 a2 gets a3 first: of items by both common items, of people by the only person like them.

    Nobody like them took anything of the other letter, so lists are short.
    """
    pairs = spark.createDataFrame(
        [(user, item, 1.0, True) for user, items in TASTES for item in items],
        "user_id string, item_id string, confidence double, bought boolean",
    )
    holdout = spark.createDataFrame(
        [(user, [f"{items[0][0]}{5 - int(items[2][1])}"]) for user, items in TASTES],
        "user_id string, relevant array<string>",
    )
    sample = collect_pairs(pairs, CHALLENGER.items, most=1_000, seed=1)
    rivals = {
        f"{side}_{kind}": (
            ByModel.over(item_neighbours(CHALLENGER, sample, likeness=kind, most=5), CHALLENGER.items)
            if side == "items"
            else ByPeople(PeopleNeighbours(sample, kind, 5))
        )
        for side in ("items", "people")
        for kind in ("cosine", "pearson")
    }
    judged = judge_people(histories_of(pairs), holdout, {"challenger": CHALLENGER}, SETTINGS, rivals=rivals)
    for name in rivals:
        assert judged.lists[name][:, 0].tolist() == [3, 2, 7, 6], name
        assert (judged.lists[name][:, 1:] == -1).all(), name
        assert judged.values(name, "mrr").tolist() == [1, 1, 1, 1], name
