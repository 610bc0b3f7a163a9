"""The largest value per day and event type that is not an outlier."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from refit.columns import Columns
from refit.config import Outliers

_GROUP = (Columns.EVENT_DATE, Columns.EVENT_TYPE)
_MAD, _MEAN = 1.4826, 1.2533
"""Factors from median and mean absolute deviation to a normal standard deviation (Iglewicz and Hoaglin 1993)."""


def largest_values(events: DataFrame, settings: Outliers) -> DataFrame:
    """
    Return event_date, event_type and `_largest` for every day and type with enough *events*; null means no limit.

    Only events with a value count. Values are compared as ln(1 + value), rounded to a thousandth: quantities and
    amounts are skewed, and the rounding keeps exact quantiles within bounded memory.
    """
    logs = events.select(*_GROUP, F.round(F.log1p(Columns.VALUE), 3).alias("log"))
    enough = F.col("n") >= settings.min_events
    if settings.method == "quantile_cap":
        quantiles = logs.groupBy(*_GROUP).agg(
            F.count("log").alias("n"), F.percentile("log", settings.quantile).alias("highest")
        )
        return quantiles.where(enough).select(*_GROUP, F.expm1("highest").alias("_largest"))
    middles = logs.groupBy(*_GROUP).agg(F.count("log").alias("n"), F.median("log").alias("middle")).where(enough)
    away = F.abs(F.col("log") - F.col("middle"))
    spreads = (
        logs.join(F.broadcast(middles), list(_GROUP))
        .groupBy(*_GROUP, "middle")
        .agg(F.median(away).alias("mad"), F.avg(away).alias("mean"))
    )
    # If more than half of the values are equal, the median deviation is 0 and useless.
    sigma = F.when(F.col("mad") > 0, F.col("mad") * _MAD).when(F.col("mean") > 0, F.col("mean") * _MEAN)
    return spreads.select(*_GROUP, F.expm1(F.col("middle") + settings.max_z * sigma).alias("_largest"))
