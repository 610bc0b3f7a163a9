"""Features of events and of people's days, on a handful of rows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from refit.config import Drift, Events
from refit.drift.features import between, event_features, first_days, person_days
from refit.errors import ConfigurationError

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
"""A Monday."""
FIRST = (date(2026, 1, 5) - date(1970, 1, 1)).days
COLUMNS = "user_id string, item_id string, event_type string, event_time timestamp, value double"
EVENTS = Events(weights={"buy": 1.0, "view": 0.1}, relevant=("buy",))
POLICY = Drift(numbers=("value", "price", "hour"), categories=("weekday", "event_type", "category", "top_item"))


@pytest.fixture(scope="module")
def catalogue(spark: SparkSession) -> DataFrame:
    rows = [("a", "toys", 2.0), ("b", "books", 5.0)]
    return spark.createDataFrame(rows, "item_id string, category string, price double")


def events(spark: SparkSession, *rows: tuple[str, str, str, int, float | None]) -> DataFrame:
    """Return events: person, item, type, days after the first, value."""
    made = [(person, item, kind, NOON + timedelta(days=after), value) for person, item, kind, after, value in rows]
    return spark.createDataFrame(made, COLUMNS)


def people(frame: DataFrame) -> dict[tuple[str, int], tuple[float | None, float, float | None]]:
    return {
        (row["user_id"], row["day"] - FIRST): (row["recency"], row["frequency"], row["monetary"])
        for row in frame.collect()
    }


def test_a_persons_day_says_when_they_came_before_how_often_and_what_they_spent(
    spark: SparkSession, catalogue: DataFrame
) -> None:
    """
    Over the 10 days that end with the day: u buys 2 a (2.0 each) on day 0, twice looks on day 3, buys 1 b on day 10.

    On day 10 day 0 is just forgotten, so 2 days with events and 5 spent; on day 30 all is, so nobody knows of before.
    """
    frame = events(
        spark,
        ("u", "a", "buy", 0, 2.0),
        ("u", "a", "view", 3, 1.0),
        ("u", "b", "view", 3, 1.0),
        ("u", "b", "buy", 10, 1.0),
        ("u", "b", "view", 30, 1.0),
        ("v", "a", "view", 3, 1.0),
    )
    policy = POLICY.model_copy(update={"activity_days": 10})
    assert people(person_days(frame, catalogue, policy, EVENTS)) == {
        ("u", 0): (None, 1.0, 4.0),
        ("u", 3): (3.0, 2.0, 4.0),
        ("u", 10): (7.0, 2.0, 5.0),
        ("u", 30): (None, 1.0, 0.0),
        ("v", 3): (None, 1.0, 0.0),
    }


def test_a_persons_day_says_the_same_whatever_comes_after_it(spark: SparkSession, catalogue: DataFrame) -> None:
    """So a window of a few days can be compared with a month, and nothing of the future is in it."""
    rows = [("u", "a", "buy", day, 1.0) for day in (0, 2, 5, 9)]
    whole = people(person_days(events(spark, *rows), catalogue, POLICY, EVENTS))
    part = people(person_days(events(spark, *rows[:3]), catalogue, POLICY, EVENTS))
    assert part == {key: value for key, value in whole.items() if key[1] <= 5}


def test_events_get_the_features_of_their_moment_and_of_their_item(spark: SparkSession, catalogue: DataFrame) -> None:
    """The item c is in no catalogue, so it has neither price nor category."""
    frame = events(spark, ("u", "a", "buy", 0, 3.0), ("u", "c", "view", 1, None))
    rows = [row.asDict() for row in event_features(frame, catalogue, POLICY).orderBy("day").collect()]
    known = {"day": FIRST, "value": 3.0, "price": 2.0, "hour": 12.0, "event_type": "buy", "category": "toys"}
    assert rows[0] == {**known, "top_item": "a", "weekday": 0, "new_items": 0}
    unknown = {"day": FIRST + 1, "value": None, "price": None, "hour": 12.0, "event_type": "view", "category": None}
    assert rows[1] == {**unknown, "top_item": "c", "weekday": 0, "new_items": 0}


def test_an_hour_is_that_of_the_shops_clock(spark: SparkSession, catalogue: DataFrame) -> None:
    """Noon of UTC in January is noon in London; in July (181 days later) it is one o'clock there."""
    frame = events(spark, ("u", "a", "buy", 0, 1.0), ("u", "a", "buy", 181, 1.0))
    rows = event_features(frame, catalogue, POLICY, time_zone="Europe/London").orderBy("day").collect()
    assert [row["hour"] for row in rows] == [12.0, 13.0]


def test_an_item_that_the_model_does_not_know_is_new_in_the_catalogue_or_not(
    spark: SparkSession, catalogue: DataFrame
) -> None:
    frame = events(spark, *[("u", item, "buy", 0, 1.0) for item in "abcd"])
    known = spark.createDataFrame([("a",), ("d",)], "item_id string")
    rows = event_features(frame, catalogue, POLICY, known=known).select("top_item", "new_items").collect()
    assert {row["top_item"]: row["new_items"] for row in rows} == {"a": 0, "b": 1, "c": 1, "d": 0}


