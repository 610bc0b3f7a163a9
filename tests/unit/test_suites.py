"""The validation suites, run by Great Expectations on small frames in which each rule is broken by known rows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from pipelines.settings import REPOSITORY
from refit.adapters.expectations import GreatExpectations
from refit.adapters.spark import open_session
from refit.errors import ConfigurationError, DataRefusedError
from refit.interfaces import Check
from refit.suites import load_suite, refuse_broken

SUITES = REPOSITORY / "expectations"
SINCE, UNTIL = datetime(2026, 1, 5, tzinfo=UTC), datetime(2026, 1, 7, tzinfo=UTC)
NOON = datetime(2026, 1, 6, 12, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
EVENTS = "user_id string, item_id string, event_type string, event_time timestamp, value double"
PARAMETERS: dict[str, Any] = {
    "min_rows": 4,
    "max_value": 1_000.0,
    "event_types": ["purchase", "view"],
    # As the landing step gives them: the adapter knows no time zones.
    "since": SINCE.replace(tzinfo=None),
    "until": UNTIL.replace(tzinfo=None),
    "fresh_after": datetime(2026, 1, 6, tzinfo=UTC).replace(tzinfo=None),
}

Row = tuple[str | None, str | None, str | None, datetime | None, float | None]
GOOD: list[Row] = [
    ("ann", "tea", "purchase", NOON, 1.0),
    ("ann", "mug", "view", SINCE, 0.001),
    ("ben", "x" * 200, "purchase", UNTIL - MOMENT, 1_000.0),
    ("ben", "y", "view", NOON, 2.0),
]
BROKEN: dict[tuple[str, str | None], list[Row]] = {
    ("expect_column_values_to_not_be_null", "user_id"): [(None, "tea", "view", NOON, 1.0)],
    ("expect_column_values_to_not_be_null", "item_id"): [("cem", None, "view", NOON, 1.0)] * 2,
    ("expect_column_values_to_not_be_null", "event_type"): [("cem", "tea", None, NOON, 1.0)] * 3,
    ("expect_column_values_to_not_be_null", "event_time"): [("cem", "tea", "view", None, 1.0)] * 4,
    ("expect_column_values_to_not_be_null", "value"): [("cem", "tea", "view", NOON, None)] * 5,
    ("expect_column_values_to_be_between", "value"): [
        ("cem", "tea", "view", NOON, value) for value in (-1.0, 0.0, -0.0, 1_000.001, math.nan, math.inf, -math.inf)
    ],
    ("expect_column_values_to_be_in_set", "event_type"): [
        ("cem", "tea", kind, NOON, 1.0) for kind in ("Purchase", "purchase ", "", "refund")
    ],
    ("expect_column_value_lengths_to_be_between", "item_id"): [
        ("cem", name, "view", NOON, 1.0) for name in ("", "z" * 201)
    ],
    ("expect_column_values_to_be_between", "event_time"): [
        ("cem", "tea", "view", moment, 1.0)
        for moment in (SINCE - MOMENT, UNTIL, datetime(2038, 1, 1, tzinfo=UTC), datetime(1970, 1, 1, tzinfo=UTC))
    ],
}
"""Rule and column -> rows that break this rule and no other one."""


def frame(spark: SparkSession, rows: list[Row]) -> DataFrame:
    return spark.createDataFrame(rows, EVENTS)


def validate(frame: DataFrame, table: str = "interactions", **parameters: Any) -> dict[tuple[str, str | None], Check]:
    checks = GreatExpectations().validate(frame, load_suite(SUITES, table), {**PARAMETERS, **parameters})
    return {(check.name, check.column): check for check in checks}


def failed(checks: dict[tuple[str, str | None], Check]) -> set[tuple[str, str | None]]:
    return {place for place, check in checks.items() if not check.passed}


@pytest.fixture(scope="module")
def broken(spark: SparkSession) -> dict[tuple[str, str | None], Check]:
    """Give the outcome on all good and all bad rows together, so that each rule must find exactly its own."""
    return validate(frame(spark, [*GOOD, *[row for rows in BROKEN.values() for row in rows]]))


@pytest.mark.parametrize("place", BROKEN, ids=" ".join)
def test_each_rule_finds_exactly_the_rows_that_break_it(
    broken: dict[tuple[str, str | None], Check], place: tuple[str, str | None]
) -> None:
    check = broken[place]
    assert not check.passed
    assert check.unexpected == len(BROKEN[place])
    assert check.rows == len(GOOD) + sum(len(rows) for rows in BROKEN.values())
    assert check.severity == "critical"


def test_the_rules_about_the_whole_table_are_not_broken_by_single_rows(
    broken: dict[tuple[str, str | None], Check],
) -> None:
    assert failed(broken) == set(BROKEN)


def test_good_rows_at_the_edges_of_every_rule_pass(spark: SparkSession) -> None:
    checks = validate(frame(spark, GOOD))
    assert failed(checks) == set()
    assert len(checks) == len(load_suite(SUITES, "interactions")["expectations"])


def test_a_thin_and_stale_interval_breaks_the_rules_about_the_whole_table(spark: SparkSession) -> None:
    """Three rows where four are needed, and the last open day is missing."""
    stale: list[Row] = [("ann", "tea", "view", datetime(2026, 1, 5, 23, tzinfo=UTC), 1.0)] * 3
    checks = validate(frame(spark, stale))
    assert failed(checks) == {
        ("expect_table_row_count_to_be_between", None),
        ("expect_column_max_to_be_between", "event_time"),
    }


def test_other_types_than_the_contract_has_are_found(spark: SparkSession) -> None:
    """Numbers that are no doubles and times without a zone."""
    other = frame(spark, GOOD).selectExpr(
        "user_id",
        "item_id",
        "event_type",
        "CAST(event_time AS TIMESTAMP_NTZ) AS event_time",
        "CAST(value AS FLOAT) AS value",
    )
    checks = validate(other, max_value=2_000.0)
    assert failed(checks) == {
        ("expect_column_values_to_be_of_type", "value"),
        ("expect_column_values_to_be_of_type", "event_time"),
    }


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
    late = BROKEN[("expect_column_values_to_be_between", "event_time")]
    checks = validate(frame(spark, [*GOOD, *late]))
    assert failed(checks) == {("expect_column_values_to_be_between", "event_time")}
    assert checks[("expect_column_values_to_be_between", "event_time")].unexpected == len(late)


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
    checks = validate(items, "items", max_price=100.0)
    assert {
        (column, check.severity, check.unexpected) for (_, column), check in checks.items() if not check.passed
    } == {
        ("item_id", "critical", 1),
        ("item_id", "critical", 2),
        ("available", "critical", 1),
        ("title", "warning", 1),
        ("price", "warning", 3),
    }


def test_each_rule_about_users_finds_the_rows_that_break_it(spark: SparkSession) -> None:
    users = spark.createDataFrame(
        [("a", True), ("b", False), (None, True), ("d", True), ("d", False), ("e", None)],
        "user_id string, consent boolean",
    )
    checks = validate(users, "users")
    assert {(column, check.unexpected) for (_, column), check in checks.items() if not check.passed} == {
        ("user_id", 1),
        ("user_id", 2),
        ("consent", 1),
    }


def rule(**changes: Any) -> dict[str, Any]:
    return {
        "type": "expect_column_values_to_not_be_null",
        "kwargs": {"column": "user_id"},
        "severity": "critical",
        "why": "because it is needed",
        **changes,
    }


def test_a_misspelt_rule_is_refused_and_not_passed_over(spark: SparkSession) -> None:
    suite = {"name": "made up", "expectations": [rule(), rule(type="expect_column_values_to_not_be_nul")]}
    with pytest.raises(ConfigurationError) as refusal:
        GreatExpectations().validate(frame(spark, GOOD), suite, {})
    assert str(refusal.value) == (
        "suite 'made up' has expectation types that do not exist: expect_column_values_to_not_be_nul; correct them"
    )


def test_a_rule_that_cannot_run_is_not_passed(spark: SparkSession) -> None:
    suite = {"name": "made up", "expectations": [rule(kwargs={"column": "usr_id"})]}
    with pytest.raises(ConfigurationError, match=r"could not run on .*usr_id.*a rule that cannot run is not passed"):
        GreatExpectations().validate(frame(spark, GOOD), suite, {})


def test_a_parameter_that_nobody_gives_is_no_limit_that_passes(spark: SparkSession) -> None:
    limit = {"column": "value", "max_value": {"$PARAMETER": "largest"}}
    suite = {"name": "made up", "expectations": [rule(type="expect_column_values_to_be_between", kwargs=limit)]}
    with pytest.raises(Exception, match="largest"):
        GreatExpectations().validate(frame(spark, GOOD), suite, {})


def test_validation_leaves_no_frame_in_memory(spark: SparkSession) -> None:
    spark.catalog.clearCache()
    some = frame(spark, GOOD)
    GreatExpectations().validate(some, {"name": "made up", "expectations": [rule()]}, {})
    assert not some.is_cached
    assert spark._jsparkSession.sharedState().cacheManager().isEmpty()


def check(severity: str, *, passed: bool = False, unexpected: int = 0, column: str | None = "value") -> Check:
    return Check(
        name="expect_something",
        column=column,
        severity=severity,
        passed=passed,
        unexpected=unexpected,
        rows=1_000,
        observed="[-1.0]",
        why="ALS trains on it",
    )


def test_broken_warnings_are_told_and_stop_nothing() -> None:
    assert refuse_broken("items", [check("warning", unexpected=3), check("critical", passed=True)]) == [
        "value: 3 of 1,000 rows break expect_something (0 allowed), e.g. [-1.0] (ALS trains on it)"
    ]


def test_a_broken_critical_rule_refuses_with_everything_that_is_broken() -> None:
    checks = [check("critical", unexpected=3), check("warning"), check("critical", column=None)]
    with pytest.raises(DataRefusedError) as refusal:
        refuse_broken("interactions of 2026-01-05 to 2026-01-07", checks)
    assert str(refusal.value) == (
        "interactions of 2026-01-05 to 2026-01-07 is refused, nothing of it became visible: "
        "value: 3 of 1,000 rows break expect_something (0 allowed), e.g. [-1.0] (ALS trains on it); "
        "the table: expect_something is broken, seen [-1.0] (ALS trains on it); mend the source and land it again"
    )


@pytest.mark.parametrize("table", ["interactions", "items", "users"])
def test_the_suites_of_the_repository_are_valid(table: str) -> None:
    assert load_suite(SUITES, table)["name"] == table


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda text: text.replace("severity: critical", "severity: fatal", 1), "expectations.0.severity"),
        (lambda text: text.replace("severity: critical", "severty: critical", 1), "expectations.0."),
        (lambda text: text.replace("why: an", "because: an", 1), "expectations.0."),
        (lambda text: text.replace("expectations:", "expectatons:"), "expectat"),
        (lambda text: "", "valid dictionary"),
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
