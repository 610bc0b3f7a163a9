"""Inspects a table: one pass over its rows, and a sample of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from glob import glob
from typing import Any

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from refit.shop_drafts.roles import Column, roles
from refit.shop_drafts.tables import Table
from refit.shop_drafts.times import time_format
from refit.sources.databases import DRIVERS

_EXAMPLES = 2_000
"""Number of rows from which time formats are guessed."""
_FEW = 20
"""Largest number of distinct values that are listed for a column."""
_PLAIN = (T.StringType, T.NumericType, T.BooleanType, T.DateType, T.TimestampType, T.TimestampNTZType)


@dataclass(frozen=True)
class Looked:
    """The result of inspecting a table."""

    table: Table
    schema: T.StructType
    rows: int
    columns: tuple[Column, ...]
    roles: Mapping[str, Column]

    @property
    def is_events(self) -> bool:
        """Whether each row links a person to an item."""
        return {"user", "item"} <= set(self.roles)


def open_whole(spark: SparkSession, table: Table, data: str, login: Mapping[str, str]) -> DataFrame:
    """Return every row of *table*; *login* holds database credentials under the names of Spark's options."""
    options = {name: text.replace("{DATA}", data) for name, text in table.options.items()}
    if table.format == "jdbc":
        driver = next((name for start, name in DRIVERS.items() if options["url"].startswith(start)), None)
        options |= {"driver": driver} if driver else {}
        return spark.read.format("jdbc").options(preferTimestampNTZ="true", **options, **login).load()
    reader = spark.read.format(table.format).options(**options)
    if table.columns:
        text = T.StructType([T.StructField(name, T.StringType()) for name in table.columns])
        reader = reader.schema(text).options(enforceSchema="false", columnPruning="false")
    path = table.whole.path.replace("{DATA}", data.rstrip("/"))
    # Spark would look for a file with a literal star in its name, and log a stack trace.
    return reader.load(sorted(glob(path)) if "*" in path else path)


def look(frame: DataFrame, table: Table) -> Looked:
    """Inspect *frame*, all rows of *table*."""
    fields = [field for field in frame.schema.fields if isinstance(field.dataType, _PLAIN)]
    asked: list[Any] = [F.count(F.lit(1)).alias("rows")]
    for position, field in enumerate(fields):
        value = F.nullif(F.trim(F.col(_quoted(field.name)).cast("string")), F.lit(""))
        number = value.try_cast("double")
        asked += [
            F.count(value).alias(f"filled{position}"),
            F.approx_count_distinct(value).alias(f"distinct{position}"),
            F.count(number).alias(f"numbers{position}"),
            F.min(number).alias(f"least{position}"),
            F.max(number).alias(f"most{position}"),
            F.count_if(value.rlike(r"^\d+\.0$")).alias(f"whole{position}"),
            F.count_if(value.rlike(r"\s")).alias(f"spaces{position}"),
        ]
    counted = frame.agg(*asked).collect()[0]
    examples = frame.select([_quoted(field.name) for field in fields]).limit(_EXAMPLES).collect()
    few = _few_values(frame, fields, counted)
    columns = tuple(_column(field, position, counted, examples, few) for position, field in enumerate(fields))
    return Looked(table, frame.schema, counted["rows"], columns, roles(columns, counted["rows"]))


def _few_values(frame: DataFrame, fields: list[T.StructField], counted: Row) -> dict[str, tuple[str, ...]]:
    """Return the values of each column with few distinct values."""
    names = [field.name for position, field in enumerate(fields) if 0 < counted[f"distinct{position}"] <= _FEW]
    if not names:
        return {}
    sets = [
        F.sort_array(F.collect_set(F.col(_quoted(name)).cast("string"))).alias(f"v{n}") for n, name in enumerate(names)
    ]
    row = frame.agg(*sets).collect()[0]
    return {name: tuple(row[f"v{n}"]) for n, name in enumerate(names)}


def _column(
    field: T.StructField, position: int, counted: Row, examples: list[Row], few: Mapping[str, tuple[str, ...]]
) -> Column:
    filled, kind = counted[f"filled{position}"], field.dataType.simpleString()
    texts = [str(row[position]) for row in examples if row[position] is not None and str(row[position]).strip()]
    return Column(
        name=field.name,
        kind=kind,
        filled=filled / counted["rows"] if counted["rows"] else 0.0,
        distinct=counted[f"distinct{position}"],
        numbers=counted[f"numbers{position}"] / filled if filled else 0.0,
        least=counted[f"least{position}"],
        most=counted[f"most{position}"],
        whole=bool(filled) and counted[f"whole{position}"] == filled,
        spaces=counted[f"spaces{position}"] > 0,
        time=time_format(kind, texts),
        values=few.get(field.name, ()),
    )


def _quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"
