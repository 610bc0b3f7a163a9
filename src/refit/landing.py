"""Staging: rows are written where they will stay, measured and judged there, and only then shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from refit.columns import Columns
from refit.errors import DataRefusedError
from refit.lake import Lake, Landed, content_digest, row_hash, write_by_day


@dataclass
class Staging:
    """The tables of one landing on their way into the lake."""

    spark: SparkSession
    lake: Lake
    landing: str
    _tables: dict[str, tuple[DataFrame, list[Landed]]] = field(default_factory=dict)

    def snapshot(self, table: str, rows: DataFrame, until: datetime) -> DataFrame:
        """Write *rows* as the state of *table* just before *until* and return them as written."""
        path = self._path(table)
        rows.coalesce(8).write.mode("overwrite").parquet(self.lake.path(path))
        written = self.spark.read.parquet(self.lake.path(path))
        count, total = written.agg(F.count(F.lit(1)), F.sum(row_hash(written.schema))).collect()[0]
        digest = content_digest(count, total, written.schema)
        day = until.date().isoformat()
        self._tables[table] = (written, [Landed(day, path, count, digest, self.landing)])
        return written

    def days(self, table: str, rows: DataFrame) -> DataFrame:
        """Write the events *rows* by day of UTC and return them as written."""
        path = self._path(table)
        dated = rows.withColumn(Columns.EVENT_DATE, F.to_date(Columns.EVENT_TIME))
        write_by_day(dated, self.lake.path(path))
        written = self.spark.read.schema(dated.schema).parquet(self.lake.path(path))
        counted = (
            written.groupBy(Columns.EVENT_DATE)
            .agg(F.count(F.lit(1)), F.sum(row_hash(rows.schema)))
            .orderBy(Columns.EVENT_DATE)
            .collect()
        )
        entries = [
            Landed(
                day.isoformat(),
                f"{path}/{Columns.EVENT_DATE}={day.isoformat()}",
                count,
                content_digest(count, total, rows.schema),
                self.landing,
            )
            for day, count, total in counted
            if day is not None  # rows without a time are refused by the suite, which counts them
        ]
        self._tables[table] = (written.drop(Columns.EVENT_DATE), entries)
        return self._tables[table][0]

    def entries(self, table: str) -> list[Landed]:
        """Return what was staged of *table*."""
        return self._tables[table][1]

    def show(self) -> None:
        """Make everything that was staged current, all at once."""
        self.lake.commit(
            self.landing, {name: (frame.schema, entries) for name, (frame, entries) in self._tables.items()}
        )

    def _path(self, table: str) -> str:
        return f"{table}/landing={self.landing}"


@contextmanager
def staging(spark: SparkSession, lake: Lake, landing: str) -> Iterator[Staging]:
    """Give a place to stage tables; whatever was staged is deleted when the block fails."""
    staged = Staging(spark, lake, landing)
    try:
        yield staged
    except BaseException:
        for table in staged._tables:
            _delete(spark, lake.path(staged._path(table)))
        raise


def within(events: DataFrame, since: datetime, until: datetime) -> DataFrame:
    """Return the events of [since, until) and those without a time, which validation must see."""
    time = F.col(Columns.EVENT_TIME)
    return events.where(time.isNull() | ((time >= F.lit(since)) & (time < F.lit(until))))


def refuse_thin_days(days: Mapping[str, int], expected: list[date], least: int) -> None:
    """Raise DataRefusedError when an expected day has fewer than *least* events; *days* maps YYYY-MM-DD to rows."""
    thin = [f"{day} has {days.get(day.isoformat(), 0):,}" for day in expected if days.get(day.isoformat(), 0) < least]
    if thin:
        more = f" and {len(thin) - 5} more" if len(thin) > 5 else ""
        raise DataRefusedError(
            f"{len(thin)} of {len(expected)} open days have too few events (at least {least:,} are needed): "
            f"{', '.join(thin[:5])}{more}; nothing became visible; deliver the days, or add them to "
            "calendar.closed_days in shop.toml if the shop was closed"
        )


def _delete(spark: SparkSession, path: str) -> None:
    jvm: Any = spark.sparkContext._jvm
    session: Any = spark._jsparkSession
    place = jvm.org.apache.hadoop.fs.Path(path)
    place.getFileSystem(session.sparkContext().hadoopConfiguration()).delete(place, True)
