"""Reading a shop's warehouse: named Spark sources, one SQL statement per contract table."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from refit import folders
from refit.config import Shop, Source
from refit.contract import conform
from refit.errors import ConfigurationError, RefitError, SourceError

_LARGEST_OFFSET = timedelta(hours=14)
"""No clock on earth is further from UTC, so a file named by a local date lies within this of the interval."""


def read_table(
    spark: SparkSession, shop: Shop, table: str, *, data: str, since: datetime, until: datetime
) -> DataFrame | None:
    """
    Return contract *table* as the shop's SQL maps it, or None when the shop has no such table.

    The SQL sees the sources by name and may use the parameters `:since` and `:until` (UTC timestamps); whether it does
    is a matter of speed, since the caller filters again. *data* replaces `{DATA}` in paths and options.
    """
    query = shop.mapping(table)
    if query is None:
        return None
    used = [name for name in shop.sources if re.search(rf"\b{re.escape(name)}\b", query)]
    if not used:
        raise ConfigurationError(f"sources/{table}.sql of shop {shop.name!r} names none of its sources")
    for name in used:
        _open(spark, name, shop.sources[name], data, since, until).createOrReplaceTempView(name)
    try:
        with explained(f"mapping {table} of shop {shop.name!r}"):
            return conform(spark.sql(query, args={"since": F.lit(since), "until": F.lit(until)}), table)
    finally:
        for name in used:
            spark.catalog.dropTempView(name)


def _open(spark: SparkSession, name: str, source: Source, data: str, since: datetime, until: datetime) -> DataFrame:
    needs_data = "{DATA}" in f"{source.path}{source.options}"
    if needs_data and not data:
        raise ConfigurationError(f"source {name!r} reads from {{DATA}}, but no folder is given; set DATA=folder")
    if needs_data and not folders.exists(spark, data):
        raise SourceError(f"the folder {data} that source {name!r} reads does not exist; correct DATA=folder")
    reader = spark.read.format(source.format).options(
        **{key: value.replace("{DATA}", data) for key, value in source.options.items()}
    )
    if source.columns is not None:
        # Spark would otherwise take columns by position, and a renamed column would pass; and it would not notice a row
        # that is cut short when the mapping leaves out any column.
        reader = reader.schema(source.columns).options(enforceSchema="false", columnPruning="false")
    with explained(f"source {name!r}"):
        if source.path is None:
            return reader.load()
        path = source.path.replace("{DATA}", data.rstrip("/"))
        if "{day}" not in path:
            return reader.load(path)
        days = _local_days(since, until)
        paths = [found for day in days if folders.exists(spark, found := path.replace("{day}", day.isoformat()))]
        if paths:
            return reader.load(paths)
        if source.columns is None:
            raise SourceError(
                f"source {name!r} has nothing at {path} for {days[0]} to {days[-1]}; "
                "land days that exist, or declare its columns so that a day without a file is a day without rows"
            )
        return spark.createDataFrame([], source.columns)


def _local_days(since: datetime, until: datetime) -> list[date]:
    first, last = (since - _LARGEST_OFFSET).date(), (until + _LARGEST_OFFSET).date()
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn what Spark says about unreadable input into one sentence that begins with *what*."""
    try:
        yield
    except RefitError:
        raise
    except Exception as error:
        if not isinstance(error, PySparkException) and "py4j" not in type(error).__module__:
            raise
        raise SourceError(f"{what}: {_sentence(str(error))}") from error


def _sentence(message: str) -> str:
    file = re.search(r"(?:file:/+|s3a?://|hdfs://)[^\s,'\"\]]+", message)
    where = f" in {file.group(0).rstrip('.')}" if file else ""
    header = re.search(r"CSV header does not conform to the schema.*?Expected: (.*?) but found: (.*?)\n", message, re.S)
    if header:
        return f"the column {header[1]!r} is missing or renamed{where}: the header says {header[2]!r} there; mend it"
    if re.search(r"Number of column in CSV header is not equal to number of fields", message):
        return f"the header{where} does not have the declared columns; compare it with `columns` in shop.toml"
    if "MALFORMED_RECORD" in message or "Malformed records" in message:
        return f"a row does not have the declared columns{where}; mend the file"
    if re.search(r"Unexpected end of (ZLIB )?input|EOFException|incorrect data check|invalid (block|stored)", message):
        return f"the compressed file is cut short or damaged{where}; fetch it again"
    if "is not a Parquet file" in message or "CANNOT_READ_FILE_FOOTER" in message:
        return f"not a readable Parquet file{where}; fetch it again"
    lines = (line.strip(": ") for line in message.splitlines() if not line.startswith("An error occurred while"))
    first = next(filter(None, lines), "unknown error")
    return f"{first[:300]}{where if file and file.group(0) not in first else ''}"
