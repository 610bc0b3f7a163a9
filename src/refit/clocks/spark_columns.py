"""The shop's clock in Spark, whose session lives in UTC."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F


def clock_time(instant: Column, zone: str) -> Column:
    """Return what a clock in *zone* shows at *instant*, as a timestamp of the session; null for null."""
    return instant if zone == "UTC" else F.from_utc_timestamp(instant, zone)


def clock_day(instant: Column, zone: str) -> Column:
    """Return the day on which a clock in *zone* shows *instant*; null for null."""
    return F.to_date(clock_time(instant, zone))
