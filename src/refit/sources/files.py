"""Sources that are files: selects those that an interval needs, and checks them against the declaration."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from typing import Any

from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from refit.config import Source
from refit.errors import ConfigurationError, FileNotThereError, SourceError
from refit.sources.declared import (
    declared_columns,
    refuse_other_columns,
    refuse_other_json,
    refuse_other_parquet,
    refuse_unreadable_parquet,
)
from refit.sources.encoding import refuse_other_bytes
from refit.storage import filesystem

_TEXT = {"csv", "json", "text"}
"""Text formats."""
LARGEST_OFFSET = timedelta(hours=14)
"""The largest UTC offset on earth: a file named by a local date lies within this of the interval."""


def open_files(
    spark: SparkSession, name: str, source: Source, data: str, since: datetime, until: datetime
) -> DataFrame:
    """Return the rows of every file of *source* that may hold events of [since, until)."""
    _refuse_no_folder(spark, name, source, data)
    options = {key: value.replace("{DATA}", data) for key, value in source.options.items()}
    if source.format in {"csv", "json"}:
        options = {"mode": "FAILFAST", **options}  # Spark's default reads malformed records as nulls
    paths = _paths(spark, name, source, data, since, until)
    reader = spark.read.format(source.format).options(**options)
    declared = declared_columns(source.columns) if source.columns is not None else None
    has_lines = source.format == "json" and _has_plain_lines(options)
    if has_lines and paths:
        refuse_other_json(spark, name, paths, options, declared)
    elif source.format in _TEXT and paths:
        refuse_other_bytes(spark, name, paths, options)
    if declared is None:
        try:
            return reader.load(paths)
        except PySparkException:
            if source.format == "parquet" and paths:
                refuse_unreadable_parquet(spark, name, paths, options)  # Spark does not always name the file
            raise
    if paths == []:
        return spark.createDataFrame([], declared)
    if source.format == "csv":
        # By default Spark matches columns by position, so a renamed column would pass, and it would not notice a
        # truncated row if the mapping omits any column.
        return reader.schema(declared).options(enforceSchema="false", columnPruning="false").load(paths)
    if source.format == "parquet":
        frame = reader.schema(declared).load(paths)
        refuse_other_parquet(spark, name, frame, declared)
        return frame
    if has_lines:
        return reader.schema(declared).load(paths)
    frame = reader.load(paths)
    refuse_other_columns(name, ", ".join(paths or ["it"]), frame.schema, declared)
    return frame


def day_of_file(path: str | None) -> Column:
    """
    Return the day (date) in the name of the file that a row is read from; null if there is none.

    *path* is the path, with `{day}`, of the mapping's only source.
    """
    found = re.search(r"([^/]*)\{day\}([^/]*)", path or "")
    if not found:
        return F.lit(None).cast("date")
    before, after = (_glob_as_pattern(part) for part in found.groups())
    # Greedy: the last match in the path counts. A plus sign is not an encoded space in a file's address.
    pattern = rf"^.*/{before}(\d{{4}}-\d{{2}}-\d{{2}}){after}(?:/.*)?$"
    file = F.url_decode(F.replace(F.input_file_name(), F.lit("+"), F.lit("%2B")))
    return F.regexp_extract(file, pattern, 1).try_cast("date")


def _glob_as_pattern(text: str) -> str:
    return re.sub(r"\\([*?])", lambda found: "[^/]*" if found[1] == "*" else "[^/]", re.escape(text))


def _refuse_no_folder(spark: SparkSession, name: str, source: Source, data: str) -> None:
    if "{DATA}" not in f"{source.path}{source.options}":
        return
    if not data:
        raise ConfigurationError(f"source {name!r} reads from {{DATA}}, but no folder is given; set DATA=folder")
    if data.startswith("jdbc:"):
        raise ConfigurationError(
            f"source {name!r} reads {source.format} files, but DATA is the address of a database; set DATA=folder"
        )
    if not filesystem.exists(spark, data):
        raise SourceError(f"the folder {data} that source {name!r} reads does not exist; correct DATA=folder")


def _paths(
    spark: SparkSession, name: str, source: Source, data: str, since: datetime, until: datetime
) -> list[str] | None:
    """Return the paths to read: None for a source without files, an empty list for days without a file."""
    if source.path is None:
        return None
    path = source.path.replace("{DATA}", data.rstrip("/"))
    if "{day}" not in path:
        return [path]
    days = _local_days(since, until)
    paths = [found for day in days if _exists(spark, found := path.replace("{day}", day.isoformat()))]
    if not paths and source.columns is None:
        raise FileNotThereError(
            f"source {name!r} has nothing at {path} for {days[0]} to {days[-1]}; "
            "land days that exist, or declare its columns so that a day without a file is a day without rows"
        )
    return paths


def _local_days(since: datetime, until: datetime) -> list[date]:
    first, last = (since - LARGEST_OFFSET).date(), (until + LARGEST_OFFSET).date()
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _exists(spark: SparkSession, path: str) -> bool:
    """Return whether anything matches *path*, which may contain Spark's wildcards."""
    if not re.search(r"[*?\[{]", path):
        return filesystem.exists(spark, path)
    jvm: Any = spark.sparkContext._jvm
    session: Any = spark._jsparkSession
    location = jvm.org.apache.hadoop.fs.Path(path)
    found = location.getFileSystem(session.sparkContext().hadoopConfiguration()).globStatus(location)
    return found is not None and len(found) > 0


def _has_plain_lines(options: dict[str, str]) -> bool:
    """Return whether each line is one object of strict JSON, the only JSON that can be checked line by line."""
    keys = {key.lower(): value.lower() for key, value in options.items()}
    special = any(key.startswith("allow") and value == "true" for key, value in keys.items())
    usual = {"mode": "failfast", "multiline": "false", "encoding": "utf-8"}
    return not special and all(keys.get(key, value) == value for key, value in usual.items())
