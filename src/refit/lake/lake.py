"""
The lake: immutable landings of each table, and one catalogue that says which landing of each day is current.

A landing writes into its own folder and becomes visible by one compare-and-swap of the catalogue. So a reader sees each
day either before or after a landing, and landing a day again replaces exactly that day.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import reduce

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from refit.clocks.shop_clock import ShopClock
from refit.errors import ConfigurationError, ConflictError, NotFoundError
from refit.lake.catalog import Catalog, Found, Head, Landed, OvertakenError
from refit.lake.pseudonyms import PseudonymKey
from refit.lake.schema_widening import DaySchema, stored_schema, widest_schema
from refit.storage.object_store import ObjectStore

__all__ = ["SNAPSHOTS", "Contents", "Lake", "Landed"]

SNAPSHOTS = ("items", "users")
"""Tables that each landing stores whole, as of the end of its interval."""

_ZONE = "zone"
"""Catalogue entry with the time zone in which days are cut; a lake without it uses UTC."""
_MONTH = len("2026-01")
_TRIES = 20
"""Number of compare-and-swap attempts; each lost attempt means that another landing succeeded."""


@dataclass(frozen=True)
class Contents:
    """Everything that a catalogue names."""

    tables: Mapping[str, Sequence[Landed]]
    """Table -> its current entries."""
    shards: Set[str]
    """Keys of the catalogue's shards."""


