"""SQL conditions on single rows, written by a shop and checked before anything is read."""

from __future__ import annotations

import re

from pyspark.errors import AnalysisException, ParseException, PySparkException
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from refit.errors import ConfigurationError

_LONGEST = 200
"""Maximum number of characters quoted from an unforeseen error message."""
_MANY_ROWS = "it must look at one row at a time, without aggregates, windows and generators"


def condition(rows: DataFrame, text: str, setting: str) -> Column:
    """
    Return the SQL condition *text* on *rows* as a boolean column; a null condition is false.

    Raises:
        ConfigurationError: *setting* is not a condition on single rows of *rows*, or its value depends on chance,
            the clock, the session or another table.
    """
    try:
        chosen = rows.where(F.expr(text))
    except (AnalysisException, ParseException) as error:
        raise _refusal(setting, text, _describe_error(error, rows)) from error
    plan = chosen._jdf.queryExecution().analyzed()
    catalyst = rows.sparkSession._jvm.org.apache.spark.sql.catalyst  # type: ignore[union-attr]
    if not plan.deterministic():
        raise _refusal(setting, text, "it gives another answer each time it is asked")
    if plan.condition().containsPattern(catalyst.trees.TreePattern.CURRENT_LIKE()):
        raise _refusal(setting, text, "it asks the clock or the session; as_of is the instant of the lists")
    if catalyst.expressions.SubqueryExpression.hasSubquery(plan.condition()):
        raise _refusal(setting, text, "it reads another table; add a column to sources/items.sql instead")
    return F.coalesce(F.expr(text), F.lit(False))


def failing(rows: DataFrame, text: str, setting: str) -> ConfigurationError | None:
    """Return the error when the condition *text*, already accepted by `condition`, fails on a row; else None."""
    try:
        rows.where(F.expr(text)).count()
    except PySparkException as error:
        return _refusal(setting, text, f"it fails on a row: {_first_sentence(error)}")
    return None


def _refusal(setting: str, text: str, problem: str) -> ConfigurationError:
    return ConfigurationError(f"{setting} = {text!r}: {problem}; correct it in shop.toml")


def _describe_error(error: PySparkException, rows: DataFrame) -> str:
    name = error.getCondition() or ""
    facts = error.getMessageParameters() or {}
    if name.startswith("UNRESOLVED_COLUMN"):
        unknown = facts.get("objectName", "").replace("`", "")
        return f"there is no column {unknown}; the columns are {', '.join(rows.columns)}"
    if name.startswith("DATATYPE_MISMATCH.FILTER_NOT_BOOLEAN"):
        return f"it gives {facts.get('type', '').strip(chr(34)).lower()} and not true or false"
    if name.startswith(("INVALID_WHERE_CONDITION", "WINDOW_FUNCTION", "UNSUPPORTED_GENERATOR")):
        return _MANY_ROWS
    if name == "PARSE_EMPTY_STATEMENT":
        return "it is empty"
    return _first_sentence(error)


def _first_sentence(error: PySparkException) -> str:
    line = next(filter(None, (line.strip() for line in str(error).splitlines())), "unknown error")
    line = re.sub(r"^\[[A-Z_.]+\] ", "", line)
    return re.split(r"\. (?=[A-Z])|\.? SQLSTATE", line)[0][:_LONGEST].rstrip(".")
