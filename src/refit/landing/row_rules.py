"""
Row rules: the rules of a suite that judge single rows, as Spark predicates.

Each predicate is derived from the expectation that Great Expectations runs, never written twice, and agrees with it row
by row: values that an expectation ignores (null, for most) pass here too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from refit.columns import Columns
from refit.errors import ConfigurationError

_SELECTION = re.compile(r"^\s*SELECT\s+\*\s+FROM\s+\{batch\}\s+WHERE\s+(?P<unexpected>.+?)\s*$", re.I | re.S)


@dataclass(frozen=True)
class RowRule:
    """One rule about single rows."""

    name: str
    about_people: bool
    """Whether the rule checks the person's id."""
    broken: Column
    """True where a row breaks the rule, false where it keeps it; never null."""


def row_rules(suite: Mapping[str, Any], *, severities: Collection[str] = ("critical",)) -> list[RowRule]:
    """
    Return the rules of *suite*, with its parameters filled in, that judge single rows.

    Raises:
        ConfigurationError: a query about rows is no plain `SELECT * FROM {batch} WHERE ...`.
    """
    rules = []
    for rule in suite["expectations"]:
        derive = _DERIVED.get(rule["type"])
        if derive is None or rule["severity"] not in severities:
            continue
        broken = F.coalesce(derive(rule.get("kwargs", {})), F.lit(False))
        about_people = Columns.USER in str(rule.get("kwargs", {}))
        rules.append(RowRule(rule["name"], about_people, broken))
    return rules


def broken_names(rules: Sequence[RowRule]) -> Column:
    """Return an array of the names of the rules that a row breaks; null if it breaks none."""
    if not rules:
        return F.lit(None).cast("array<string>")
    any_broken = F.lit(False)
    for rule in rules:
        any_broken = any_broken | rule.broken
    names = F.array(*[F.when(rule.broken, F.lit(rule.name)) for rule in rules])
    # Valid rows, which are nearly all, cost only the comparisons.
    return F.when(any_broken, F.array_compact(names))


def judged(rows: DataFrame, rules: Sequence[RowRule]) -> DataFrame:
    """Return *rows* with `broken`, the names of the rules that each row breaks."""
    return rows.withColumn(Columns.BROKEN, broken_names(rules))


def count_broken(rows: DataFrame, *by: str) -> list[tuple[Any, ...]]:
    """Return tuples (value of each *by*, rule name, rows that break it); *rows* have the column `broken`."""
    named = rows.where(F.col(Columns.BROKEN).isNotNull()).select(*by, F.explode(Columns.BROKEN).alias("rule"))
    return [tuple(row) for row in named.groupBy(*by, "rule").count().orderBy(*by, "rule").collect()]


def _null(kwargs: Mapping[str, Any]) -> Column:
    return F.col(kwargs["column"]).isNull()


def _outside(kwargs: Mapping[str, Any]) -> Column:
    return _beyond(F.col(kwargs["column"]), kwargs)


def _length_outside(kwargs: Mapping[str, Any]) -> Column:
    return _beyond(F.length(kwargs["column"]), kwargs)


def _beyond(measured: Column, kwargs: Mapping[str, Any]) -> Column:
    broken = F.lit(False)
    least, most = kwargs.get("min_value"), kwargs.get("max_value")
    if least is not None:
        low = F.lit(_instant(least))
        broken = broken | ((measured <= low) if kwargs.get("strict_min") else (measured < low))
    if most is not None:
        high = F.lit(_instant(most))
        broken = broken | ((measured >= high) if kwargs.get("strict_max") else (measured > high))
    return broken


def _instant(value: Any) -> Any:
    # The session runs in UTC, so a time without a zone is UTC too.
    return F.lit(value.isoformat(sep=" ")).cast("timestamp") if isinstance(value, datetime) else value


def _not_in_set(kwargs: Mapping[str, Any]) -> Column:
    return ~F.col(kwargs["column"]).isin(*kwargs["value_set"])


def _in_set(kwargs: Mapping[str, Any]) -> Column:
    return F.col(kwargs["column"]).isin(*kwargs["value_set"])


def _no_match(kwargs: Mapping[str, Any]) -> Column:
    return ~F.col(kwargs["column"]).rlike(kwargs["regex"])


def _match(kwargs: Mapping[str, Any]) -> Column:
    return F.col(kwargs["column"]).rlike(kwargs["regex"])


def _selected(kwargs: Mapping[str, Any]) -> Column:
    found = _SELECTION.match(kwargs["unexpected_rows_query"])
    if found is None:
        raise ConfigurationError(
            f"a rule about rows must read `SELECT * FROM {{batch}} WHERE condition`, "
            f"not {kwargs['unexpected_rows_query']!r}; its condition is what sets rows apart"
        )
    return F.expr(found["unexpected"])


_DERIVED: dict[str, Callable[[Mapping[str, Any]], Column]] = {
    "expect_column_values_to_not_be_null": _null,
    "expect_column_values_to_be_between": _outside,
    "expect_column_value_lengths_to_be_between": _length_outside,
    "expect_column_values_to_be_in_set": _not_in_set,
    "expect_column_values_to_not_be_in_set": _in_set,
    "expect_column_values_to_match_regex": _no_match,
    "expect_column_values_to_not_match_regex": _match,
    "unexpected_rows_expectation": _selected,
}
"""Expectation type -> predicate that is true for unexpected rows."""
