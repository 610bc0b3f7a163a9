"""Guesses the time format of a column from examples."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?(?P<zone> ?(Z|UTC|[+-]\d{2}:\d{2}))?")
_DATES = {
    "%Y/%m/%d": "yyyy/M/d",
    "%d.%m.%Y": "d.M.yyyy",
    "%d/%m/%Y": "d/M/yyyy",
    "%m/%d/%Y": "M/d/yyyy",
    "%d-%m-%Y": "d-M-yyyy",
    "%Y%m%d": "yyyyMMdd",
}
_HOURS = {"": "", " %H:%M": " H:m", " %H:%M:%S": " H:m:s", "T%H:%M:%S": "'T'H:m:s"}
_EPOCHS = {(9, 10): "timestamp_seconds({})", (12, 13): "timestamp_millis({})", (15, 16): "timestamp_micros({})"}
"""Number of digits of an epoch time between 1973 and 2286 -> Spark function that reads it."""
_ENOUGH = 0.95
"""Share of the examples that must match a format."""


@dataclass(frozen=True)
class TimeFormat:
    """The time format of a column."""

    sql: str
    """Spark SQL that parses it; {} stands for the column."""
    zoned: bool
    """Whether each time has a zone; otherwise times are local."""
    question: str = ""
    """Question about an uncertain guess; empty: none."""
    whole_days: bool = False
    """Whether the column holds only dates."""

    def read(self, column: str) -> str:
        """Return the SQL that reads *column*: a TIMESTAMP if the zone is known, else a TIMESTAMP_NTZ."""
        return self.sql.replace("{}", column)


_TYPES = {
    "timestamp": TimeFormat("{}", zoned=True),
    "timestamp_ntz": TimeFormat("{}", zoned=False),
    "date": TimeFormat("CAST({} AS TIMESTAMP_NTZ)", zoned=False, whole_days=True),
}


def time_format(kind: str, examples: Sequence[str]) -> TimeFormat | None:
    """
    Return the time format of a column of Spark type *kind* with *examples*, or None if it holds no times.

    >>> time_format("string", ["5/1/2026 10:00", "13/1/2026 9:30"]).sql
    "CAST(try_to_timestamp({}, 'd/M/yyyy H:m') AS TIMESTAMP_NTZ)"
    >>> time_format("bigint", ["978300760", "978302109"]).sql
    'timestamp_seconds({})'
    """
    if kind in _TYPES:
        return _TYPES[kind]
    if not examples or kind not in ("string", "bigint", "int", "double", "variant"):
        return None
    enough = _ENOUGH * len(examples)
    numbers = [text for text in examples if re.fullmatch(r"\d+(\.0)?", text)]
    if len(numbers) >= enough:
        return _of_numbers(kind, [text.removesuffix(".0") for text in numbers])
    iso = [found for text in examples if (found := _ISO.fullmatch(text.strip()))]
    if kind == "string" and len(iso) >= enough:
        if any(found["zone"] for found in iso):
            return TimeFormat("try_to_timestamp({})", zoned=True)
        days = all(found[1] is None for found in iso)
        return TimeFormat("CAST(try_to_timestamp({}) AS TIMESTAMP_NTZ)", zoned=False, whole_days=days)
    fits = [
        (day + hours, _DATES[day] + _HOURS[hours])
        for day in _DATES
        for hours in _HOURS
        if day != "%Y%m%d" and sum(_parses(text, day + hours) for text in examples) >= enough
    ]
    return _of_pattern(fits) if kind == "string" and fits else None


def _of_numbers(kind: str, numbers: list[str]) -> TimeFormat | None:
    if all(len(text) == 8 and _parses(text, "%Y%m%d") for text in numbers):
        text = "CAST({} AS STRING)" if kind != "string" else "{}"
        return TimeFormat(f"CAST(try_to_timestamp({text}, 'yyyyMMdd') AS TIMESTAMP_NTZ)", zoned=False, whole_days=True)
    for digits, function in _EPOCHS.items():
        if all(digits[0] <= len(text) <= digits[1] for text in numbers):
            column = "{}" if kind == "bigint" else "try_cast({} AS BIGINT)"
            return TimeFormat(function.replace("{}", column), zoned=True)
    return None


def _of_pattern(fits: list[tuple[str, str]]) -> TimeFormat:
    spark = fits[0][1]
    other = next((pattern for _, pattern in fits[1:]), "")
    question = f"The data fit {spark} and {other} alike: which one is it?" if other else ""
    days = "H" not in spark
    return TimeFormat(f"CAST(try_to_timestamp({{}}, {_quoted(spark)}) AS TIMESTAMP_NTZ)", False, question, days)


def _quoted(pattern: str) -> str:
    return '"' + pattern + '"' if "'" in pattern else f"'{pattern}'"


def _parses(text: str, pattern: str) -> bool:
    try:
        datetime.strptime(text.strip(), pattern)  # noqa: DTZ007  only whether it parses is asked
    except ValueError:
        return False
    return True