@dataclass(frozen=True)
class Lake:
    """The clean data of one shop."""

    root: str
    catalog: str
    """Key of the catalogue in *store*."""
    store: ObjectStore
    clock: ShopClock = field(default_factory=ShopClock)
    """The shop's clock, which determines its days."""
    _catalog: Catalog = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_catalog", Catalog(self.store, self.catalog))

    def path(self, relative: str) -> str:
        """Return the absolute address of the path *relative* in the lake."""
        return f"{self.root}/{relative}"

    def days(self, table: str, since: datetime, until: datetime) -> list[Landed]:
        """Return the current version of each landed day in [since, until), oldest first."""
        first, last = (self.clock.day_of(at).isoformat()[:_MONTH] for at in (since, until))
        entries = self._entries(table, lambda months: [month for month in months if first <= month <= last])
        return [entries[day] for day in sorted(entries) if self._in(day, since, until)]

    def newest_day(self, table: str) -> date | None:
        """Return the newest landed day of *table*, or None if there is none."""
        entries = self._entries(table, _newest)
        return date.fromisoformat(max(entries)) if entries else None

    def newest_snapshot(self, table: str) -> Landed | None:
        """Return the newest snapshot of *table*, or None if there is none."""
        entries = self._entries(table, _newest)
        return entries[max(entries)] if entries else None

    def snapshot(self, table: str, as_of: datetime) -> Landed | None:
        """
        Return the newest snapshot taken not after *as_of*, or the oldest one if all are younger.

        A history landed in one interval has only a young snapshot, so the caller must leave out items listed at or
        after *as_of*.
        """
        last = self.clock.day_of(as_of).isoformat()

        def near(months: Sequence[str]) -> Sequence[str]:
            """Choose the newest two months with a snapshot up to the month of *as_of*, or else the first month."""
            return [month for month in months if month <= last[:_MONTH]][-2:] or months[:1]

        entries = self._entries(table, near)
        known = [day for day in entries if day <= last]
        chosen = max(known) if known else min(entries, default=None)
        return entries[chosen] if chosen else None

    def read(self, spark: SparkSession, table: str, landed: Iterable[Landed]) -> DataFrame:
        """
        Return the rows of the given versions with the union of their columns, each in the widest type it has in any.

        Raises:
            NotFoundError: none of the versions has a row.
            IncompatibleTypesError: a column has types without a common type.
        """
        chosen = [entry for entry in landed if entry.path]
        if not chosen:
            raise NotFoundError(f"{self.root}: nothing is landed for the asked days; land them first")
        own = {entry.landing: self.schema(table, entry) for entry in chosen}
        wide = widest_schema(table, (DaySchema(entry.day, own[entry.landing]) for entry in chosen))
        groups: dict[str, list[Landed]] = {}
        for entry in chosen:
            groups.setdefault(stored_schema(wide, own[entry.landing]).json(), []).append(entry)
        return reduce(DataFrame.union, (self._files(spark, stored, group, wide) for stored, group in groups.items()))

    def schema(self, table: str, landed: Landed) -> StructType:
        """Return the columns of the files of one version; NotFoundError if their schema is no longer stored."""
        return self._catalog.schema(table, landed)

    def require_key(self, key: PseudonymKey) -> None:
        """Raise ConfigurationError if the lake was landed with another key of the same version."""
        self._reading(lambda head: self._require_key(head, key))

    def commit(
        self,
        landing: str,
        tables: Mapping[str, tuple[StructType, Iterable[Landed]]],
        *,
        replacing: Iterable[Landed] = (),
        key: PseudonymKey | None = None,
    ) -> list[str]:
        """
        Make the days and snapshots of one landing current in one step; *tables* gives schema and entries of each.

        A snapshot is left out if a younger one is landed: re-landing an old day reads today's catalogue, and the past
        must keep its own. Returns the tables whose snapshots were left out. *key* made the landing's pseudonyms.

        Raises:
            ConflictError: *replacing*, the days of interactions that the landing was made from, are no longer current.
            ConfigurationError: the lake was landed with another key of that version.
            IncompatibleTypesError: a column has a type that cannot be combined with that of other landed days.
        """
        replacing = list(replacing)
        new = {name: (schema, list(entries)) for name, (schema, entries) in tables.items()}
        return self._changing(lambda head: self._put(head, landing, new, replacing, key), f"landing {landing}")

    def forget(self, tables: Mapping[str, Iterable[Landed]], by: str) -> None:
        """
        Remove the given versions from the catalogue if they are still current; their files stay.

        *by* is the id of the writer, like that of a landing.
        """
        old = {name: list(entries) for name, entries in tables.items()}

        def drop(head: Head) -> None:
            for name, entries in old.items():
                months = {entry.day[:_MONTH] for entry in entries} & set(head.months(name))
                known = self._catalog.days(head, name, sorted(months))
                gone = {entry.day: None for entry in entries if known.get(entry.day) == entry}
                head = self._catalog.changed(head, {name: gone}, by) if gone else head
            self._catalog.swap(head)

        self._changing(drop, f"forgetting versions for {by}")

    def contents(self) -> Contents:
        """Return everything that the catalogue names at one moment."""
        catalog = self._catalog
        return self._reading(
            lambda head: Contents(
                {table: list(catalog.days(head, table, head.months(table)).values()) for table in head.shards},
                head.keys(catalog.folder),
            )
        )

    def _changing(self, change: Callable[[Head], Found], what: str) -> Found:
        """Call *change*, which swaps the catalogue, until no other writer is faster, and return its result."""
        for _ in range(_TRIES):
            try:
                return self._reading(change)
            except OvertakenError:
                continue
        raise ConflictError(f"{self.root}: the catalogue changed {_TRIES} times while {what}; try again")

    def _put(
        self,
        head: Head,
        landing: str,
        tables: Mapping[str, tuple[StructType, Sequence[Landed]]],
        replacing: Sequence[Landed],
        key: PseudonymKey | None,
    ) -> list[str]:
        """Add *tables* to *head* and return the tables that were left out; see `commit`."""
        self._require_current(head, replacing)
        if key is not None:
            self._require_key(head, key)
            keys = {**head.facts.get("keys", {}), key.version: key.fingerprint}
            head = replace(head, facts={**head.facts, "keys": keys})
        if self.clock.zone != "UTC":
            head = replace(head, facts={**head.facts, _ZONE: self.clock.zone})
        left_out = [
            name for name, (_, entries) in tables.items() if name in SNAPSHOTS and self._is_old(head, name, entries)
        ]
        for name, (schema, entries) in tables.items():
            if name in left_out:
                continue
            head, named = self._catalog.named(head, schema)
            days = {entry.day: replace(entry, schema=named) for entry in entries}
            head = self._catalog.changed(head, {name: days}, landing)
            if name not in SNAPSHOTS:
                widest_schema(name, self._catalog.day_schemas(head, name))
        self._catalog.swap(head)
        return left_out

    def _require_current(self, head: Head, replacing: Sequence[Landed]) -> None:
        """Raise ConflictError unless *replacing*, days of interactions, are current in *head*."""
        months = {entry.day[:_MONTH] for entry in replacing} & set(head.months("interactions"))
        current = self._catalog.days(head, "interactions", sorted(months))
        changed = [entry.day for entry in replacing if current.get(entry.day) != entry]
        if changed:
            raise ConflictError(
                f"{self.root}: {', '.join(changed[:5])} was landed again meanwhile; nothing was changed, run it again"
            )

    def _is_old(self, head: Head, table: str, entries: Sequence[Landed]) -> bool:
        """Return whether a younger snapshot exists, unless *entries* were committed by an earlier attempt."""
        months = head.months(table)
        newest = max(self._catalog.days(head, table, months[-1:]), default="")
        if all(entry.day >= newest for entry in entries):
            return False
        own = sorted({entry.day[:_MONTH] for entry in entries} & set(months))
        known = self._catalog.days(head, table, own)
        return any(known.get(entry.day) != entry for entry in entries)

    def _files(self, spark: SparkSession, stored: str, entries: Iterable[Landed], wide: StructType) -> DataFrame:
        """Return the rows of files of the schema *stored*, cast to the schema *wide*."""
        schema = StructType.fromJson(json.loads(stored))
        frame = spark.read.schema(schema).parquet(*[self.path(entry.path) for entry in entries])
        if schema == wide:
            return frame
        return frame.select(*[F.col(f"`{field.name}`").cast(field.dataType).alias(field.name) for field in wide.fields])

    def _require_key(self, head: Head, key: PseudonymKey) -> None:
        known = head.facts.get("keys", {}).get(key.version, key.fingerprint)
        if known != key.fingerprint:
            raise ConfigurationError(
                f"the pseudonym key {key.version!r} is not the one with which {self.root} was landed (fingerprint "
                f"{key.fingerprint[:12]}, the lake has {known[:12]}), so everybody would become a stranger; set "
                "REFIT_PSEUDONYM_KEY to the key of before, or REFIT_PSEUDONYM_KEY_VERSION to a new version and land "
                "the history again"
            )

    def _entries(self, table: str, which: Callable[[Sequence[str]], Sequence[str]]) -> dict[str, Landed]:
        """Return day -> entry for the months of *table* that *which* selects, oldest first."""
        catalog = self._catalog
        return self._reading(lambda head: catalog.days(head, table, which(head.months(table))))

    def _reading(self, look: Callable[[Head], Found]) -> Found:
        """Return what *look* finds in the current catalogue; ConfigurationError if its days use another time zone."""

        def checked(head: Head) -> Found:
            self._require_zone(head)
            return look(head)

        return self._catalog.reading(checked)

    def _in(self, day: str, since: datetime, until: datetime) -> bool:
        named = date.fromisoformat(day)
        return self.clock.day_of(since) <= named and self.clock.start_of(named) < until

    def _require_zone(self, head: Head) -> None:
        zone = head.facts.get(_ZONE, "UTC")
        if head.shards and zone != self.clock.zone:
            raise ConfigurationError(
                f"{self.root}: its days are cut by the clock of {zone}, those of the shop by that of {self.clock.zone} "
                "(calendar.time_zone); land the days again into an empty lake (REFIT_LAKE), or set the time zone back"
            )


def _newest(months: Sequence[str]) -> Sequence[str]:
    return months[-1:]
