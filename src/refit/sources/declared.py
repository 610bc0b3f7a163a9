"""Checks that a source has its declared columns, because Spark fills missing ones with nulls."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast
from urllib.parse import unquote

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from refit.errors import SourceError
from refit.sources.encoding import listing_of, other_bytes
from refit.sources.source_errors import explained

_READERS = 8
"""Threads that read footers in parallel; each footer takes a round trip on an object store."""


def declared_columns(ddl: str) -> T.StructType:
    """Return the columns that *ddl* declares; text types of limited length become plain text."""
    return T.StructType(
        [
            T.StructField(column.name, T.StringType(), column.nullable, column.metadata)
            if isinstance(column.dataType, T.CharType | T.VarcharType)
            else column
            for column in cast(T.StructType, T.StructType.fromDDL(ddl)).fields
        ]
    )


def refuse_other_columns(
    name: str, where: str, found: T.StructType, declared: T.StructType, *, partitions: Sequence[str] = ()
) -> None:
    """
    Raise a SourceError naming every column of *found* that differs from the declaration, if there is one.

    *where* is the file or table, *partitions* are columns that come from the file's path.
    """
    there = {column.name.lower(): column for column in found}
    wanted = {column.name.lower(): column for column in declared}
    missing = [
        column
        for key, column in wanted.items()
        if key not in there and key not in partitions and column.metadata.get("comment") != "optional"
    ]
    extra = [column for key, column in there.items() if key not in wanted]
    complaints = [f"{column.name!r} ({_kind(column.dataType)}) is missing" for column in missing]
    complaints += [f"{column.name!r} ({_kind(column.dataType)}) is not declared" for column in extra]
    complaints += [
        f"{column.name!r} is {_kind(there[key].dataType)} instead of {_kind(column.dataType)}"
        for key, column in wanted.items()
        if key in there and not _fits(there[key].dataType, column.dataType)
    ]
    if complaints:
        renamed = " (renamed?)" if len(missing) == len(extra) == 1 else ""
        raise SourceError(
            f"source {name!r} differs from its `columns` in {where}: {', '.join(complaints)}{renamed}; "
            "mend it there, or correct `columns` in shop.toml"
        )


def refuse_other_parquet(spark: SparkSession, name: str, frame: DataFrame, declared: T.StructType) -> None:
    """
    Compare the footer of every file of *frame* with the declared columns, so that no single odd day goes unnoticed.

    Raises:
        SourceError: a file cannot be read, or has other columns.
    """
    for address in _by_footer(spark, name, frame):
        file = unquote(address)
        with explained(f"source {name!r}, file {file}"):
            found = spark.read.parquet(file).schema
        refuse_other_columns(name, file, found, declared, partitions=_partitions(file))


def refuse_unreadable_parquet(spark: SparkSession, name: str, paths: list[str], options: dict[str, str]) -> None:
    """Raise a SourceError naming the first file of *paths* that Spark cannot read as Parquet, if there is one."""
    # The format does not matter here: only the list of files is used.
    for address in _by_footer(spark, name, spark.read.options(**listing_of(options)).text(paths)):
        with explained(f"source {name!r}, file {unquote(address)}"):
            _ = spark.read.parquet(unquote(address)).schema


def _by_footer(spark: SparkSession, name: str, frame: DataFrame) -> list[str]:
    """Return the first file of *frame* with each distinct schema; SourceError for nanosecond times."""
    files = frame.inputFiles()
    with ThreadPoolExecutor(_READERS) as pool:
        footers = list(pool.map(lambda file: _footer(spark, file), files))
    for file, (_, nanos) in zip(files, footers, strict=True):
        if nanos:
            several = len(nanos) > 1
            raise SourceError(
                f"source {name!r}: {', '.join(map(repr, nanos))} of {unquote(file)} "
                f"{'are times' if several else 'is a time'} in nanoseconds, which Spark does not read; write "
                f"{'them' if several else 'it'} in microseconds, "
                'with pandas by to_parquet(..., coerce_timestamps="us", allow_truncated_timestamps=True)'
            )
    return list({text: file for (text, _), file in reversed(list(zip(footers, files, strict=True)))}.values())


def refuse_other_json(
    spark: SparkSession, name: str, paths: list[str], options: dict[str, str], declared: T.StructType | None
) -> None:
    """
    Refuse JSON-lines files with a line that is no object, or with fields other than the *declared* ones.

    Spark would read a missing field, or one of another type, as null, and would not name the file of a broken line.
    This reads the files a second time.
    """
    lines = spark.read.options(**listing_of(options)).text(paths)
    parsed = lines.where(~F.is_valid_utf8("value") | F.col("value").rlike(r"\S")).select(
        F.input_file_name().alias("file"),
        F.is_valid_utf8("value").alias("text"),
        F.expr("CASE WHEN is_valid_utf8(value) THEN try_parse_json(value) END").alias("line"),
    )
    is_object = F.expr("schema_of_variant(line) LIKE 'OBJECT<%'")
    for row in (
        parsed.groupBy("file")
        .agg(
            F.count(F.lit(1)).alias("lines"),
            F.count_if(~F.col("text")).alias("odd"),
            F.count_if(is_object).alias("objects"),
            F.expr("schema_of_variant_agg(line)").alias("fields"),
        )
        .orderBy("file")
        .collect()
    ):
        file = unquote(row["file"])
        if row["odd"]:
            raise other_bytes(spark, name, row["file"], row["odd"], row["lines"], options)
        if row["objects"] < row["lines"]:
            raise SourceError(
                f"source {name!r}: {row['lines'] - row['objects']} of {row['lines']} lines of {file} "
                "are no JSON object, the file may be cut short; fetch it again or mend it"
            )
        if declared is not None:
            fields = T.DataType.fromDDL(re.sub(r"\bOBJECT<", "STRUCT<", row["fields"]))
            refuse_other_columns(name, file, _of_json(fields, declared), declared, partitions=_partitions(file))


def _of_json(found: T.DataType, declared: T.StructType) -> T.StructType:
    """Return the fields that were found, with the declared type where JSON cannot express it."""
    wanted = {column.name.lower(): column.dataType for column in declared}
    fields = found.fields if isinstance(found, T.StructType) else []
    return T.StructType(
        [
            T.StructField(field.name, wanted[key])
            if (key := field.name.lower()) in wanted and _json_may_be(field.dataType, wanted[key])
            else field
            for field in fields
        ]
    )


def _json_may_be(found: T.DataType, declared: T.DataType) -> bool:
    if isinstance(found, T.NullType) or isinstance(declared, T.VariantType):
        return True
    if isinstance(declared, T.IntegralType):
        return isinstance(found, T.IntegralType) or (isinstance(found, T.DecimalType) and found.scale == 0)
    if isinstance(declared, T.NumericType):
        return isinstance(found, T.NumericType)
    if isinstance(declared, T.DateType | T.TimestampType | T.TimestampNTZType | T.BinaryType):
        return isinstance(found, T.StringType)
    if isinstance(declared, T.StructType | T.MapType):
        return isinstance(found, T.StructType)
    return type(found) is type(declared)


def _partitions(file: str) -> list[str]:
    """Return the partition columns in the path of *file*, as in day=2026-01-05."""
    return [folder.split("=")[0].lower() for folder in file.split("/")[:-1] if "=" in folder]


def _fits(found: T.DataType, declared: T.DataType) -> bool:
    return found.simpleString() == declared.simpleString()


def _kind(kind: T.DataType) -> str:
    return "of several types" if isinstance(kind, T.VariantType) else kind.simpleString()


def _footer(spark: SparkSession, file: str) -> tuple[str, list[str]]:
    """Return the schema of a Parquet file as text, and its columns of nanosecond times."""
    jvm: Any = spark.sparkContext._jvm
    session: Any = spark._jsparkSession
    path = jvm.org.apache.hadoop.fs.Path(jvm.java.net.URI(file))
    opened = jvm.org.apache.parquet.hadoop.util.HadoopInputFile.fromPath(path, session.sessionState().newHadoopConf())
    reader = jvm.org.apache.parquet.hadoop.ParquetFileReader.open(opened)
    try:
        schema = reader.getFileMetaData().getSchema()
        kinds = {str(column.getName()): str(column.getLogicalTypeAnnotation()) for column in schema.getFields()}
        return str(schema.toString()), [column for column, kind in kinds.items() if "NANOS" in kind]
    finally:
        reader.close()
