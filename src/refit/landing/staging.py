"""Staging: rows are written to their final location, measured and checked there, and only then committed."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from refit.cleaning import KEPT, QUARANTINED
from refit.cleaning.pipeline import CHECKED_ONLY
from refit.columns import Columns
from refit.digests import digest_of
from refit.errors import ConfigurationError, DataRefusedError
from refit.lake.lake import Lake, Landed
from refit.lake.pseudonyms import PseudonymKey
from refit.row_hashes import content_digest, hash_sum
from refit.storage import filesystem

_LOG = logging.getLogger("refit.landing.staging")
_ASIDE = (*CHECKED_ONLY, Columns.FATE, Columns.CHANGED)


@dataclass(frozen=True)
class Written:
    """Every raw event as written, by day and status."""

    rows: DataFrame
    counts: dict[str, dict[str, int]]
    """Day -> status -> rows."""

    def kept(self) -> DataFrame:
        """Return the rows with the status `kept`."""
        return self.rows.where(F.col(Columns.FATE) == KEPT)


@dataclass
class Staging:
    """The tables of one landing before they are committed to the lake."""

    spark: SparkSession
    lake: Lake
    landing: str
    _tables: dict[str, tuple[StructType, list[Landed]]] = field(default_factory=dict)
    _begun: list[str] = field(default_factory=list)
    _raw_events: tuple[StructType, str] | None = None

    def snapshot(self, table: str, rows: DataFrame, until: datetime) -> DataFrame:
        """Write *rows* as the state of *table* just before *until*, and return them as written."""
        _LOG.info("reading %s", table)
        path = self._path(table)
        rows.coalesce(8).write.mode("overwrite").parquet(self.lake.path(path))
        written = self.spark.read.parquet(self.lake.path(path))
        count, total = written.agg(F.count(F.lit(1)), hash_sum(written.schema)).collect()[0]
        digest = content_digest(count, total, written.schema)
        day = self.lake.clock.day_of(until).isoformat()
        self._tables[table] = (written.schema, [Landed(day, path, count, digest, self.landing)])
        _LOG.info("read %s: %s rows", table, f"{count:,}")
        return written

    def stage_raw_events(self, rows: DataFrame) -> DataFrame:
        """Write the raw events once, so that every later step reads the same rows, and return them."""
        _LOG.info("reading events")
        self._raw_events = (rows.schema, self._path("intake"))
        rows.write.mode("overwrite").parquet(self.lake.path(self._raw_events[1]))
        # With an explicit schema even an empty folder can be read.
        return self.spark.read.schema(rows.schema).parquet(self.lake.path(self._raw_events[1]))

    def stage_events(self, rows: DataFrame, days: list[date]) -> Written:
        """Write *rows* of `refit.cleaning.clean` by day and status, and stage the new contents of *days*."""
        path = self._path("interactions")
        rows.write.mode("overwrite").partitionBy(Columns.EVENT_DATE, Columns.FATE).parquet(self.lake.path(path))
        written = self.spark.read.schema(rows.schema).parquet(self.lake.path(path))
        own = StructType([part for part in rows.schema.fields if part.name not in _ASIDE])
        in_path = {Columns.EVENT_DATE, Columns.FATE}
        apart = StructType([part for part in rows.schema.fields if part.name not in {*in_path, Columns.CHANGED}])
        counted = (
            written.groupBy(Columns.EVENT_DATE, Columns.FATE)
            .agg(F.count(F.lit(1)), hash_sum(own))
            .orderBy(Columns.EVENT_DATE, Columns.FATE)
            .collect()
        )
        found: dict[tuple[str, str], tuple[int, Any]] = {
            (day.isoformat(), status): (count, total) for day, status, count, total in counted
        }
        counts: dict[str, dict[str, int]] = {}
        for (day, status), (count, _) in found.items():
            counts.setdefault(day, {})[status] = count
        for table, status, schema in (("interactions", KEPT, own), ("quarantine", QUARANTINED, apart)):
            entries = []
            for day in sorted({*counts, *(day.isoformat() for day in days)}):
                count, total = found.get((day, status), (0, 0))
                folder = f"{path}/{Columns.EVENT_DATE}={day}/{Columns.FATE}={status}" if count else ""
                entries.append(Landed(day, folder, count, content_digest(count, total, own), self.landing))
            self._tables[table] = (schema, entries)
        return Written(written, counts)

    def read(self, table: str) -> DataFrame:
        """Return the staged rows of *table* as written."""
        schema, entries = self._tables[table]
        return self.spark.read.schema(schema).parquet(*[self.lake.path(entry.path) for entry in entries])

    def rows(self, table: str) -> int:
        """Return the number of staged rows of *table*."""
        return sum(entry.rows for entry in self.entries(table))

    def digest(self, table: str) -> str:
        """Return one digest over the staged rows of *table*; it does not depend on the landing's id."""
        return digest_of([[entry.day, entry.digest] for entry in self.entries(table)])

    def entries(self, table: str) -> list[Landed]:
        """Return the staged entries of *table*."""
        return self._tables[table][1] if table in self._tables else []

    def commit(self, *, replacing: list[Landed] | None = None, key: PseudonymKey | None = None) -> list[str]:
        """
        Make everything staged current in one step, provided that the days of *replacing* are still current.

        The raw events are kept for days with quarantined rows, so that these can be judged again. Snapshots older than
        a landed one are not committed: their files are deleted and their tables returned. *key* made the pseudonyms.
        """
        unneeded = []
        if self._raw_events is not None:
            schema, path = self._raw_events
            apart = [entry for entry in self.entries("quarantine") if entry.rows]
            kept = [Landed(entry.day, path, entry.rows, "", self.landing) for entry in apart]
            if not kept:
                unneeded.append(path)
            self._tables["intake"] = (schema, kept)
        # Even a commit that fails may have taken effect: readers may see the files from here on, so they stay.
        _LOG.info("committing landing %s", self.landing)
        begun, self._begun = self._begun, []
        try:
            left_out = self.lake.commit(self.landing, self._tables, replacing=replacing or (), key=key)
        except (ConfigurationError, DataRefusedError):
            self._begun = begun
            raise
        for path in (*unneeded, *(entry.path for table in left_out for entry in self.entries(table))):
            filesystem.delete(self.spark, self.lake.path(path))
        return left_out

    def discard(self) -> None:
        """Delete whatever was staged and not committed."""
        for path in self._begun:
            filesystem.delete(self.spark, self.lake.path(path))
        self._begun.clear()

    def _path(self, table: str) -> str:
        self._begun.append(f"{table}/landing={self.landing}")
        return self._begun[-1]


@contextmanager
def staging(spark: SparkSession, lake: Lake, landing: str) -> Iterator[Staging]:
    """Yield a staging area; what was staged is deleted if the block fails."""
    staged = Staging(spark, lake, landing)
    try:
        yield staged
    except BaseException:
        staged.discard()
        raise
