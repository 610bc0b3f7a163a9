"""Who is served: the people of the users table, or else all with a history."""

from __future__ import annotations

import pytest
from pyspark.sql import DataFrame, SparkSession

from refit.errors import ConfigurationError
from refit.lake.people import everybody, with_segment

HISTORIES = "user_id string, items array<string>, confidences array<double>, bought array<boolean>"


@pytest.fixture(scope="module")
def histories(spark: SparkSession) -> DataFrame:
    rows = [("ann", ["mug", "tea"], [1.0, 0.5], [True, False]), ("gone", ["tea"], [1.0], [True])]
    return spark.createDataFrame(rows, HISTORIES)


@pytest.fixture(scope="module")
def users(spark: SparkSession) -> DataFrame:
    rows = [("ann", "FR", 7), ("new", "DE", 8), ("who", None, None)]
    return spark.createDataFrame(rows, "user_id string, country string, `lucky number` int")


def test_with_a_table_of_people_exactly_these_are_served(histories: DataFrame, users: DataFrame) -> None:
    """Somebody new has an empty history; somebody who is not in the table is left out."""
    served = everybody(histories, with_segment(users, None))
    found = {row["user_id"]: row[1:] for row in served.collect()}
    assert found == {
        "ann": (["mug", "tea"], [1.0, 0.5], [True, False]),
        "new": ([], [], []),
        "who": ([], [], []),
    }
    assert served.schema.simpleString() == histories.schema.simpleString()


def test_people_carry_their_segment_with_or_without_a_history(histories: DataFrame, users: DataFrame) -> None:
    served = everybody(histories, with_segment(users, "country"))
    assert served.columns == ["user_id", "items", "confidences", "bought", "segment"]
    assert {row["user_id"]: (len(row["items"]), row["segment"]) for row in served.collect()} == {
        "ann": (2, "FR"),
        "new": (0, "DE"),
        "who": (0, None),
    }


def test_a_segment_may_be_a_number_and_of_two_rows_the_smaller_counts(users: DataFrame) -> None:
    twice = with_segment(users.union(users.replace(7, 5)), "lucky number")
    assert {row["user_id"]: row["segment"] for row in twice.collect()} == {"ann": "5", "new": "8", "who": None}
    assert twice.count() == 3


def test_consent_comes_along_and_one_row_without_it_is_enough(histories: DataFrame, spark: SparkSession) -> None:
    rows = [("ann", True, "FR"), ("ann", False, "FR"), ("new", True, "DE"), ("who", None, "DE")]
    users = spark.createDataFrame(rows, "user_id string, consent boolean, country string")
    for column, more in ((None, []), ("country", ["segment"])):
        served = everybody(histories, with_segment(users, column))
        assert served.columns == ["user_id", "items", "confidences", "bought", "consent", *more]
        assert {row["user_id"]: row["consent"] for row in served.collect()} == {"ann": False, "new": True, "who": False}


def test_without_a_table_of_people_all_with_a_history_are_served(histories: DataFrame) -> None:
    assert sorted(row["user_id"] for row in everybody(histories, None).collect()) == ["ann", "gone"]


def test_a_segment_column_that_there_is_not_is_refused(users: DataFrame) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        with_segment(users, "land")
    assert str(refusal.value) == (
        "lists.segment = 'land': the users table has no such column, it has user_id, country, lucky number; "
        "correct it in shop.toml or add it to sources/users.sql"
    )
