"""The people who get lists, with or without a history."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from refit.columns import Columns
from refit.errors import ConfigurationError

_EMPTY = {
    Columns.ITEMS: "array<string>",
    Columns.CONFIDENCES: "array<double>",
    Columns.BOUGHT: "array<boolean>",
}


def everybody(histories: DataFrame, people: DataFrame | None) -> DataFrame:
    """
    Return one row per person who may be served: *people*, or without such a table all people with a history.

    A person without a history gets empty arrays. Histories of people missing from *people* are dropped: they may have
    withdrawn consent since landing. *people* has each person once and may have `consent` and `segment`.
    """
    if people is None:
        return histories
    joined = people.join(histories, Columns.USER, "left")
    context = [name for name in (Columns.CONSENT, Columns.SEGMENT) if name in people.columns]
    filled = [F.coalesce(name, F.array().cast(kind)).alias(name) for name, kind in _EMPTY.items()]
    return joined.select(Columns.USER, *filled, *context)


def with_segment(people: DataFrame, column: str | None) -> DataFrame:
    """
    Return each person of *people* once, with `segment` (string or null) from *column*, if one is named.

    `consent` is kept if *people* has it, so that callers that count lists can see it.

    For a person with several rows the smallest segment counts, and a refusal in one row is a refusal.

    Raises:
        ConfigurationError: *people* does not have the column.
    """
    given = F.bool_and(F.coalesce(Columns.CONSENT, F.lit(False))).alias(Columns.CONSENT)
    kept = [given] if Columns.CONSENT in people.columns else []
    if column is not None and column not in people.columns:
        raise ConfigurationError(
            f"lists.segment = {column!r}: the users table has no such column, it has {', '.join(people.columns)}; "
            "correct it in shop.toml or add it to sources/users.sql"
        )
    if column is not None:
        kept.append(F.min(F.col(f"`{column}`").cast("string")).alias(Columns.SEGMENT))
    return people.groupBy(Columns.USER).agg(*kept) if kept else people.select(Columns.USER).distinct()
