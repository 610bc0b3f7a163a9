"""Which day an event belongs to, what a day's ledger says, and how a bad day is told."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from refit.config import Shop, load_shop
from refit.interfaces import Check
from refit.landing.day_ledger import DayLedger, ledger_frame, ledgers, missing_days
from refit.landing.day_rules import describe_days
from refit.landing.raw_events import events_of, keep_consenting, with_known_items
from refit.landing.row_examples import examples_of

MONDAY = date(2026, 1, 5)


@pytest.fixture
def shop(write_shop: Callable[..., Path]) -> Shop:
    return load_shop(write_shop(), "corner")


def at(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 1, day, hour, tzinfo=UTC)


def test_an_event_belongs_to_the_day_of_its_time_or_of_its_file(spark: SparkSession) -> None:
    """
    Landing the 5th and 6th from files of local days, which hold up to 14 hours of their neighbours.

    A time that is missing or that no clock explains is filed under the day of its file; where there is no file a day,
    a missing time is filed under the first day, and another day's event is another day's business.
    """
    rows = [
        ("in", at(5, 12), date(2026, 1, 5)),
        ("first moment", at(5), date(2026, 1, 4)),
        ("end", at(7), date(2026, 1, 6)),
        ("neighbour", at(4, 23), date(2026, 1, 5)),
        ("east", at(6, 23), date(2026, 1, 7)),
        ("old", datetime(1970, 1, 1, tzinfo=UTC), date(2026, 1, 6)),
        ("old of another file", datetime(1970, 1, 1, tzinfo=UTC), date(2026, 1, 7)),
        ("astray", at(5, 12), date(2026, 1, 9)),
        ("no time", None, date(2026, 1, 6)),
        ("no time of another file", None, date(2026, 1, 7)),
        ("no time, no file", None, None),
        ("table", at(6, 1), None),
        ("table, other day", at(9), None),
    ]
    frame = spark.createDataFrame(rows, "item_id string, event_time timestamp, source_day date")
    found = {row["item_id"]: row["event_date"].day for row in events_of(frame, at(5), at(7)).collect()}
    assert found == {
        "in": 5,
        "first moment": 5,
        "east": 6,
        "old": 6,
        "no time": 6,
        "no time, no file": 5,
        "table": 6,
    }


def test_an_item_is_known_when_the_catalogue_has_it(spark: SparkSession) -> None:
    """What has no id at all is told by another rule; an id in the catalogue that is null knows nobody."""
    events = spark.createDataFrame([("tea",), ("cup",), (None,)], "item_id string")
    catalogue = spark.createDataFrame([("tea", "Tea"), (None, "?")], "item_id string, title string")
    found = {row["item_id"]: row["item_known"] for row in with_known_items(events, catalogue).collect()}
    assert found == {"tea": True, "cup": False, None: True}
    again = with_known_items(with_known_items(events, catalogue), catalogue)
    assert again.columns == ["item_id", "item_known"]


def test_only_events_of_people_who_consent_are_taken_in(spark: SparkSession) -> None:
    events = spark.createDataFrame([("ann",), ("ann",), ("ben",), (None,)], "user_id string")
    people = spark.createDataFrame([("ann",), ("cem",)], "user_id string")
    assert sorted(str(row["user_id"]) for row in keep_consenting(events, people).collect()) == ["None", "ann", "ann"]


def ledger(day: date = MONDAY, **given: Any) -> DayLedger:
    empty: dict[str, Any] = {"rows_in": 0, "quarantined": 0, "broken": {}, "removed": {}, "changed": {}, "kept": 0}
    return DayLedger(day=day.isoformat(), **{**empty, **given})


def test_the_ledger_of_a_day_adds_up(shop: Shop) -> None:
    """Eight read: five kept, one set apart for two reasons, two left out; one of those kept was altered."""
    counts = {"2026-01-05": {"kept": 5, "quarantined": 1, "bots": 2}, "2026-01-06": {"kept": 1}}
    broken = {"2026-01-05": {"value_present": 1, "user_format": 1}}
    monday, tuesday = ledgers(counts, broken, {"2026-01-05": {"imputed_colour": 1}}, {}, shop)
    assert monday == ledger(
        rows_in=8,
        quarantined=1,
        broken={"value_present": 1, "user_format": 1},
        removed={"bots": 2},
        changed={"imputed_colour": 1},
        kept=5,
    )
    assert (monday.share_lost, monday.share_removed) == (0.125, 0.25)
    assert (tuesday.day, tuesday.rows_in, tuesday.kept) == ("2026-01-06", 1, 1)
    assert DayLedger.from_record(monday.as_record()) == monday


def test_what_is_usual_is_the_median_of_the_same_weekday_in_the_eight_weeks_before(shop: Shop) -> None:
    """Mondays of 10, 20 and 90 make 20; weeks without a landing, older weeks and later days say nothing."""
    weeks = {1: 10, 2: 20, 4: 90, 9: 1_000}
    before = {(MONDAY - timedelta(weeks=n)).isoformat(): rows for n, rows in weeks.items()}
    before |= {(MONDAY - timedelta(days=1)).isoformat(): 5_000, (MONDAY + timedelta(weeks=1)).isoformat(): 5_000}
    (found,) = ledgers({MONDAY.isoformat(): {"kept": 5}}, {}, {}, before, shop)
    assert (found.weekday_median, found.weekday_ratio) == (20.0, 0.25)
    del before[(MONDAY - timedelta(weeks=4)).isoformat()]
    (unknown,) = ledgers({MONDAY.isoformat(): {"kept": 5}}, {}, {}, before, shop)
    assert (unknown.weekday_median, unknown.weekday_ratio) == (None, None)


def test_a_year_in_one_landing_is_compared_with_itself(shop: Shop) -> None:
    counts = {(MONDAY + timedelta(weeks=n)).isoformat(): {"kept": 10 * (n + 1)} for n in range(5)}
    found = ledgers(counts, {}, {}, {}, shop)
    assert [day.weekday_median for day in found] == [None, None, None, 20.0, 25.0]


def test_an_open_day_without_events_has_a_ledger_and_a_closed_day_no_number(spark: SparkSession, shop: Shop) -> None:
    """Sunday is closed, Monday open and empty."""
    sunday = ledger(MONDAY - timedelta(days=1), rows_in=1, kept=1)
    days = [sunday, *missing_days([MONDAY], [sunday])]
    rows = ledger_frame(spark, days, shop).collect()
    assert [(row["day"], row["kept"], row["kept_when_open"]) for row in rows] == [
        ("2026-01-04", 1, None),
        ("2026-01-05", 0, 0),
    ]


def check(name: str, column: str) -> Check:
    return Check(
        suite="days",
        name=name,
        column=column,
        severity="critical",
        passed=False,
        unexpected=1,
        rows=7,
        observed="",
        why="so it is",
    )


TOLD = [
    ("kept_when_open", {"min_value": 5}, "(at least 5): 2026-01-05 has 3 events"),
    (
        "share_lost",
        {"max_value": 0.01},
        "(at most 1%): of 2026-01-05 3 of 10 events break rules, 30.0%: value_present 2, user_format 1",
    ),
    (
        "share_removed",
        {"max_value": 0.2},
        "(at most 20%): of 2026-01-05 cleaning leaves out 4 of 10 events, 40.0%: bots 4",
    ),
    (
        "weekday_ratio",
        {"min_value": 0.5, "max_value": 4.0},
        "(at least 50% and at most 400%): 2026-01-05 has 3 events, 25% of the usual 12 of a Monday",
    ),
]


@pytest.mark.parametrize(("column", "limits", "told"), TOLD)
def test_a_bad_day_is_told_by_its_name_and_numbers(column: str, limits: dict[str, float], told: str) -> None:
    bad = ledger(
        rows_in=10,
        quarantined=3,
        broken={"user_format": 1, "value_present": 2},
        removed={"bots": 4},
        kept=3,
        weekday_median=12.0,
    )
    suite = {"name": "days", "expectations": [{"name": "a_rule", "kwargs": {"column": column, **limits}}]}
    sentence = describe_days(check("a_rule", column), suite, [bad], 7)
    assert sentence == f"1 of 7 days break a_rule {told} (so it is)"


def test_of_many_bad_days_five_are_named() -> None:
    days = [ledger(MONDAY + timedelta(days=n)) for n in range(8)]
    suite = {
        "name": "days",
        "expectations": [{"name": "a_rule", "kwargs": {"column": "kept_when_open", "min_value": 1}}],
    }
    sentence = describe_days(check("a_rule", "kept_when_open"), suite, days, 9)
    assert sentence.startswith("8 of 9 days break a_rule (at least 1): 2026-01-05 has 0 events, ")
    assert ", 2026-01-09 has 0 events and 3 more (so it is)" in sentence


def test_of_what_did_not_stay_a_few_events_of_each_reason_are_shown(spark: SparkSession) -> None:
    """A thousand without a value give at most three examples, one bot gives one, and what stays gives none."""
    rows = [(MONDAY, "quarantined", f"i{n}", None, ["value_present", "other"]) for n in range(1_000)]
    rows += [(MONDAY, "bots", "tea", 1.0, None), (MONDAY, "kept", "mug", 1.0, None)]
    kinds = "event_date date, fate string, item_id string, value double, broken array<string>"
    found = examples_of(spark.createDataFrame(rows, kinds))
    assert {example.reason for example in found} == {"value_present", "bots"}
    assert [example.row for example in found if example.reason == "bots"] == [{"item_id": "tea", "value": 1.0}]
    assert 1 <= len([example for example in found if example.reason == "value_present"]) <= 3
    assert {example.day for example in found} == {"2026-01-05"}
