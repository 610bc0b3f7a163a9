"""Sources that are tables or queries of a database, read over JDBC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from refit.config import Source
from refit.errors import ConfigurationError
from refit.sources.declared import declared_columns, refuse_other_columns
from refit.sources.files import LARGEST_OFFSET

POSTGRESQL = "jdbc:postgresql:"
DRIVERS = {POSTGRESQL: "org.postgresql.Driver"}
"""Address prefix -> driver class; Java does not discover drivers in jars that Spark has loaded."""
_ROWS_A_FETCH = "10000"
"""Rows per fetch; by default PostgreSQL's driver would hold a whole slice in memory."""
_CLOCK_SET_BACK = timedelta(hours=2)
"""The largest step by which a clock is set back when summer time ends."""


def open_table(
    spark: SparkSession,
    name: str,
    source: Source,
    data: str,
    since: datetime,
    until: datetime,
    time_zone: str | None,
    login: tuple[str, str],
) -> DataFrame:
    """
    Return the rows of *source* whose time lies in [since, until), or all rows if it names no `time_column`.

    The interval is split into equal slices, each fetched over its own connection and transaction, so that only its rows
    are transferred. A column without a zone is compared with local times in *time_zone*, or, if that is None, with the
    local times of all zones. Rows without a time are not returned. *login* is (user, password); the source's options
    replace empty values.
    """
    url = _address(name, source, data)
    options = {"fetchsize": _ROWS_A_FETCH, "preferTimestampNTZ": "true", **source.options}
    options |= {key: value for key, value in zip(("user", "password"), login, strict=True) if value}
    driver = next((known for start, known in DRIVERS.items() if url.startswith(start)), None)
    if driver and "driver" not in options:
        options["driver"] = driver
    query = options.pop("query", None)
    table = f"({query.replace('{DATA}', data)}) AS source" if query else options.pop("dbtable")
    options.pop("dbtable", None)
    reader = spark.read.format("jdbc").options(**{**options, "url": url})
    whole = reader.option("dbtable", table).load()
    if source.columns is not None:
        refuse_other_columns(name, table, whole.schema, declared_columns(source.columns))
    if source.time_column is None:
        return whole
    column = _time_column(name, source.time_column, whole.schema)
    predicates = _slices(spark, url, column, since, until, source.slices, time_zone)
    return spark.read.options(**options).jdbc(url, table, predicates=predicates)


def refuse_secrets(url: str) -> None:
    """Raise ConfigurationError if a database address holds a password, because addresses are logged."""
    if re.search(r"(?i)[?&;]\w*password=|//[^/@]*:[^/@]*@", url):
        raise ConfigurationError(
            "the address of the database carries a password and would show it in logs; "
            "leave it out and set REFIT_SOURCE_USER and REFIT_SOURCE_PASSWORD"
        )


def _address(name: str, source: Source, data: str) -> str:
    if "{DATA}" in source.options["url"] and not data:
        raise ConfigurationError(
            f"source {name!r} reads from {{DATA}}, but no database is given; set DATA=jdbc:postgresql://host/database"
        )
    url = source.options["url"].replace("{DATA}", data)
    refuse_secrets(url)
    if not url.startswith("jdbc:"):
        raise ConfigurationError(
            f"source {name!r} reads a database, but {url} is no address of one; set DATA=jdbc:postgresql://host/database"
        )
    return url


def _time_column(name: str, wanted: str, schema: T.StructType) -> T.StructField:
    for column in schema:
        if column.name.lower() == wanted.lower():
            if isinstance(column.dataType, T.TimestampType | T.TimestampNTZType):
                return column
            raise ConfigurationError(
                f"time_column {wanted!r} of source {name!r} is {column.dataType.simpleString()}; name a column of "
                "timestamps, or leave time_column out and the source is read whole"
            )
    raise ConfigurationError(
        f"source {name!r} has no column {wanted!r}, its time_column, but {', '.join(schema.names)}; correct it"
    )


def _slices(
    spark: SparkSession,
    url: str,
    column: T.StructField,
    since: datetime,
    until: datetime,
    count: int,
    time_zone: str | None,
) -> list[str]:
    """Return one SQL condition for each of *count* equal parts of the interval."""
    jvm: Any = spark.sparkContext._jvm
    dialect = jvm.org.apache.spark.sql.jdbc.JdbcDialects.get(url)
    quoted = dialect.quoteIdentifier(column.name)
    first, last = since.astimezone(UTC), until.astimezone(UTC)
    if isinstance(column.dataType, T.TimestampNTZType):
        first, last = _on_the_clock(first, last, time_zone)
    edges = [first + (last - first) * part // count for part in range(count + 1)]
    written = [_written(jvm, dialect, url, edge) for edge in edges]
    return [f"{quoted} >= {low} AND {quoted} < {high}" for low, high in pairwise(written)]


def _on_the_clock(since: datetime, until: datetime, time_zone: str | None) -> tuple[datetime, datetime]:
    """Return the range of zoneless local times that covers [since, until)."""
    if time_zone is None:
        return (since - LARGEST_OFFSET).replace(tzinfo=None), (until + LARGEST_OFFSET).replace(tzinfo=None)
    zone = ZoneInfo(time_zone)
    first, last = (moment.astimezone(zone).replace(tzinfo=None) for moment in (since, until))
    # Just after it was set back, the clock repeats earlier times.
    return first, last + _CLOCK_SET_BACK


def _written(jvm: Any, dialect: Any, url: str, moment: datetime) -> str:
    if url.startswith(POSTGRESQL):
        # The offset makes the literal independent of the session; a column without a zone ignores it.
        return f"'{moment.isoformat(sep=' ')}'"
    since_1970 = moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return str(dialect.compileValue(jvm.java.sql.Timestamp(since_1970 // timedelta(milliseconds=1))))
