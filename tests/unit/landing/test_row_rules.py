"""Row rules: predicates that agree with Great Expectations row by row."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.settings import REPOSITORY
from refit.adapters.expectations import GreatExpectations
from refit.config import load_shop
from refit.errors import ConfigurationError
from refit.landing.day_landing import interval_parameters
from refit.landing.row_rules import count_broken, judged, row_rules
from refit.landing.suites import fill, load_suite

DAY = date(2026, 1, 6)
NOON = datetime(2026, 1, 6, 12, tzinfo=UTC)
EVENTS = (
    "user_id string, item_id string, event_type string, event_time timestamp, value double, local_time string, "
    "item_known boolean, event_date date"
)
IDS = ["tea", None, "", "a b", " tea", "tea\u200b", "größe-1", "x" * 200, "x" * 201, "tea\n"]
IDS += ["\u00a0tea", "gr\ufffd\ufffde"]
TYPES = ["purchase", None, "", "Purchase", "refund"]
TIMES = [NOON, None, datetime(1969, 12, 31, tzinfo=UTC), datetime(2038, 1, 1, tzinfo=UTC), NOON + timedelta(days=1)]
VALUES = [1.0, None, 0.0, -0.0, -1.0, math.nan, math.inf, -math.inf, 1e6, 1e6 + 1, 1e-300]


def suite() -> dict[str, Any]:
    """Return the shipped suite of interactions as the simulated shop fills it."""
    shop = load_shop(REPOSITORY / "shops", "simulated")
    parameters = {**interval_parameters(shop, [DAY]), "event_key": ["user_id", "item_id", "event_time"]}
    return fill(load_suite(REPOSITORY / "expectations", "interactions"), parameters)


@pytest.fixture(scope="module")
def hostile(spark: SparkSession) -> DataFrame:
    """Give every pair of hostile values of two columns, the other columns being good."""
    columns: list[list[Any]] = [
        IDS,
        IDS,
        TYPES,
        TIMES,
        VALUES,
        [None, "2026-03-29 01:30:00"],
        [True, False],
        [DAY],
    ]
    good = [values[0] for values in columns]
    rows = set()
    for left, right in itertools.combinations(range(len(columns)), 2):
        for a, b in itertools.product(columns[left], columns[right]):
            row = list(good)
            row[left], row[right] = a, b
            rows.add(tuple(row))
    return spark.createDataFrame(sorted(rows, key=repr), EVENTS)


@pytest.fixture(scope="module")
def both(hostile: DataFrame) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Give rule -> broken rows, told by the predicates and by Great Expectations."""
    ours = dict(count_broken(judged(hostile, row_rules(suite()))))
    theirs = {}
    for check in GreatExpectations().validate(hostile, suite()):
        if not check.passed and check.unexpected:
            theirs[check.name] = check.unexpected
    return ours, theirs


ROW_RULES = [
    "user_present",
    "user_length",
    "user_format",
    "user_is_text",
    "item_present",
    "item_length",
    "item_format",
    "item_is_text",
    "item_known",
    "type_present",
    "type_known",
    "time_exists",
    "time_present",
    "time_on_its_day",
    "value_present",
    "value_is_a_number",
    "value_in_range",
]


@pytest.mark.parametrize("rule", ROW_RULES)
def test_a_predicate_finds_as_many_rows_as_great_expectations(
    both: tuple[Mapping[str, int], Mapping[str, int]], rule: str
) -> None:
    ours, theirs = both
    assert ours[rule] > 0
    assert ours[rule] == theirs[rule]


def test_every_rule_of_the_suite_about_rows_is_compared(hostile: DataFrame) -> None:
    assert [rule.name for rule in row_rules(suite())] == ROW_RULES


def test_what_the_predicates_let_through_great_expectations_lets_through(hostile: DataFrame) -> None:
    good = judged(hostile, row_rules(suite())).where(F.col("broken").isNull())
    checks = GreatExpectations().validate(good, suite())
    assert good.count() > 10
    assert {check.name for check in checks if not check.passed} <= {"enough_rows", "event_key_unique"}


def test_a_row_is_told_every_rule_that_it_breaks(spark: SparkSession) -> None:
    """An empty item id is too short and has no form; minus infinity is no number and out of range."""
    rows = [
        ("ann", "tea", "purchase", NOON, 1.0, None, True, DAY),
        ("ann", "", "purchase", NOON, -math.inf, None, True, DAY),
        (None, "tea", "gift", None, 1.0, "2026-03-29 01:30:00", False, DAY),
    ]
    frame = judged(spark.createDataFrame(rows, EVENTS), row_rules(suite()))
    told = {tuple(row["broken"] or ()) for row in frame.collect()}
    assert told == {
        (),
        ("item_length", "item_format", "value_is_a_number", "value_in_range"),
        ("user_present", "item_known", "type_known", "time_exists"),
    }


def test_rows_that_break_a_rule_are_counted_by_day(spark: SparkSession) -> None:
    rows = [("ann", "tea", kind, NOON, 1.0, None, True, DAY) for kind in ("purchase", "a", "b", None)]
    frame = judged(spark.createDataFrame(rows, EVENTS), row_rules(suite()))
    assert count_broken(frame, "event_date") == [(DAY, "type_known", 2), (DAY, "type_present", 1)]


def test_a_warning_sets_no_row_apart(spark: SparkSession) -> None:
    rule = {"name": "short", "type": "expect_column_value_lengths_to_be_between", "kwargs": {"column": "item_id"}}
    made_up = {"name": "made up", "expectations": [{**rule, "severity": "warning", "why": "it is only a test"}]}
    assert row_rules(made_up) == []
    assert len(row_rules(made_up, severities=("warning",))) == 1


def test_a_query_about_rows_must_be_a_plain_selection() -> None:
    rule = {
        "name": "odd",
        "type": "unexpected_rows_expectation",
        "kwargs": {"unexpected_rows_query": "SELECT user_id FROM {batch} GROUP BY user_id"},
        "severity": "critical",
        "why": "it is only a test",
    }
    with pytest.raises(
        ConfigurationError, match=r"must read `SELECT \* FROM \{batch\} WHERE condition`, not 'SELECT user_id"
    ):
        row_rules({"name": "made up", "expectations": [rule]})
