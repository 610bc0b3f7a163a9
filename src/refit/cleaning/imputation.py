"""Fills missing context values with the typical value of the day."""

from __future__ import annotations

from typing import Literal

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from refit.columns import Columns
from refit.errors import ConfigurationError


def fill_missing(rows: DataFrame, good: DataFrame, column: str, how: Literal["median", "mode"]) -> DataFrame:
    """
    Return *rows* with the nulls of *column* filled with the median or mode of the day's *good* rows.

    Adds the flag `_altered`. A day without any value is not filled; of equally frequent values the smallest is taken.
    """
    kinds = dict(rows.dtypes)
    if column not in kinds or (how == "median" and kinds[column] in {"string", "boolean", "date", "timestamp"}):
        raise ConfigurationError(
            f"cleaning.impute fills {column!r} by its {how}, but the mapped interactions have "
            f"{f'it as {kinds[column]}' if column in kinds else 'no such column'}; correct it in shop.toml"
        )
    typical = F.median(column) if how == "median" else F.mode(column, deterministic=True)
    of_day = good.groupBy(Columns.EVENT_DATE).agg(typical.cast(kinds[column]).alias("_typical"))
    filled = rows.join(F.broadcast(of_day), Columns.EVENT_DATE, "left").withColumn(
        "_altered", F.col(column).isNull() & F.col("_typical").isNotNull() & F.col(Columns.FATE).isNull()
    )
    value = F.when(F.col("_altered"), F.col("_typical")).otherwise(F.col(column))
    return filled.withColumn(column, value).drop("_typical")
