"""Staging: rows are written where they will stay, measured and judged there, and only then shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from refit import folders
from refit.columns import Columns
from refit.config import Shop
from refit.errors import DataRefusedError
from refit.lake import Lake, Landed, content_digest, row_hash, write_by_day


@dataclass
class Staging:
    """The tables of one landing on their way into the lake."""

    spark: SparkSession
    lake: Lake
    landing: str
    _tables: dict[str, tuple[DataFrame, list[Landed]]] = field(default_factory=dict)
    _begun: list[str] = field(default_factory=list)

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
        # Even a commit that fails may have been done: from here on readers may see the files, so they stay.
        self._begun.clear()
        self.lake.commit(
            self.landing, {name: (frame.schema, entries) for name, (frame, entries) in self._tables.items()}
        )

    def _path(self, table: str) -> str:
        self._begun.append(f"{table}/landing={self.landing}")
        return self._begun[-1]


@contextmanager
def staging(spark: SparkSession, lake: Lake, landing: str) -> Iterator[Staging]:
    """Give a place to stage tables; whatever was staged is deleted when the block fails."""
    staged = Staging(spark, lake, landing)
    try:
        yield staged
    except BaseException:
        for path in staged._begun:
            folders.delete(spark, lake.path(path))
        raise


def keep_consenting(events: DataFrame, people: DataFrame) -> DataFrame:
    """Return the events of *people*; a null id stays in, so that validation counts it and no join loses it."""
    nobody = people.sparkSession.createDataFrame([(None,)], f"{Columns.USER} string")
    known = people.select(Columns.USER).unionByName(nobody)
    return events.join(known, events[Columns.USER].eqNullSafe(known[Columns.USER]), "left_semi")


def within(events: DataFrame, since: datetime, until: datetime) -> DataFrame:
    """Return the events of [since, until) and those without a time, which validation must see."""
    time = F.col(Columns.EVENT_TIME)
    return events.where(time.isNull() | ((time >= F.lit(since)) & (time < F.lit(until))))


def interval_parameters(shop: Shop, since: datetime, until: datetime, open_days: Sequence[date]) -> dict[str, Any]:
    """Return what the suite of interactions calls $PARAMETER for the interval [since, until) in UTC."""
    return {
        "min_rows": shop.validation.min_rows_per_open_day * len(open_days),
        "max_value": shop.validation.max_value,
        "event_types": sorted(shop.events.weights),
        "since": since.replace(tzinfo=None),
        "until": until.replace(tzinfo=None),
        "fresh_after": datetime.combine(open_days[-1], time()),
    }


def refuse_thin_days(landed: Sequence[Landed], expected: Sequence[date], least: int) -> None:
    """Raise DataRefusedError when an expected day has fewer than *least* events."""
    days = {entry.day: entry.rows for entry in landed}
    thin = [f"{day} has {days.get(str(day), 0):,}" for day in expected if days.get(str(day), 0) < least]
    if thin:
        more = f" and {len(thin) - 5} more" if len(thin) > 5 else ""
        raise DataRefusedError(
            f"{len(thin)} of {len(expected)} open days have too few events (at least {least:,} are needed): "
            f"{', '.join(thin[:5])}{more}; nothing became visible; deliver the days, or add them to "
            "calendar.closed_days in shop.toml if the shop was closed"
        )
