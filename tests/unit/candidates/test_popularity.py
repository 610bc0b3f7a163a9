"""Popularity of the recent days: counted by hand."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from refit.candidates.candidate_set import EVERYBODY, Popular
from refit.candidates.popularity import RecentInteractions, count_interactions, rank_popular
from refit.config import Events

EVENTS = Events(weights={"view": 0.2, "purchase": 1.0}, relevant=("purchase",))
WHEN = datetime(2026, 1, 5, 12, tzinfo=UTC)


def counts(touches: RecentInteractions) -> dict[tuple[str, str], tuple[int, int]]:
    """Return (segment, item) -> (people who wanted it, people who touched it)."""
    keys = zip(touches.segments.to_pylist(), touches.items.to_pylist(), strict=True)
    return dict(zip(keys, zip(touches.wanted.tolist(), touches.touched.tolist(), strict=True), strict=True))


DONE = [
    *[("ann", "tea", "purchase")] * 3,
    ("ann", "mug", "view"),
    ("ben", "tea", "view"),
    ("ben", "mug", "purchase"),
    ("cem", "tea", "purchase"),
    ("dia", "tea", "view"),
    ("eve", "cup", "purchase"),
    ("eve", "tea", "returned"),
]
SEGMENTS = [("ann", "FR"), ("ben", "FR"), ("cem", "DE"), ("dia", "DE"), ("eve", None), ("fay", "FR")]


@pytest.mark.parametrize(
    ("least", "people", "expected"),
    [
        (
            1,
            {EVERYBODY: 4, "FR": 2, "DE": 1},
            {
                ("FR", "tea"): (1, 2),
                ("FR", "mug"): (1, 2),
                ("DE", "tea"): (1, 2),
                (EVERYBODY, "cup"): (1, 1),
            },
        ),
        (
            2,
            {EVERYBODY: 4, "FR": 2},
            {
                ("FR", "tea"): (1, 2),
                ("FR", "mug"): (1, 2),
                (EVERYBODY, "tea"): (1, 2),
                (EVERYBODY, "cup"): (1, 1),
            },
        ),
        (
            3,
            {EVERYBODY: 4},
            {(EVERYBODY, "tea"): (2, 4), (EVERYBODY, "mug"): (1, 2), (EVERYBODY, "cup"): (1, 1)},
        ),
    ],
)
def test_each_person_counts_once_in_their_segment(
    spark: SparkSession, least: int, people: dict[str, int], expected: dict[tuple[str, str], tuple[int, int]]
) -> None:
    """DE has two people but only Cem wanted anything; the event type that is not listed is not read."""
    events = spark.createDataFrame(
        [(*done, WHEN) for done in DONE], "user_id string, item_id string, event_type string, event_time timestamp"
    )
    segments = spark.createDataFrame(SEGMENTS, "user_id string, segment string")
    touches = count_interactions(events, segments, events=EVENTS, min_segment_people=least)
    assert (counts(touches), touches.people) == (expected, people)
    assert touches.people_of(pa.array(["mug", "pot", "tea"])).tolist() == [2, 0, 4]


def test_without_segments_everybody_is_one(spark: SparkSession) -> None:
    events = spark.createDataFrame(
        [(*done, WHEN) for done in DONE], "user_id string, item_id string, event_type string, event_time timestamp"
    )
    touches = count_interactions(events, None, events=EVENTS, min_segment_people=1)
    assert counts(touches) == {(EVERYBODY, "tea"): (2, 4), (EVERYBODY, "mug"): (1, 2), (EVERYBODY, "cup"): (1, 1)}
    assert touches.people == {EVERYBODY: 4}
    nobody = count_interactions(events.where("false"), None, events=EVENTS, min_segment_people=1)
    assert (counts(nobody), nobody.people) == ({}, {EVERYBODY: 0})


def make(rows: list[tuple[str, str, int, int]], people: dict[str, int]) -> RecentInteractions:
    """Return touches of (segment, item, people who wanted it, people who touched it)."""
    segments, items, wanted, touched = zip(*rows, strict=True) if rows else ((), (), (), ())
    numbers = [np.array(count, dtype=np.int64) for count in (wanted, touched)]
    return RecentInteractions(pa.array(segments, pa.string()), pa.array(items, pa.string()), *numbers, people)


def listed(popular: Popular) -> tuple[list[int], list[float]]:
    return popular.positions.tolist(), np.round(popular.scores.astype(float), 6).tolist()


ITEMS = pa.array(["a", "b", "c", "d", "e"])
TAUGHT = np.array([5, 9, 5, 1])
"""The model knows four of the five items."""
ALL = np.ones(5, dtype=np.bool_)


def test_the_share_of_people_ranks_then_who_touched_then_who_taught() -> None:
    """Worked by hand for ten people, four of them in FR: a and c tie to the end, e was touched more but is new."""
    touches = make(
        [
            ("FR", "d", 3, 3),
            ("FR", "e", 1, 3),
            ("", "a", 2, 3),
            ("", "c", 2, 3),
            ("", "e", 1, 1),
            ("", "b", 0, 1),
            ("", "elsewhere", 9, 9),
        ],
        {EVERYBODY: 10, "FR": 4},
    )
    ranked = rank_popular(touches, ITEMS, ALL, TAUGHT)
    assert set(ranked) == {EVERYBODY, "FR"}
    assert listed(ranked[EVERYBODY]) == ([3, 4, 0, 2, 1], [0.3, 0.2, 0.2, 0.2, 0.0])
    assert listed(ranked["FR"]) == ([3, 4], [0.75, 0.25])


def test_what_taught_the_model_decides_between_equals() -> None:
    touches = make([("", name, 1, 1) for name in "abcde"], {EVERYBODY: 4})
    assert listed(rank_popular(touches, ITEMS, ALL, TAUGHT)[EVERYBODY]) == ([1, 0, 2, 3, 4], [0.25] * 5)


def test_only_what_is_allowed_is_popular() -> None:
    touches = make([("FR", "a", 2, 2), ("", "b", 1, 1)], {EVERYBODY: 2, "FR": 2})
    ranked = rank_popular(touches, ITEMS, np.array([False, True, True, False, False]), TAUGHT)
    assert {name: listed(popular) for name, popular in ranked.items()} == {EVERYBODY: ([1], [0.5])}


def test_without_recent_people_nothing_is_popular() -> None:
    assert rank_popular(RecentInteractions(), ITEMS, ALL, TAUGHT) == {}


@given(
    counts=st.dictionaries(
        st.tuples(st.sampled_from(["", "FR", "DE"]), st.sampled_from("abcdef")),
        st.integers(1, 9).flatmap(lambda touched: st.tuples(st.integers(0, touched), st.just(touched))),
    ),
    allowed=st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_the_lists_hold_what_was_touched_and_is_allowed_with_falling_shares(
    counts: dict[tuple[str, str], tuple[int, int]], allowed: list[bool]
) -> None:
    touches = make([(*key, *count) for key, count in counts.items()], {EVERYBODY: 50, "FR": 20, "DE": 10})
    ranked = rank_popular(touches, ITEMS, np.array(allowed), TAUGHT)
    for name, people in touches.people.items():
        wanted: dict[int, int] = {}
        for (segment, item), (count, _) in counts.items():
            position = "abcdef".index(item)
            if name in {EVERYBODY, segment} and position < 5 and allowed[position]:
                wanted[position] = wanted.get(position, 0) + count
        if name not in ranked:
            assert wanted == {}
            continue
        found = ranked[name]
        shares = dict(zip(found.positions.tolist(), found.scores.tolist(), strict=True))
        assert len(shares) == len(found.positions)
        assert shares == pytest.approx({position: count / people for position, count in wanted.items()})
        assert (np.diff(found.scores) <= 0).all()
