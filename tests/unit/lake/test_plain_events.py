"""What the rules make of a frame of raw events, judged from outside as in `test_plain_shop`, but without a lake."""

from __future__ import annotations

from collections import Counter
from datetime import UTC

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from support.plain_shop import (
    AGREED,
    DAY,
    END,
    HALF_LIFE,
    HOLDOUT,
    WEIGHTS,
    WINDOW,
    known,
    pairs_of,
    raw_events,
    wanted_of,
)

from refit.cleaning import without_cancelled
from refit.config import Confidence, Events
from refit.lake.consent import consenting
from refit.lake.pairs import histories, person_item_pairs
from refit.lake.people import with_segment
from refit.training.training_set import count_pairs, holdout

CONTRACT = "user_id string, item_id string, event_type string, event_time timestamp, value double"
EVENTS = Events(
    weights=WEIGHTS, relevant=("purchase",), bought=("purchase",), cancellation="return", cancels=("purchase",)
)
CONFIDENCE = Confidence(value="log", half_life_days=HALF_LIFE)
CUTOFF = END - HOLDOUT
RAW = raw_events(12)


@pytest.fixture(scope="module")
def raw(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([tuple(event) for event in RAW], CONTRACT).cache()


def test_returns_take_back_the_latest_orders_before_them_and_nothing_else(raw: DataFrame) -> None:
    rows = without_cancelled(raw, EVENTS).collect()
    assert Counter(
        (row["user_id"], row["item_id"], row["event_type"], row["event_time"].astimezone(UTC), row["value"])
        for row in rows
    ) == Counter(tuple(event) for event in known(RAW, END + DAY))


def test_pairs_and_judges_are_those_of_the_events_that_are_left(raw: DataFrame) -> None:
    """The pairs and the wanted items of everybody, then the same people as one history each."""
    before, whole = (without_cancelled(raw.where(F.col("event_time") < F.lit(end)), EVENTS) for end in (CUTOFF, END))
    pairs = person_item_pairs(before, since=END - WINDOW, as_of=CUTOFF, events=EVENTS, confidence=CONFIDENCE).persist()
    expected = pairs_of(known(RAW, CUTOFF), since=END - WINDOW, as_of=CUTOFF)
    rows = pairs.collect()
    found = {(row["user_id"], row["item_id"]): (row["confidence"], row["bought"]) for row in rows}
    assert {pair: bought for pair, (_, bought) in found.items()} == {pair: b for pair, (_, b) in expected.items()}
    assert {pair: confidence for pair, (confidence, _) in found.items()} == pytest.approx(
        {pair: confidence for pair, (confidence, _) in expected.items()}
    )
    wanted = wanted_of(known(RAW, END), expected, cutoff=CUTOFF)
    judges = holdout(whole, pairs, cutoff=CUTOFF, as_of=END, events=EVENTS)
    assert {row["user_id"]: row["relevant"] for row in judges.collect()} == wanted
    taught = [pair for pair, (confidence, _) in expected.items() if confidence > 0]
    assert count_pairs(pairs, judges) == {
        "pairs": len(taught),
        "people": len({person for person, _ in taught}),
        "items": len({item for _, item in taught}),
        "judges": len(wanted),
    }
    whole_people = {row["user_id"]: row["items"] for row in histories(pairs).collect()}
    assert whole_people == {p: sorted(item for person, item in expected if person == p) for p in AGREED}


def test_only_true_is_consent_and_only_in_every_row(spark: SparkSession) -> None:
    rows = [("yes", True), ("no", False), ("silent", None), ("both", True), ("both", False), ("unsure", True)]
    people = spark.createDataFrame([*rows, ("unsure", None)], "user_id string, consent boolean")
    assert [row["user_id"] for row in consenting(with_segment(people, None)).collect()] == ["yes"]
    bare = with_segment(people.select("user_id"), None)
    assert sorted(row["user_id"] for row in consenting(bare).collect()) == ["both", "no", "silent", "unsure", "yes"]
