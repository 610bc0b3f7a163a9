"""The validation suites, run by Great Expectations on small frames in which each rule is broken by known rows."""

from __future__ import annotations

import ast
import math
import time
from collections.abc import Callable, Collection, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from pipelines.settings import REPOSITORY
from refit.adapters.expectations import GreatExpectations
from refit.adapters.spark import open_session
from refit.config import Validation
from refit.errors import ConfigurationError, DataRefusedError
from refit.interfaces import Check
from refit.landing.suites import Inspection, fill, load_suite

SUITES = REPOSITORY / "expectations"
DAY = date(2026, 1, 6)
NOON = datetime(2026, 1, 6, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 1, 6, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
EVENTS = (
    "user_id string, item_id string, event_type string, event_time timestamp, value double, local_time string, "
    "item_known boolean, event_date date"
)
PARAMETERS: dict[str, Any] = {
    "min_rows": 4,
    "max_value": 1_000.0,
    "max_item_id_length": 200,
    "item_id_pattern": r"^\S+\z",
    "event_types": ["purchase", "view"],
    "event_key": ["user_id", "item_id", "event_type", "event_time", "value"],
    # As the landing step gives it: the adapter knows no time zones.
    "fresh_after": MIDNIGHT.replace(tzinfo=None),
    "time_zone": "UTC",
}

Row = tuple[Any, ...]


def event(
    user: str | None = "cem",
    item: str | None = "tea",
    kind: str | None = "view",
    moment: datetime | None = NOON,
    value: float | None = 1.0,
    *,
    local: str | None = None,
    known: bool = True,
) -> Row:
    return (user, item, kind, moment, value, local, known, DAY)


GOOD: list[Row] = [
    event("ann", "tea", "purchase"),
    event("ann", "mug", "view", MIDNIGHT, 0.001),
    event("ben", "x" * 200, "purchase", MIDNIGHT + timedelta(days=1) - MOMENT, 1_000.0),
    event("ben", "y", "view", NOON, 2.0),
]
BROKEN: dict[str, list[Row]] = {
    "user_present": [event(None)],
    "user_format": [event(user) for user in ("a b", "ann ")],
    "user_length": [event("x" * 201)],
    "item_present": [event(item=None)],
    "item_format": [event(item=item) for item in (" tea", "t\tea", "tea\n")],
    "item_length": [event(item="z" * 201)],
    "item_known": [event("dan", known=False)],
    "type_present": [event(kind=None)],
    "type_known": [event(kind=kind) for kind in ("Purchase", "purchase ", "", "refund")],
    "time_exists": [event(moment=None, local="2026-03-29 01:30:00")],
    "time_present": [event("dan", moment=None)],
    "time_on_its_day": [
        event(moment=moment)
        for moment in (MIDNIGHT - MOMENT, MIDNIGHT + timedelta(days=1), datetime(1970, 1, 1, tzinfo=UTC))
    ],
    "value_present": [event(value=None)],
    "value_in_range": [event(value=value) for value in (-1.0, 0.0, 1_000.001)] + [event("dan", value=-0.0)],
}
"""Rule -> rows that break this rule and no other one."""
NO_NUMBERS = [event(value=value) for value in (math.nan, math.inf, -math.inf)]
"""Rows that break the rule about them and, as each lies beyond every number, the one about the range."""
FOUND = {
    **{rule: len(rows) for rule, rows in BROKEN.items()},
    "value_is_a_number": len(NO_NUMBERS),
    "value_in_range": len(BROKEN["value_in_range"]) + len(NO_NUMBERS),
}
"""Rule -> rows among BROKEN and NO_NUMBERS that it must find."""
WHOLE = {"enough_rows", "value_type", "time_type", "event_key_unique", "fresh"}
"""Rules about the whole table."""
OF_TIMES = {"time_exists", "time_present", "time_on_its_day"}
OF_VALUES = {"value_present", "value_is_a_number", "value_in_range"}


def frame(spark: SparkSession, rows: list[Row]) -> DataFrame:
    return spark.createDataFrame(rows, EVENTS)


@cache
def suite_of(table: str) -> dict[str, Any]:
    return load_suite(SUITES, table)


def validate(
    frame: DataFrame, table: str = "interactions", *, rules: Collection[str] = (), **parameters: Any
) -> dict[str, Check]:
    """Check *frame* with the suite of *table*, or with those *rules* of it that read what a test changes."""
    suite = fill(suite_of(table), {**PARAMETERS, **parameters})
    if rules:
        suite["expectations"] = [rule for rule in suite["expectations"] if rule["name"] in rules]
        assert len(suite["expectations"]) == len(rules)
    return {check.name: check for check in GreatExpectations().validate(frame, suite)}


def failed(checks: dict[str, Check]) -> set[str]:
    return {name for name, check in checks.items() if not check.passed}


@pytest.fixture(scope="module")
def broken(spark: SparkSession) -> dict[str, Check]:
    """Give the outcome on all good and all bad rows together, so that each rule must find exactly its own."""
    return validate(frame(spark, [*GOOD, *[row for rows in BROKEN.values() for row in rows], *NO_NUMBERS]))


@pytest.mark.parametrize("rule", FOUND)
def test_each_rule_finds_exactly_the_rows_that_break_it(broken: dict[str, Check], rule: str) -> None:
    check = broken[rule]
    assert not check.passed
    assert check.unexpected == FOUND[rule]
    assert check.severity == "critical"
    assert check.suite == "interactions"


def test_the_rules_about_the_whole_table_are_not_broken_by_single_rows(broken: dict[str, Check]) -> None:
    assert failed(broken) == set(FOUND)


def test_what_is_no_number_breaks_its_own_rule_whatever_the_limits_are(broken: dict[str, Check]) -> None:
    assert broken["value_is_a_number"].unexpected == 3
    assert broken["value_in_range"].unexpected == len(BROKEN["value_in_range"]) + 3


def test_good_rows_at_the_edges_of_every_rule_pass(spark: SparkSession) -> None:
    checks = validate(frame(spark, GOOD))
    assert failed(checks) == set()
    assert list(checks) == [rule["name"] for rule in load_suite(SUITES, "interactions")["expectations"]]


def test_an_event_told_twice_breaks_the_key(spark: SparkSession) -> None:
    assert failed(validate(frame(spark, [*GOOD, GOOD[0]]), rules=WHOLE)) == {"event_key_unique"}


def test_a_thin_and_stale_interval_breaks_the_rules_about_the_whole_table(spark: SparkSession) -> None:
    """Three rows where four are needed, and the last open day is missing."""
    stale = [(*event(user=user, moment=MIDNIGHT - MOMENT)[:-1], date(2026, 1, 5)) for user in ("ann", "ben", "cem")]
    assert failed(validate(frame(spark, stale), rules=WHOLE | OF_TIMES)) == {"enough_rows", "fresh"}


def test_other_types_than_the_contract_has_are_found(spark: SparkSession) -> None:
    """Numbers that are no doubles and times without a zone."""
    other = frame(spark, GOOD).withColumns(
        {"event_time": F.col("event_time").cast("timestamp_ntz"), "value": F.col("value").cast("float")}
    )
    found = validate(other, rules=WHOLE | OF_TIMES | OF_VALUES, max_value=2_000.0)
    assert failed(found) == {"value_type", "time_type"}


USUAL_DAY: dict[str, float | None] = {
    "kept_when_open": 100,
    "kept_when_closed": None,
    "share_lost": 0.0,
    "share_removed": 0.0,
    "weekday_ratio_low": 1.0,
    "weekday_ratio_high": 1.0,
    "silent_share": 0.0,
    "silent_share_of_newest": 0.0,
}
JUDGED: list[tuple[dict[str, float | None], set[str]]] = [
    ({}, set()),
    ({"kept_when_open": 0}, {"open_day_has_events"}),
    ({"kept_when_open": None, "weekday_ratio_low": None, "weekday_ratio_high": None, "silent_share": None}, set()),
    ({"kept_when_open": None, "kept_when_closed": 0}, set()),
    ({"kept_when_open": None, "kept_when_closed": 1}, {"closed_day_is_empty"}),
    ({"share_lost": 0.011}, {"share_lost"}),
    ({"share_removed": 0.21}, {"share_removed"}),
    ({"weekday_ratio_high": 0.6}, {"as_much_as_usual"}),
    ({"weekday_ratio_high": 0.4}, {"as_much_as_usual", "not_much_less_than_usual"}),
    ({"weekday_ratio_low": 4.1}, {"not_much_more_than_usual"}),
    ({"silent_share": 0.02}, {"day_has_its_last_hours"}),
    (
        {"silent_share": 0.2, "silent_share_of_newest": 0.2},
        {"day_has_its_last_hours", "newest_day_has_its_last_hours"},
    ),
]
"""What a day has instead of the usual, and the rules that it breaks."""


def judged_days(spark: SparkSession, days: list[dict[str, float | None]]) -> dict[str, Check]:
    """Judge *days*, each given by what is unusual, with the limits that a shop has when it says nothing."""
    kinds = ", ".join(f"{name} {'long' if name.startswith('kept') else 'double'}" for name in USUAL_DAY)
    rows = spark.createDataFrame([tuple({**USUAL_DAY, **given}.values()) for given in days], kinds)
    return validate(rows, "days", **Validation().model_dump())


def test_each_rule_about_days_finds_the_day_that_breaks_it(spark: SparkSession) -> None:
    """All days are judged together, and each rule tells exactly the values of the days that break it."""
    checks = judged_days(spark, [given for given, _ in JUDGED])
    assert failed(checks) == set().union(*[rules for _, rules in JUDGED]) == set(checks)
    for name, check in checks.items():
        broken = sorted({**USUAL_DAY, **given}[check.column] for given, rules in JUDGED if name in rules)
        assert (check.unexpected, sorted(ast.literal_eval(check.observed))) == (len(broken), broken), name


def test_days_that_break_nothing_pass_every_rule(spark: SparkSession) -> None:
    """A closed day has no number to judge."""
    assert failed(judged_days(spark, [given for given, rules in JUDGED if not rules])) == set()


@pytest.fixture
def far_from_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the clock of this process to that of Auckland, as a laptop's may be."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Pacific/Auckland")
        time.tzset()
        assert time.timezone == -12 * 3_600
        yield
    time.tzset()


@pytest.mark.usefixtures("far_from_utc")
def test_the_time_zone_of_the_machine_changes_nothing(spark: SparkSession) -> None:
    """Whoever opens a Spark session lives in UTC, since a time without a zone is a local one to PySpark."""
    again = open_session(
        "again", master="local[2,4]", memory="1g", log_config=REPOSITORY / "infra" / "log4j2.properties"
    )
    assert again is spark
    rules = WHOLE | OF_TIMES
    checks = validate(frame(spark, [*GOOD, *BROKEN["time_on_its_day"]]), rules=rules)
    assert failed(checks) == {"time_on_its_day"}
    assert checks["time_on_its_day"].unexpected == len(BROKEN["time_on_its_day"])
    assert failed(validate(frame(spark, GOOD), rules=rules)) == set()


def test_each_rule_about_items_finds_the_rows_that_break_it(spark: SparkSession) -> None:
    """No id, a double id (two rows), unknown availability; titles and prices only warn."""
    items = spark.createDataFrame(
        [
            ("a", "A", True, 0.0),
            ("b", "B", False, None),
            (None, "C", True, 1.0),
            ("d", "D", True, 1.0),
            ("d", "D", True, 1.0),
            ("e", "E", None, 1.0),
            ("f", None, True, 1.0),
            ("g", "G", True, -0.01),
            ("h", "H", True, 100.01),
            ("i", "I", True, math.nan),
        ],
        "item_id string, title string, available boolean, price double",
    )
    checks = validate(items, "items", max_price=100.0, min_priced_share=0.95)
    assert (checks["price_present"].allowed, checks["price_present"].rows) == (0, 10)
    assert {(check.column, check.severity, check.unexpected) for check in checks.values() if not check.passed} == {
        ("item_id", "critical", 1),
        ("item_id", "critical", 2),
        ("available", "critical", 1),
        ("title", "warning", 1),
        ("price", "warning", 1),
        ("price", "warning", 3),
    }


def test_each_rule_about_users_finds_the_rows_that_break_it(spark: SparkSession) -> None:
    users = spark.createDataFrame(
        [("a", True), ("b", False), (None, True), ("d", True), ("d", False), ("e", None)],
        "user_id string, consent boolean",
    )
    checks = validate(users, "users")
    assert {(check.column, check.unexpected) for check in checks.values() if not check.passed} == {
        ("user_id", 1),
        ("user_id", 2),
        ("consent", 1),
    }


def rule(**changes: Any) -> dict[str, Any]:
    return {
        "name": "user_present",
        "type": "expect_column_values_to_not_be_null",
        "kwargs": {"column": "user_id"},
        "severity": "critical",
        "why": "because it is needed",
        **changes,
    }


def test_a_misspelt_rule_is_refused_and_not_passed_over(spark: SparkSession) -> None:
    suite = {"name": "made up", "expectations": [rule(), rule(name="b", type="expect_column_values_to_not_be_nul")]}
    with pytest.raises(ConfigurationError) as refusal:
        GreatExpectations().validate(frame(spark, GOOD), suite)
    assert str(refusal.value) == (
        "suite 'made up' has expectation types that do not exist: expect_column_values_to_not_be_nul; correct them"
    )


def test_a_rule_that_cannot_run_is_not_passed(spark: SparkSession) -> None:
    suite = {"name": "made up", "expectations": [rule(kwargs={"column": "usr_id"})]}
    with pytest.raises(ConfigurationError, match=r"could not run on .*usr_id.*a rule that cannot run is not passed"):
        GreatExpectations().validate(frame(spark, GOOD), suite)


def test_arguments_that_an_expectation_does_not_have_are_named(spark: SparkSession) -> None:
    suite = {"name": "made up", "expectations": [rule(kwargs={"column": "user_id", "mostest": 1})]}
    with pytest.raises(ConfigurationError, match=r"'made up' gives an expectation the wrong arguments: mostest"):
        GreatExpectations().require_known(suite)


def test_a_parameter_that_nobody_gives_is_no_limit_that_passes() -> None:
    limit = {"column": "value", "max_value": {"$PARAMETER": "largest"}}
    suite = {"name": "made up", "expectations": [rule(kwargs=limit)]}
    with pytest.raises(ConfigurationError) as refusal:
        fill(suite, {"smallest": 1})
    assert str(refusal.value) == (
        "rule user_present of suite 'made up' asks for the parameter 'largest', which nobody gives; correct it"
    )


def test_validation_leaves_no_frame_in_memory(spark: SparkSession) -> None:
    spark.catalog.clearCache()
    some = frame(spark, GOOD)
    GreatExpectations().validate(some, {"name": "made up", "expectations": [rule()]})
    assert not some.is_cached
    assert spark._jsparkSession.sharedState().cacheManager().isEmpty()


def check(severity: str, *, passed: bool = False, unexpected: int = 0, column: str | None = "value") -> Check:
    return Check(
        suite="users",
        name="a_rule",
        column=column,
        severity=severity,
        passed=passed,
        unexpected=unexpected,
        rows=1_000,
        observed="[-1.0]",
        why="ALS trains on it",
    )


class Told:
    """Finds what it was told to find."""

    def __init__(self, *checks: Check) -> None:
        self._checks = checks

    def require_known(self, *_: object) -> None:
        """Know every rule."""

    def validate(self, *_: object) -> tuple[Check, ...]:
        """Return what was told."""
        return self._checks


def test_broken_warnings_are_told_and_stop_nothing(spark: SparkSession) -> None:
    inspection = Inspection(Told(check("warning", unexpected=3), check("critical", passed=True)), SUITES, "a day")
    inspection.look("users", frame(spark, GOOD), {})
    inspection.refuse()
    assert inspection.warnings == ["users: value: 3 of 1,000 rows break a_rule (0 allowed) (ALS trains on it)"]
    assert len(inspection.checks) == 2


def test_a_broken_critical_rule_refuses_with_everything_that_is_broken(spark: SparkSession) -> None:
    told = Told(check("critical", unexpected=3), check("warning"), check("critical", column=None))
    inspection = Inspection(told, SUITES, "2026-01-05 to 2026-01-07")
    inspection.look("users", frame(spark, GOOD), {})
    with pytest.raises(DataRefusedError) as refusal:
        inspection.refuse("see page.html")
    assert str(refusal.value) == (
        "2026-01-05 to 2026-01-07 is refused, nothing of it became visible: "
        "users: value: 3 of 1,000 rows break a_rule (0 allowed) (ALS trains on it); "
        "users: the table: a_rule is broken, seen [-1.0] (ALS trains on it); "
        "mend the source and land it again (see page.html)"
    )


@pytest.mark.parametrize(
    ("table", "column", "quoted"),
    [
        ("users", "user_id", False),
        ("users", None, False),
        ("interactions", "user_id", False),
        ("interactions", "email", False),
        ("interactions", None, False),
        ("interactions", "item_id", True),
        ("interactions", "event_type", True),
        ("items", "title", True),
    ],
)
def test_an_example_is_told_only_where_it_says_nothing_of_a_person(
    spark: SparkSession, table: str, column: str | None, quoted: bool
) -> None:
    """Warnings and refusals go to logs; ids of the users table are not pseudonyms yet when it is judged."""
    inspection = Inspection(Told(check("warning", unexpected=3, column=column)), SUITES, "a day")
    inspection.look(table, frame(spark, GOOD), {**PARAMETERS, "max_price": 1.0, "min_priced_share": 0.5})
    assert ("-1.0" in inspection.warnings[0]) is quoted


def test_a_rule_that_a_value_stops_is_told_without_the_value(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Great Expectations asks three times for what it cannot get, and each time Spark tries four times.
    monkeypatch.setattr("great_expectations.validator.validation_graph.MAX_METRIC_COMPUTATION_RETRIES", 1)
    query = "SELECT * FROM {batch} WHERE CAST(user_id AS DOUBLE) > 1"
    suite = {"name": "made up", "expectations": [rule(type="unexpected_rows_expectation", kwargs={})]}
    suite["expectations"][0]["kwargs"] = {"unexpected_rows_query": query}
    with pytest.raises(ConfigurationError) as refusal:
        GreatExpectations().validate(frame(spark, [event("ann-the-secret")]), suite)
    assert "it meets a value that it cannot take (CAST_INVALID_INPUT)" in str(refusal.value)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("table", ["interactions", "items", "users", "days"])
def test_the_suites_of_the_repository_are_valid(table: str) -> None:
    assert load_suite(SUITES, table)["name"] == table


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda text: text.replace("severity: critical", "severity: fatal", 1), "expectations.0.severity"),
        (lambda text: text.replace("severity: critical", "severty: critical", 1), "expectations.0."),
        (lambda text: text.replace("why: an", "because: an", 1), "expectations.0."),
        (lambda text: text.replace("expectations:", "expectatons:"), "expectat"),
        (
            lambda text: text.replace("name: user_length", "name: user_present"),
            "the names user_present",
        ),
        (lambda text: "", "holds no suite"),
        (lambda text: "name: interactions\nexpectations: []\n", "expectations"),
        (lambda text: text.replace("kwargs: {", "kwargs: {{", 1), "is not valid YAML"),
    ],
)
def test_a_malformed_suite_is_named(tmp_path: Path, change: Callable[[str], str], part: str) -> None:
    path = tmp_path / "interactions.yaml"
    path.write_text(change((SUITES / "interactions.yaml").read_text()))
    with pytest.raises(ConfigurationError) as refusal:
        load_suite(tmp_path, "interactions")
    assert str(path) in str(refusal.value)
    assert part in str(refusal.value)


def test_a_table_without_a_suite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"there is no suite .*users\.yaml; every landed table has one$"):
        load_suite(tmp_path, "users")
