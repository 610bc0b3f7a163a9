"""Time zones known to the JVM, whose list may be older than Python's."""

from __future__ import annotations

from typing import Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from refit.errors import ConfigurationError


def require_known_zone(spark: SparkSession, time_zone: str | None) -> None:
    """Raise ConfigurationError if the JVM of *spark* does not know *time_zone*; None is accepted."""
    if time_zone is None:
        return
    jvm: Any = spark.sparkContext._jvm
    try:
        jvm.org.apache.spark.sql.catalyst.util.DateTimeUtils.getZoneId(time_zone)
    except (PySparkException, Py4JJavaError) as error:
        java = jvm.java.lang.System.getProperty("java.version")
        raise ConfigurationError(
            f"calendar.time_zone {time_zone!r} in shop.toml is not known to this Java ({java}), which computes times "
            "for Spark; use a zone with the same clock that it knows, or install a newer Java"
        ) from error
