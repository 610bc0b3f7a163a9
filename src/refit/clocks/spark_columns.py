"""The shop's clock in Spark, whose session runs in UTC."""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F


def clock_time(instant: Column, zone: str) -> Column:
    """Return the local time in *zone* at *instant*, as a session timestamp; null for null."""
    return instant if zone == "UTC" else F.from_utc_timestamp(instant, zone)


def clock_day(instant: Column, zone: str) -> Column:
    """Return the local date in *zone* at *instant*; null for null."""
    return F.to_date(clock_time(instant, zone))
