"""Whether files are text at all: Spark reads bytes that are none as U+FFFD, and two names become one."""

from __future__ import annotations

from urllib.parse import unquote

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from refit.errors import SourceError

LISTING = ("basePath", "recursiveFileLookup", "pathGlobFilter", "modifiedBefore", "modifiedAfter", "lineSep")
"""Options that say which files and lines there are."""


def listing_of(options: dict[str, str]) -> dict[str, str]:
    """Return those of the *options* of a source that say which files and lines there are."""
    return {key: options[key] for key in LISTING if key in options}


def refuse_other_bytes(spark: SparkSession, name: str, paths: list[str], options: dict[str, str]) -> None:
    """
    Refuse a file of source *name* of which a line is no UTF-8, unless the *options* name another encoding.

    This reads the lines once more, without parsing them; they are counted only where one is refused. In another
    encoding Spark decodes whatever it finds; what it could not decode are then rows with U+FFFD, which the suites set
    apart.
    """
    if not reads_utf8(options):
        return
    lines = spark.read.options(**listing_of(options)).text(paths)
    if lines.where(~F.is_valid_utf8("value")).isEmpty():
        return
    counted = (
        lines.groupBy(F.input_file_name().alias("file"))
        .agg(F.count(F.lit(1)).alias("lines"), F.count_if(~F.is_valid_utf8("value")).alias("odd"))
        .where(F.col("odd") > 0)
        .orderBy("file")
        .limit(1)
        .collect()[0]
    )
    raise other_bytes(spark, name, counted["file"], counted["odd"], counted["lines"], options)


def other_bytes(
    spark: SparkSession, name: str, address: str, odd: int, lines: int, options: dict[str, str]
) -> SourceError:
    """Return the error that says of the file at *address* that *odd* of its *lines* are no UTF-8."""
    file = unquote(address)
    # One task reads the parts of one file in their order, so rows are numbered as lines are.
    numbered = spark.read.options(**listing_of(options)).text(file).coalesce(1)
    marked = numbered.select(F.monotonically_increasing_id().alias("at"), F.is_valid_utf8("value").alias("text"))
    first = marked.where(~F.col("text")).agg(F.min("at")).collect()[0][0] + 1
    return SourceError(
        f"source {name!r}: {odd:,} of {lines:,} lines of {file} are not UTF-8, the first is line {first}; name the "
        'encoding of the file in the options of the source, e.g. encoding = "ISO-8859-1", or write it as UTF-8'
    )


def reads_utf8(options: dict[str, str]) -> bool:
    """Return whether a reader with these *options* takes its files for UTF-8."""
    given = [value.lower() for key, value in options.items() if key.lower() in {"encoding", "charset"}]
    return all(value in {"utf-8", "utf8"} for value in given)
