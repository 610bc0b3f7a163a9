"""Who and what a holdout leaves out: counted from raw events, with people and items of every kind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from refit.config import Confidence, Events
from refit.training.holdout_coverage import asked_pairs, count_asked, describe_coverage, left_out
from refit.training.training_set import holdout, questions

CUTOFF = datetime(2026, 3, 1, tzinfo=UTC)
UNTIL = CUTOFF + timedelta(days=7)
EVENTS = Events(weights={"view": 1.0, "purchase": 2.0}, relevant=("purchase",), bought=("purchase",))
AFTER = [
    ("ann", "tea", "purchase"),  # she had it: lists leave it out
    ("ann", "mug", "purchase"),
    ("ann", "new", "purchase"),  # nobody had it before the cutoff
    ("ann", "new", "purchase"),
    ("ben", "new", "purchase"),  # he wanted only what is new
    ("ben", "mug", "view"),  # a view is no wish
    ("cem", "tea", "purchase"),  # he is new
    ("cem", "new", "purchase"),
    ("dan", "tea", "purchase"),  # he wanted only what he had
    ("eve", "old", "purchase"),  # the item has only pairs of confidence 0
    ("fay", "mug", "purchase"),  # she has only a pair of confidence 0
    ("gus", "cup", "purchase"),
]
BEFORE = [
    ("ann", "tea", 2.0, True),
    ("ben", "cup", 1.0, False),
    ("dan", "tea", 2.0, True),
    ("eve", "mug", 1.0, False),
    ("fay", "old", 0.0, True),
    ("gus", "mug", 1.0, None),
]


@pytest.fixture(scope="module")
def asked(spark: SparkSession) -> DataFrame:
    rows = [(*row, CUTOFF + timedelta(hours=n), 1.0) for n, row in enumerate(AFTER)]
    rows += [("zoe", "mug", "purchase", UNTIL, 1.0), ("zoe", "mug", None, CUTOFF, None)]
    events = spark.createDataFrame(
        rows, "user_id string, item_id string, event_type string, event_time timestamp, value double"
    )
    pairs = spark.createDataFrame(BEFORE, "user_id string, item_id string, confidence double, bought boolean")
    found = asked_pairs(events, pairs, cutoff=CUTOFF, as_of=UNTIL, events=EVENTS).persist()
    alone = holdout(events, pairs, cutoff=CUTOFF, as_of=UNTIL, events=EVENTS)
    assert sorted(alone.collect()) == sorted(questions(found).collect())
    return found


def test_only_known_people_are_asked_about_known_items(asked: DataFrame) -> None:
    assert {row["user_id"]: row["relevant"] for row in questions(asked).collect()} == {"ann": ["mug"], "gus": ["cup"]}


def test_everything_else_is_kept_beside_for_each_person(asked: DataFrame) -> None:
    """Of ann one item, of ben his only one, of cem both; dan wanted nothing that he did not have."""
    found = {row["user_id"]: row["left_out"] for row in left_out(asked).collect()}
    assert found == {"ann": 1, "ben": 1, "cem": 2, "eve": 1, "fay": 1}


def test_the_counts_add_up_to_everybody(asked: DataFrame) -> None:
    counts = count_asked(asked, judges=2)
    assert counts == {
        "people": 6,
        "new_people": 2,
        "people_of_new_items": 2,
        "items": 5,
        "new_items": 2,
        "pairs": 8,
        "pairs_of_new_people": 3,
        "pairs_of_new_items": 3,
        "pairs_again": 2,
        "people_again": 1,
    }
    questioned = questions(asked).select(F.explode("relevant")).count()
    assert counts["pairs"] - counts["pairs_of_new_people"] - counts["pairs_of_new_items"] == questioned
    assert describe_coverage(counts, 2) == (
        "2 of 6 people who came to want something can judge: 2 were new, 2 wanted only new items (2 of 5 are new)"
    )


def test_nobody_wants_anything(asked: DataFrame) -> None:
    counts = count_asked(asked.where("false"), judges=0)
    assert set(counts.values()) == {0}
    assert describe_coverage(counts, 0) == "nobody came to want anything new"


def test_ratings_are_counted_as_other_wishes_are(spark: SparkSession) -> None:
    """A rating of 0 is no number to predict and a wish all the same."""
    rated = Events(weights={"rating": 1.0}, relevant=("rating",), bought=("rating",))
    rows = [("ann", "mug", 4.0), ("ann", "new", 0.0), ("cem", "mug", 3.0)]
    events = spark.createDataFrame(
        [(user, item, "rating", CUTOFF, value) for user, item, value in rows],
        "user_id string, item_id string, event_type string, event_time timestamp, value double",
    )
    pairs = spark.createDataFrame(
        [("ann", "tea", 5.0, True), ("ben", "mug", 3.0, True)],
        "user_id string, item_id string, confidence double, bought boolean",
    )
    ratings = Confidence(value="linear", combine="latest")
    asked = asked_pairs(events, pairs, cutoff=CUTOFF, as_of=UNTIL, events=rated, ratings=ratings)
    assert [tuple(row) for row in questions(asked).collect()] == [("ann", ["mug"], [4.0])]
    assert {row["user_id"]: row["left_out"] for row in left_out(asked).collect()} == {"ann": 1, "cem": 1}