def test_with_their_names_given_categories_of_items_are_places(spark: SparkSession, catalogue: DataFrame) -> None:
    """d is popular though in no catalogue; c is neither; books are not among the names; c has no category."""
    frame = events(spark, *[("u", item, "buy", 0, 1.0) for item in "abcd"])
    names = {"category": ("games", "toys"), "top_item": ("d", "a"), "event_type": ("buy",)}
    known = spark.createDataFrame([("a",), ("b",)], "item_id string")
    for said in (None, known):
        rows = event_features(frame, catalogue, POLICY, known=said, names=names).collect()
        found = sorted((row["price"] or 0.0, row["category"], row["top_item"], row["event_type"]) for row in rows[:2])
        assert found == [(2.0, 2, 2, "buy"), (5.0, 0, 0, "buy")]
        assert [(row["price"], row["category"], row["top_item"]) for row in rows[2:]] == [
            (None, None, 0),
            (None, None, 1),
        ]
    assert [row["new_items"] for row in rows] == [0, 0, 1, 1]


def test_a_price_that_was_paid_counts_before_the_price_in_the_catalogue(
    spark: SparkSession, catalogue: DataFrame
) -> None:
    from pyspark.sql import functions as F

    frame = events(spark, ("u", "a", "buy", 0, 2.0))
    paid = frame.withColumn("unit_price", F.lit(7.5))
    assert [row["price"] for row in event_features(frame, catalogue, POLICY).collect()] == [2.0]
    assert [row["price"] for row in event_features(paid, catalogue, POLICY).collect()] == [7.5]
    assert people(person_days(paid, catalogue, POLICY, EVENTS)) == {("u", 0): (None, 1.0, 15.0)}


def test_a_feature_that_nobody_lands_is_named(spark: SparkSession, catalogue: DataFrame) -> None:
    policy = Drift(numbers=("weight",), categories=("weekday",))
    with pytest.raises(ConfigurationError, match="drift features weight are no columns of the landed interactions"):
        event_features(events(spark, ("u", "a", "buy", 0, 1.0)), catalogue, policy)


def test_a_first_day_is_that_of_the_first_event(spark: SparkSession) -> None:
    frame = events(spark, ("u", "a", "buy", 4, 1.0), ("u", "b", "view", 2, 1.0), ("v", "a", "buy", 7, 1.0))
    assert {row["item_id"]: row["first"] - FIRST for row in first_days(frame, "item_id").collect()} == {"a": 4, "b": 2}


def test_only_events_of_the_period_are_read(spark: SparkSession) -> None:
    """The start is in it, the end is not."""
    frame = events(spark, *[("u", "a", "buy", day, float(day)) for day in range(4)])
    kept = between(frame, NOON + timedelta(days=1), NOON + timedelta(days=3)).collect()
    assert [row["value"] for row in kept] == [1.0, 2.0]


def test_a_text_that_is_no_number_is_a_missing_one(spark: SparkSession, catalogue: DataFrame) -> None:
    """A text column among the numbers, as a file of texts gives it."""
    texts = F.when(F.col("item_id") == "a", "21").when(F.col("item_id") == "b", "n/a")
    frame = events(spark, ("u", "a", "buy", 0, 1.0), ("u", "b", "view", 1, 1.0), ("u", "c", "view", 2, 1.0))
    policy = POLICY.model_copy(update={"numbers": ("value", "age in years")})
    rows = event_features(frame.withColumn("age in years", texts), catalogue, policy).orderBy("day").collect()
    assert [row["age in years"] for row in rows] == [21.0, None, None]


def test_a_price_paid_that_is_no_number_is_no_money(spark: SparkSession, catalogue: DataFrame) -> None:
    frame = events(spark, ("u", "a", "buy", 0, 2.0), ("u", "b", "buy", 0, 1.0), ("v", "b", "buy", 0, 1.0))
    paid = frame.withColumn("unit_price", F.when(F.col("item_id") == "a", "1.5").otherwise("1.299,00"))
    found = people(person_days(paid, catalogue, POLICY, EVENTS))
    assert {key: money for key, (_, _, money) in found.items()} == {("u", 0): 3.0, ("v", 0): None}


def test_a_column_that_can_be_no_number_is_refused_with_its_type(spark: SparkSession, catalogue: DataFrame) -> None:
    frame = events(spark, ("u", "a", "buy", 0, 1.0)).withColumn("tags", F.array(F.lit("x")))
    policy = POLICY.model_copy(update={"numbers": ("value", "tags")})
    with pytest.raises(ConfigurationError, match=r"drift\.numbers names tags \(array<string>\), which cannot be read"):
        event_features(frame, catalogue, policy)
