"""The Spark session; the only file that knows how one is configured."""

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
"""They write each error that PySpark raises, with its stack of Java and the value it quotes, before it is caught."""


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

    *log_config* is a log4j2 file, *java_options* are further options of the driver's JVM, *jars* are libraries for it
    and for every executor, separated by commas. *class_archive* is a file of classes that the JVM maps instead of
    loading them; one that was made for another JVM is ignored. On a single machine everything binds to loopback; a
    cluster brings its own addresses.

    Raises:
        ConfigurationError: a jar does not exist; Spark would only say so in its log.
    """
    libraries = [jar.strip() for jar in jars.split(",") if jar.strip()]
    for jar in libraries:
        if "://" not in jar and not Path(jar).is_file():
            raise ConfigurationError(f"there is no file {jar}; correct REFIT_SPARK_JARS")
    options = [f"-Dlog4j2.configurationFile={log_config.as_uri()}", *java_options.split()]
    cores = master.removeprefix("local[").split("]")[0].split(",")[0] if master.startswith("local[") else ""
    if cores in {"1", "2"}:
        # A collector with threads of its own would only take the cores from the work.
        options.append("-XX:+UseSerialGC")
    if class_archive:
        # In quotes, since a path may hold spaces; a JVM would talk about an archive that does not fit on our output.
        options += [f'"-XX:SharedArchiveFile={class_archive}"', "-Xlog:disable", "-Xlog:all=error:stderr"]
    # PySpark takes a time without a zone for a local one, and Spark for one of its session; both are UTC from here on.
    os.environ["TZ"] = "UTC"  # noqa: TID251  written and not read
    time.tzset()
    builder = (
        SparkSession.builder.appName(name)
        .master(master)
        .config("spark.driver.memory", memory)
        .config("spark.driver.extraJavaOptions", " ".join(options))
        .config("spark.sql.session.timeZone", "UTC")
        # Listing a few hundred folders of days here is faster than a Spark job with a task for each.
        .config("spark.sql.sources.parallelPartitionDiscovery.threshold", "1000")
        .config("spark.sql.execution.arrow.pyspark.enabled", "true")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "2048")
        # Timestamps in nanoseconds would silently overflow in other readers.
        .config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        # Nothing is told to anybody about who runs what.
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
        # As PySpark makes it; a logger of Python's own would not take what PySpark hands over.
        PySparkLogger.getLogger(name).setLevel(logging.CRITICAL)
    session = builder.getOrCreate()
    if master.startswith("local"):
        # The workers are this interpreter, whatever `python3` is on the PATH.
        session.sparkContext.pythonExec = sys.executable
    return session
