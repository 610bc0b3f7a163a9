"""
The lake: immutable landings of each table and one catalogue that says which landing of each day is current.

A landing writes into a folder of its own and becomes visible by one compare-and-swap of the catalogue, so a reader sees
a day as it was before or as it is after, and landing a day again replaces exactly that day.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from refit.digests import canonical_json, digest_of
from refit.errors import ConflictError, NotFoundError
from refit.interfaces import ObjectStore

_TRIES = 20
"""Compare-and-swap is tried so often; each lost try means that another landing has succeeded."""


@dataclass(frozen=True)
class Landed:
    """One landed version of one day of a table, or of a whole snapshot."""

    day: str
    """Day of the events (YYYY-MM-DD); for a snapshot the day before which it was taken."""
    path: str
    """Folder relative to the root of the lake; empty for a day without rows."""
    rows: int
    digest: str
    """Digest of the rows in any order; equal rows have equal digests."""
    landing: str


@dataclass(frozen=True)
class Lake:
    """The clean data of one shop."""

    root: str
    catalog: str
    """Key of the catalogue in *store*."""
    store: ObjectStore

    def path(self, relative: str) -> str:
        """Return the absolute address of a place in the lake."""
        return f"{self.root}/{relative}"

    def days(self, table: str, since: datetime, until: datetime) -> list[Landed]:
        """Return the current version of each landed day in [since, until), oldest first."""
        entries = self._entries(table)
        return [entries[day] for day in sorted(entries) if _in(day, since, until)]

    def newest_day(self, table: str) -> date | None:
        """Return the newest landed day of *table*."""
        return max((date.fromisoformat(day) for day in self._entries(table)), default=None)

    def newest_snapshot(self, table: str) -> Landed | None:
        """Return the newest snapshot of *table*, or None when there is none."""
        entries = self._entries(table)
        return entries[max(entries)] if entries else None

    def snapshot(self, table: str, as_of: datetime) -> Landed | None:
        """
        Return the newest snapshot taken not after *as_of*, or the oldest one when all are younger.

        A history landed in one go has only a young snapshot; the caller must leave out what was listed at or after
        *as_of*.
        """
        entries = self._entries(table)
        known = [day for day in sorted(entries) if day <= as_of.date().isoformat()]
        chosen = known[-1] if known else min(entries, default=None)
        return entries[chosen] if chosen else None

    def read(self, spark: SparkSession, table: str, landed: Iterable[Landed]) -> DataFrame:
        """Return the rows of the given versions; NotFoundError when none of them has a row."""
        chosen = [entry for entry in landed if entry.path]
        if not chosen:
            raise NotFoundError(f"{self.root}: nothing is landed for the asked days; land them first")
        schemas = self._load()[1]["schemas"]
        names = sorted({f"{table}/{entry.landing}" for entry in chosen})
        wide = reduce(_union, (StructType.fromJson(json.loads(schemas[name])) for name in names))
        return spark.read.schema(wide).parquet(*[self.path(entry.path) for entry in chosen])

    def commit(
        self,
        landing: str,
        tables: Mapping[str, tuple[StructType, Iterable[Landed]]],
        *,
        replacing: Iterable[Landed] = (),
    ) -> None:
        """
        Make the days and snapshots of one landing current, all at once; *tables* gives schema and entries each.

        Raises:
            ConflictError: *replacing*, days of interactions that the landing was made from, are not current any more.
        """
        new = {name: {entry.day: asdict(entry) for entry in entries} for name, (_, entries) in tables.items()}
        made_from = [asdict(entry) for entry in replacing]
        for _ in range(_TRIES):
            etag, catalog = self._load()
            current = catalog["tables"].get("interactions", {})
            changed = [entry["day"] for entry in made_from if current.get(entry["day"]) != entry]
            if changed:
                raise ConflictError(
                    f"{self.root}: {', '.join(changed[:5])} was landed again meanwhile; "
                    "nothing was changed, run it again"
                )
            for name, (schema, _) in tables.items():
                catalog["tables"].setdefault(name, {}).update(new[name])
                catalog["schemas"][f"{name}/{landing}"] = schema.json()
            try:
                self.store.swap(self.catalog, canonical_json(catalog), expected=etag)
            except ConflictError:
                continue
            return
        raise ConflictError(f"{self.root}: the catalogue changed {_TRIES} times while landing {landing}; try again")

    def _load(self) -> tuple[str | None, dict[str, Any]]:
        stored = self.store.get(self.catalog)
        if stored is None:
            return None, {"tables": {}, "schemas": {}}
        return stored.etag, json.loads(stored.content)

    def _entries(self, table: str) -> dict[str, Landed]:
        days: Mapping[str, Mapping[str, Any]] = self._load()[1]["tables"].get(table, {})
        return {day: Landed(**entry) for day, entry in days.items()}


def content_digest(rows: int, total: int | None, schema: StructType) -> str:
    """Return the digest of a set of rows from their number, their `hash_sum` and their columns."""
    return digest_of({"rows": rows, "sum": str(total or 0), "columns": sorted(schema.names)})


def row_hash(columns: Iterable[str]) -> Column:
    """Return a 64-bit hash of a row; the order of *columns* is irrelevant."""
    return F.xxhash64(*[F.col(f"`{name}`") for name in sorted(columns)])


def hash_sum(columns: Iterable[str]) -> Column:
    """Return the sum of `row_hash` over rows as a decimal, exact for up to 2^31 rows."""
    hashed = row_hash(columns)
    # Summing two halves as longs is several times faster than summing decimals.
    high, low = F.sum(F.shiftright(hashed, 32)), F.sum(hashed.bitwiseAND(F.lit(0xFFFFFFFF)))
    wide = "decimal(38,0)"
    return high.cast(wide) * F.lit(2**32).cast("decimal(11,0)") + low.cast(wide)


def _union(left: StructType, right: StructType) -> StructType:
    return StructType([*left.fields, *(field for field in right.fields if field.name not in left.names)])


def _in(day: str, since: datetime, until: datetime) -> bool:
    start = datetime.combine(date.fromisoformat(day), time(), tzinfo=UTC)
    return since.date() <= start.date() and start < until
