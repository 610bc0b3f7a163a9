"""Folders on any file system that Spark can write, through Hadoop's FileSystem API."""

from __future__ import annotations

from typing import Any

from pyspark.sql import SparkSession

from refit.errors import RefitError


def exists(spark: SparkSession, path: str) -> bool:
    """Return whether there is a file or folder at *path*."""
    system, location = _open(spark, path)
    return bool(system.exists(location))


def delete(spark: SparkSession, path: str) -> None:
    """Delete the file or the whole folder at *path*, if it exists."""
    system, location = _open(spark, path)
    system.delete(location, True)


def move(spark: SparkSession, path: str, to: str) -> None:
    """Move the folder at *path* to *to*, which must not exist."""
    system, location = _open(spark, path)
    if not system.rename(location, _open(spark, to)[1]):
        raise RefitError(f"{path} could not be moved to {to}; make sure that the folder above it can be written")


def _open(spark: SparkSession, path: str) -> tuple[Any, Any]:
    jvm: Any = spark.sparkContext._jvm
    session: Any = spark._jsparkSession
    location = jvm.org.apache.hadoop.fs.Path(path)
    return location.getFileSystem(session.sparkContext().hadoopConfiguration()), location
