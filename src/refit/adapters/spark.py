"""The Spark session; the only file that configures one."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path

from pyspark.logger import PySparkLogger
from pyspark.sql import SparkSession

from refit.errors import ConfigurationError

_QUOTING_LOGGERS = ("SQLQueryContextLogger", "DataFrameQueryContextLogger")
"""Loggers that write each error that PySpark raises, with quoted values, before it can be caught."""


def open_session(
    name: str,
    *,
    master: str,
    memory: str,
    log_config: Path,
    java_options: str = "",
    jars: str = "",
    class_archive: str = "",
) -> SparkSession:
    """
    Return the Spark session of this process.

    *log_config* is a log4j2 file, *java_options* are additional options of the driver's JVM, *jars* are libraries for
    the driver and the executors, separated by commas. *class_archive* is a CDS archive, which the JVM maps instead of
    loading classes; one made for another JVM is ignored. On a single machine everything binds to loopback; a cluster
    has its own addresses.

    Raises:
        ConfigurationError: a jar does not exist; Spark would only log it.
    """
    libraries = [jar.strip() for jar in jars.split(",") if jar.strip()]
    for jar in libraries:
        if "://" not in jar and not Path(jar).is_file():
            raise ConfigurationError(f"there is no file {jar}; correct REFIT_SPARK_JARS")
    options = [f"-Dlog4j2.configurationFile={log_config.as_uri()}", *java_options.split()]
    cores = master.removeprefix("local[").split("]")[0].split(",")[0] if master.startswith("local[") else ""
    if cores in {"1", "2"}:
        # A concurrent garbage collector would only take cores from the work.
        options.append("-XX:+UseSerialGC")
    if class_archive:
        # Quoted, since a path may contain spaces; the JVM would otherwise report an unusable archive on our output.
        options += [f'"-XX:SharedArchiveFile={class_archive}"', "-Xlog:disable", "-Xlog:all=error:stderr"]
    # PySpark reads zoneless times as local, Spark in its session's zone; both are UTC from here on.
    os.environ["TZ"] = "UTC"  # noqa: TID251  written and not read
    time.tzset()
    builder = (
        SparkSession.builder.appName(name)
        .master(master)
        .config("spark.driver.memory", memory)
        .config("spark.driver.extraJavaOptions", " ".join(options))
        .config("spark.sql.session.timeZone", "UTC")
        # Listing a few hundred day folders in the driver is faster than a Spark job with a task for each.
        .config("spark.sql.sources.parallelPartitionDiscovery.threshold", "1000")
        .config("spark.sql.execution.arrow.pyspark.enabled", "true")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "2048")
        # Timestamps in nanoseconds would silently overflow in other readers.
        .config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        # Noting the place in our code behind each column takes several calls of the JVM per column; no message uses it.
        .config("spark.python.sql.dataFrameDebugging.enabled", "false")
        # Plans are described for pages that nobody serves here.
        .config("spark.sql.ui.explainMode", "simple")
        # Do not publish who runs what.
        .config("spark.eventLog.enabled", "false")
    )
    if libraries:
        builder = builder.config("spark.jars", ",".join(libraries))
    if master.startswith("local"):
        builder = (
            builder.config("spark.driver.host", "127.0.0.1")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.sql.shuffle.partitions", cores if cores.isdigit() else "8")
            .config("spark.default.parallelism", cores if cores.isdigit() else "8")
        )
    for name in _QUOTING_LOGGERS:
        # Use PySpark's logger class; a plain Python logger does not accept its arguments.
        PySparkLogger.getLogger(name).setLevel(logging.CRITICAL)
    session = builder.getOrCreate()
    if master.startswith("local"):
        # Workers use this interpreter, whatever `python3` is on the PATH.
        session.sparkContext.pythonExec = sys.executable
    return session
