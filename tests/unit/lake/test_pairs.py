"""Histories, and the training set that is cut from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from refit.config import Confidence, Events, Training
from refit.errors import NotEnoughDataError, NotFoundError
from refit.lake.lake import Lake
from refit.lake.pairs import histories, person_item_pairs
from refit.testing import FakeObjectStore
from refit.training.training_set import count_pairs, holdout, load_manifest, require_enough

AS_OF = datetime(2026, 3, 1, tzinfo=UTC)
SINCE = AS_OF - timedelta(days=30)
EVENTS = Events(weights={"view": 0.25, "purchase": 2.0}, relevant=("purchase",), bought=("purchase",))
DAY = timedelta(days=1)
MOMENT = timedelta(microseconds=1)

Event = tuple[str, str, str, datetime, float | None]


def frame(spark: SparkSession, events: list[Event]) -> DataFrame:
    return spark.createDataFrame(
        events, "user_id string, item_id string, event_type string, event_time timestamp, value double"
    )


def confidences(pairs: DataFrame) -> dict[str, float]:
    return {row["item_id"]: row["confidence"] for row in pairs.collect()}


EVERYTHING: list[Event] = [
    ("ann", "one purchase", "purchase", AS_OF - DAY, 4.0),
    ("ann", "view and purchase", "view", AS_OF - DAY, 1.0),
    ("ann", "view and purchase", "purchase", AS_OF - 2 * DAY, 3.0),
    ("ann", "three views", "view", AS_OF - DAY, 1.0),
    ("ann", "three views", "view", AS_OF - DAY, 1.0),
    ("ann", "three views", "view", AS_OF - 10 * DAY, 1.0),
    ("ann", "returned", "refund", AS_OF - DAY, 4.0),
    ("ann", "no value", "purchase", AS_OF - DAY, None),
    ("ann", "negative value", "purchase", AS_OF - DAY, -7.0),
    ("ann", "first moment", "purchase", SINCE, 4.0),
    ("ann", "before since", "purchase", SINCE - MOMENT, 4.0),
    ("ann", "before and after since", "purchase", SINCE - MOMENT, 4.0),
    ("ann", "before and after since", "view", SINCE + MOMENT, 1.0),
    ("ann", "last moment", "purchase", AS_OF - MOMENT, 4.0),
    ("ann", "at as_of", "purchase", AS_OF, 4.0),
    ("ann", "future", "purchase", AS_OF + DAY, 4.0),
]


@pytest.fixture(scope="module")
def interactions(spark: SparkSession) -> DataFrame:
    return frame(spark, EVERYTHING)


PLAIN = {
    "one purchase": 2.0,
    "view and purchase": 2.25,
    "three views": 0.75,
    "no value": 2.0,
    "negative value": 2.0,
    "first moment": 2.0,
    "before since": 0.0,
    "before and after since": 0.25,
    "last moment": 2.0,
}


def recency(days: float) -> float:
    return float(2 ** (-days / 10))


@pytest.mark.parametrize(
    ("confidence", "expected"),
    [
        (Confidence(), PLAIN),
        (Confidence(combine="log_sum"), {name: math.log1p(value) for name, value in PLAIN.items()}),
        (Confidence(combine="mean"), PLAIN | {"view and purchase": 1.125, "three views": 0.25}),
        (Confidence(combine="latest"), PLAIN | {"view and purchase": 0.25, "three views": 0.25}),
        (
            Confidence(value="linear"),
            PLAIN
            | {
                "one purchase": 8.0,
                "view and purchase": 0.25 + 6.0,
                "no value": 0.0,
                "negative value": 0.0,
                "first moment": 8.0,
                "last moment": 8.0,
            },
        ),
        (
            Confidence(value="log"),
            {
                "one purchase": 2 * math.log(5),
                "view and purchase": 0.25 * math.log(2) + 2 * math.log(4),
                "three views": 0.75 * math.log(2),
                "no value": 0.0,
                "negative value": 0.0,
                "first moment": 2 * math.log(5),
                "before since": 0.0,
                "before and after since": 0.25 * math.log(2),
                "last moment": 2 * math.log(5),
            },
        ),
        (
            Confidence(half_life_days=10),
            {
                "one purchase": 2 * recency(1),
                "view and purchase": 0.25 * recency(1) + 2 * recency(2),
                # An event exactly one half-life old counts half.
                "three views": 2 * 0.25 * recency(1) + 0.25 / 2,
                "no value": 2 * recency(1),
                "negative value": 2 * recency(1),
                "first moment": 2 / 8,
                "before since": 0.0,
                "before and after since": 0.25 / 8,
                "last moment": 2.0,
            },
        ),
    ],
    ids=["weights", "log_sum", "mean", "latest", "linear", "log", "half-life"],
)
def test_confidences_by_hand(interactions: DataFrame, confidence: Confidence, expected: Mapping[str, float]) -> None:
    """What is not before `as_of` or has no weight makes no pair at all."""
    pairs = person_item_pairs(interactions, since=SINCE, as_of=AS_OF, events=EVENTS, confidence=confidence)
    assert confidences(pairs) == pytest.approx(dict(expected), rel=1e-9)


def test_bought_is_what_was_purchased_however_long_ago(interactions: DataFrame) -> None:
    pairs = person_item_pairs(interactions, since=SINCE, as_of=AS_OF, events=EVENTS, confidence=Confidence())
    bought = {row["item_id"] for row in pairs.collect() if row["bought"]}
    assert bought == set(PLAIN) - {"three views"}


def test_a_shop_may_show_again_what_was_bought(interactions: DataFrame) -> None:
    again = Events(weights=EVENTS.weights, relevant=("purchase",))
    pairs = person_item_pairs(interactions, since=SINCE, as_of=AS_OF, events=again, confidence=Confidence())
    assert pairs.where("bought").count() == 0


def test_a_person_is_one_row_in_the_order_of_item_ids(spark: SparkSession) -> None:
    """The order is that of bytes: capitals first, what is no ASCII last."""
    rows = [
        ("ben", "x", 1.0, False),
        ("ann", "é", 1.0, True),
        ("ann", "b", 2.0, False),
        ("ann", "B", 3.0, True),
        ("ann", "a", 0.0, True),
    ]
    pairs = spark.createDataFrame(rows, "user_id string, item_id string, confidence double, bought boolean")
    found = {row["user_id"]: row.asDict() for row in histories(pairs.repartition(3)).collect()}
    assert found["ann"] == {
        "user_id": "ann",
        "items": ["B", "a", "b", "é"],
        "confidences": [3.0, 0.0, 2.0, 1.0],
        "bought": [True, True, False, True],
    }
    assert found["ben"]["items"] == ["x"]


CUTOFF = AS_OF - 7 * DAY


def test_the_holdout_asks_only_what_every_model_could_answer(spark: SparkSession) -> None:
    """Known people, taught items, not bought before, purchases only, from the cutoff on and before as_of."""
    taught = [("ann", "known", 2.0, True), ("ann", "seen", 0.5, False), ("ben", "other", 2.0, True)]
    untaught = [("cem", "known", 0.0, True), ("ben", "forgotten", 0.0, True)]
    training = spark.createDataFrame(
        [*taught, *untaught], "user_id string, item_id string, confidence double, bought boolean"
    )
    after: list[Event] = [
        ("ann", "seen", "purchase", CUTOFF, 1.0),
        ("ann", "other", "purchase", AS_OF - MOMENT, 1.0),
        ("ann", "other", "purchase", AS_OF - 2 * MOMENT, 1.0),
        ("ann", "known", "purchase", CUTOFF + DAY, 1.0),
        ("ann", "forgotten", "purchase", CUTOFF + DAY, 1.0),
        ("ann", "new", "purchase", CUTOFF + DAY, 1.0),
        ("ben", "seen", "purchase", CUTOFF - MOMENT, 1.0),
        ("ben", "known", "purchase", AS_OF, 1.0),
        ("ben", "seen", "view", CUTOFF + DAY, 1.0),
        ("cem", "seen", "purchase", CUTOFF + DAY, 1.0),
        ("dia", "seen", "purchase", CUTOFF + DAY, 1.0),
    ]
    wanted = holdout(frame(spark, after), training, cutoff=CUTOFF, as_of=AS_OF, events=EVENTS)
    assert {row["user_id"]: row["relevant"] for row in wanted.collect()} == {"ann": ["other", "seen"]}
    assert count_pairs(training, wanted) == {"pairs": 3, "people": 2, "items": 3, "judges": 1}


LIMITS = Training(min_interactions=1_000, min_people=50, min_items=20)
ENOUGH = {"pairs": 1_000, "people": 50, "items": 20, "judges": 50}


def test_a_training_set_that_just_meets_every_limit_is_enough() -> None:
    require_enough(ENOUGH, LIMITS)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"pairs": 999}, "999 pairs (at least 1,000)"),
        ({"people": 49}, "49 people (at least 50)"),
        ({"items": 19}, "19 items (at least 20)"),
        ({"judges": 0}, "0 judges (at least 50)"),
        (
            {"pairs": 1, "people": 2, "items": 3, "judges": 4},
            "1 pairs (at least 1,000), 2 people (at least 50), 3 items (at least 20), 4 judges (at least 50)",
        ),
    ],
)
def test_everything_of_which_there_is_too_little_is_named(change: dict[str, int], sentence: str) -> None:
    with pytest.raises(NotEnoughDataError) as refusal:
        require_enough({**ENOUGH, **change}, LIMITS)
    assert str(refusal.value) == (
        f"the training set is too small: {sentence}; land more days, move as_of or the window, or lengthen "
        "training.holdout_days where only judges are missing"
    )


def test_a_training_set_that_was_never_finished_is_not_found(tmp_path: Path) -> None:
    store = FakeObjectStore()
    lake = Lake(root=str(tmp_path), catalog="catalog.json", store=store)
    with pytest.raises(NotFoundError, match=r"training_sets/ab holds no finished training set; run build_training_set"):
        load_manifest(lake, "training_sets/ab")
    store.create("training_sets/ab/manifest.json", b'{"digest":"ab"}')
    assert load_manifest(lake, "training_sets/ab") == {"digest": "ab"}
