"""The people who are served, with or without a history."""

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
    Return one row for each person who may be served: *people*, or all with a history if there is no such table.

    A person without a history has empty arrays. A history of somebody who is not in *people* is left out: consent may
    have been withdrawn since it was landed. *people* has each person once and may have the column `segment`.
    """
    if people is None:
        return histories
    joined = people.join(histories, Columns.USER, "left")
    segment = [name for name in people.columns if name == Columns.SEGMENT]
    filled = [F.coalesce(name, F.array().cast(kind)).alias(name) for name, kind in _EMPTY.items()]
    return joined.select(Columns.USER, *filled, *segment)


def with_segment(people: DataFrame, column: str | None) -> DataFrame:
    """
    Return each person of *people* once: `user_id`, and if a *column* is named its value as `segment` (string or null).

    Of a person with several rows the smallest value counts.

    Raises:
        ConfigurationError: *people* does not have the column.
    """
    if column is None:
        return people.select(Columns.USER).distinct()
    if column not in people.columns:
        raise ConfigurationError(
            f"lists.segment = {column!r}: the users table has no such column, it has {', '.join(people.columns)}; "
            "correct it in shop.toml or add it to sources/users.sql"
        )
    value = F.col(f"`{column}`").cast("string")
    return people.groupBy(Columns.USER).agg(F.min(value).alias(Columns.SEGMENT))
