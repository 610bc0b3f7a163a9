"""Who is new, who is light, and which segment a person belongs to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession

from refit.errors import ConfigurationError
from refit.evaluation.cohorts import FIRST_SEEN_DAYS, Described, cohorts, traits

CUTOFF = datetime(2026, 3, 1, tzinfo=UTC)


def days_before(days: float) -> datetime:
    return CUTOFF - timedelta(days=days)


@pytest.fixture(scope="module")
def events(spark: SparkSession) -> DataFrame:
    rows = [
        ("ann", days_before(40), "France", "web"),
        ("ann", days_before(3), "Spain", None),
        ("ben", days_before(0.5), None, "app"),
        ("cem", days_before(-1), "Chad", "web"),
        ("dan", CUTOFF, "Peru", "web"),
    ]
    return spark.createDataFrame(rows, "user_id string, event_time timestamp, country string, device string")


@pytest.fixture(scope="module")
def users(spark: SparkSession) -> DataFrame:
    rows = [("ann", True, "DE"), ("ben", True, None), ("zoe", True, "FR")]
    return spark.createDataFrame(rows, "user_id string, consent boolean, country string")


def found(frame: DataFrame) -> dict[str, tuple[object, ...]]:
    return {row[0]: tuple(row)[1:] for row in frame.collect()}


def test_a_person_is_as_old_as_the_first_event_before_the_cutoff(events: DataFrame) -> None:
    """Cem came after the cutoff and dan at it, so nothing is known of them."""
    frame = traits(events, None, (), cutoff=CUTOFF)
    assert frame.columns == ["user_id", FIRST_SEEN_DAYS]
    assert found(frame) == {"ann": (40.0,), "ben": (0.5,)}


def test_a_segment_is_the_latest_value_of_the_events_that_has_one(events: DataFrame) -> None:
    assert found(traits(events, None, ("country", "device"), cutoff=CUTOFF)) == {
        "ann": (40.0, "Spain", "web"),
        "ben": (0.5, None, "app"),
    }


def test_the_users_table_comes_first(events: DataFrame, users: DataFrame) -> None:
    assert found(traits(events, users, ("device", "country"), cutoff=CUTOFF)) == {
        "ann": (40.0, "web", "DE"),
        "ben": (0.5, "app", None),
    }


def test_a_column_that_nobody_has_is_named(
    events: DataFrame, users: DataFrame, tell: Callable[[str, str], None]
) -> None:
    with pytest.raises(ConfigurationError, match=r"evaluation\.cohorts names planet, which neither") as refused:
        traits(events, users, ("country", "planet"), cutoff=CUTOFF)
    tell("a cohort of a column that does not exist", str(refused.value))


def members(people: Described, *, new_days: int = 28, most_values: int = 8) -> dict[str, list[int]]:
    found = cohorts(people, new_days=new_days, most_values=most_values)
    return {name: np.flatnonzero(mask).tolist() for name, mask in found.items()}


def test_new_is_at_most_so_many_days_and_unknown_is_neither() -> None:
    people = Described(np.array([3, 3, 3, 3]), np.array([28.0, 28.1, np.nan, 1.0]))
    assert members(people) == {"new": [0, 3], "returning": [1]}


def test_heavy_is_above_the_median() -> None:
    assert members(Described(np.array([1, 5, 2, 2, 9]))) == {"light": [0, 2, 3], "heavy": [1, 4]}


def test_a_cohort_of_everybody_is_no_cohort() -> None:
    assert members(Described(np.array([2, 2, 2]), np.array([1.0, 2.0, 3.0]), {"country": pa.array(["UK"] * 3)})) == {}


def test_rare_values_and_people_without_one_are_a_cohort_together() -> None:
    """Two values are kept: the most frequent, and of the two that have one person each the first in the alphabet."""
    people = Described(np.ones(5, dtype=np.int64), None, {"country": pa.array(["UK", "UK", None, "IT", "FR"])})
    assert members(people, most_values=2) == {"country=UK": [0, 1], "country=FR": [4], "country=other": [2, 3]}


def test_nobody_has_no_cohorts() -> None:
    assert members(Described(np.empty(0, dtype=np.int64), np.empty(0), {"country": pa.array([], pa.string())})) == {}
