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

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from refit.digests import canonical_json
from refit.errors import ConfigurationError, ConflictError, NotFoundError
from refit.interfaces import ObjectStore
from refit.pseudonyms import PseudonymKey
from refit.widening import DaySchema, stored_schema, widest_schema

SNAPSHOTS = ("items", "users")
"""Tables of which each landing holds the whole, as it was known at the end of its interval."""

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
        """
        Return the rows of the given versions with all their columns, each of the widest type that it has in any.

        Raises:
            NotFoundError: none of the versions has a row.
            IncompatibleTypesError: a column has types that no type can hold together.
        """
        chosen = [entry for entry in landed if entry.path]
        if not chosen:
            raise NotFoundError(f"{self.root}: nothing is landed for the asked days; land them first")
        schemas = self._load()[1]["schemas"]
        own = {entry.landing: StructType.fromJson(json.loads(schemas[f"{table}/{entry.landing}"])) for entry in chosen}
        wide = widest_schema(table, (DaySchema(entry.day, own[entry.landing]) for entry in chosen))
        groups: dict[str, list[Landed]] = {}
        for entry in chosen:
            groups.setdefault(stored_schema(wide, own[entry.landing]).json(), []).append(entry)
        return reduce(DataFrame.union, (self._files(spark, stored, group, wide) for stored, group in groups.items()))

    def require_key(self, key: PseudonymKey) -> None:
        """Raise ConfigurationError when the lake was landed with another key of the same version."""
        self._require_key(self._load()[1].get("keys", {}), key)

    def commit(
        self,
        landing: str,
        tables: Mapping[str, tuple[StructType, Iterable[Landed]]],
        *,
        replacing: Iterable[Landed] = (),
        key: PseudonymKey | None = None,
    ) -> list[str]:
        """
        Make the days and snapshots of one landing current, all at once; *tables* gives schema and entries each.

        A snapshot is not filed under a day before which a younger one was taken: whoever lands an old day again knows
        the catalogue of today, and the past must go on seeing its own. The tables whose snapshots were left out are
        returned. *key* is the one that made the pseudonyms of the landing.

        Raises:
            ConflictError: *replacing*, days of interactions that the landing was made from, are not current any more.
            ConfigurationError: the lake was landed with another key of that version.
            IncompatibleTypesError: a column has a type that does not go together with that of other landed days.
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
            if key is not None:
                self._require_key(catalog.setdefault("keys", {}), key)
                catalog["keys"][key.version] = key.fingerprint
            left_out = []
            for name, (schema, _) in tables.items():
                known = catalog["tables"].setdefault(name, {})
                if name in SNAPSHOTS and _would_be_old(known, new[name]):
                    left_out.append(name)
                    continue
                known.update(new[name])
                catalog["schemas"][f"{name}/{landing}"] = schema.json()
                if name not in SNAPSHOTS:
                    _require_one_schema(name, known.values(), catalog["schemas"])
            try:
                self.store.swap(self.catalog, canonical_json(catalog), expected=etag)
            except ConflictError:
                continue
            return left_out
        raise ConflictError(f"{self.root}: the catalogue changed {_TRIES} times while landing {landing}; try again")

    def _files(self, spark: SparkSession, stored: str, entries: Iterable[Landed], wide: StructType) -> DataFrame:
        """Return the rows of files that have the types of the schema *stored*, with those of *wide*."""
        schema = StructType.fromJson(json.loads(stored))
        frame = spark.read.schema(schema).parquet(*[self.path(entry.path) for entry in entries])
        if schema == wide:
            return frame
        return frame.select(*[F.col(f"`{field.name}`").cast(field.dataType).alias(field.name) for field in wide.fields])

    def _require_key(self, fingerprints: Mapping[str, str], key: PseudonymKey) -> None:
        known = fingerprints.get(key.version, key.fingerprint)
        if known != key.fingerprint:
            raise ConfigurationError(
                f"the pseudonym key {key.version!r} is not the one with which {self.root} was landed (fingerprint "
                f"{key.fingerprint[:12]}, the lake has {known[:12]}), so everybody would become a stranger; set "
                "REFIT_PSEUDONYM_KEY to the key of before, or REFIT_PSEUDONYM_KEY_VERSION to a new version and land "
                "the history again"
            )

    def _load(self) -> tuple[str | None, dict[str, Any]]:
        stored = self.store.get(self.catalog)
        if stored is None:
            return None, {"tables": {}, "schemas": {}}
        return stored.etag, json.loads(stored.content)

    def _entries(self, table: str) -> dict[str, Landed]:
        days: Mapping[str, Mapping[str, Any]] = self._load()[1]["tables"].get(table, {})
        return {day: Landed(**entry) for day, entry in days.items()}


def _would_be_old(known: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Return whether *known* has a younger snapshot than *new*, and not *new* itself by a try whose answer was lost."""
    return max(known, default="") > max(new, default="") and any(known.get(day) != entry for day, entry in new.items())


def _require_one_schema(table: str, days: Iterable[Mapping[str, Any]], schemas: Mapping[str, str]) -> None:
    """Raise IncompatibleTypesError unless all *days* of *table* can be read together."""
    first: dict[str, str] = {}
    for day in sorted((day for day in days if day["path"]), key=lambda day: str(day["day"])):
        first.setdefault(schemas[f"{table}/{day['landing']}"], day["day"])
    widest_schema(table, (DaySchema(day, StructType.fromJson(json.loads(text))) for text, day in first.items()))


def _in(day: str, since: datetime, until: datetime) -> bool:
    start = datetime.combine(date.fromisoformat(day), time(), tzinfo=UTC)
    return since.date() <= start.date() and start < until
