"""People whose day looks automated: fast, broad and regular."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from refit.columns import Columns
from refit.config import Bots

_DAY = (Columns.EVENT_DATE, Columns.USER)


def looks_like_a_program(suspects: DataFrame, limits: Bots) -> DataFrame:
    """
    Return event_date and user_id of the person-days in *suspects* (events) that show enough of three signs.

    Rate: different moments with events in the busiest hour. Breadth: different items in the day. Regularity: the
    standard deviation of the gaps between successive moments over their mean; 0 for a clock, about 1 for chance.
    """
    moments = suspects.select(*_DAY, Columns.EVENT_TIME).distinct()
    seconds = F.unix_micros(Columns.EVENT_TIME) / 1e6
    gap = seconds - F.lag(seconds).over(Window.partitionBy(*_DAY).orderBy(Columns.EVENT_TIME))
    hours = (
        moments.select(*_DAY, F.date_trunc("hour", Columns.EVENT_TIME).alias("hour"), gap.alias("gap"))
        .groupBy(*_DAY, "hour")
        .agg(
            F.count(F.lit(1)).alias("moments"),
            F.count("gap").alias("gaps"),
            F.sum("gap").alias("total"),
            F.sum(F.col("gap") * F.col("gap")).alias("squares"),
        )
    )
    mean = F.sum("total") / F.sum("gaps")
    variance = F.greatest(F.sum("squares") / F.sum("gaps") - mean * mean, F.lit(0.0))
    rhythm = hours.groupBy(*_DAY).agg(
        F.max("moments").alias("rate"), F.when(F.sum("gaps") >= 2, F.sqrt(variance) / mean).alias("variation")
    )
    breadth = suspects.groupBy(*_DAY).agg(F.count_distinct(Columns.ITEM).alias("breadth"))
    signs = (
        (F.col("rate") > limits.max_moments_per_hour).cast("int")
        + (F.col("breadth") > limits.max_items).cast("int")
        + F.coalesce(F.col("variation") < limits.min_gap_variation, F.lit(False)).cast("int")
    )
    return rhythm.join(breadth, [*_DAY]).where(signs >= limits.signs).select(*_DAY)
