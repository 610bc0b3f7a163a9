"""
The catalogue of a lake: a small head that is compared and swapped, and shards that never change.

The head names one shard for each month of each table, by the digest of its content. A reader gets the head and the
shards of the months that it needs, and may cache shards forever, because other content has another name. A writer
stores new shards beside the old ones and then swaps the head, so a reader sees all of a landing or nothing.

A catalogue in the old format, one object with everything, can be read; the next writer splits it into shards.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

from pyspark.sql.types import StructType

from refit.digests import canonical_json, sha256
from refit.errors import ConfigurationError, ConflictError, DamagedBatchError, NotFoundError
from refit.lake.schema_widening import DaySchema
from refit.storage.object_store import ObjectStore

FORMAT = "refit-catalog/2"
_MONTH = len("2026-01")
_NAME = 32
"""Hexadecimal digits of SHA-256 in an object's name: 128 bits."""


@dataclass(frozen=True)
class Landed:
    """One landed version of one day of a table, or of a whole snapshot."""

    day: str
    """Day of the events (YYYY-MM-DD); for a snapshot the day before which it was taken."""
    path: str
    """Folder relative to the root of the lake; empty for a day without rows."""
    rows: int
    digest: str
    """Digest of the rows, independent of their order."""
    landing: str
    schema: str = field(default="", compare=False)
    """Name of the files' schema; empty until the commit, and in old records that did not store it."""


Days = Mapping[str, Landed]
Found = TypeVar("Found")


@dataclass(frozen=True)
class Shard:
    """The entries of one month of one table, and their schemas."""

    name: str
    schemas: Mapping[str, str]
    """Name of a schema -> first day with it; days without rows have none."""


@dataclass(frozen=True)
class Head:
    """The catalogue at one moment."""

    etag: str | None
    shards: Mapping[str, Mapping[str, Shard]]
    """Table -> month -> its shard."""
    facts: Mapping[str, Any]
    """Other facts, such as the fingerprints of pseudonym keys."""
    unwritten: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Objects that are named but not stored yet, because the head was made from a catalogue in the old format."""

    def months(self, table: str) -> list[str]:
        """Return the months (YYYY-MM) of *table* with landed entries, oldest first."""
        return sorted(self.shards.get(table, {}))

    def schemas(self, table: str) -> list[tuple[str, str]]:
        """Return each schema of *table* with one day that has it."""
        return [found for shard in self.shards.get(table, {}).values() for found in shard.schemas.items()]

    def keys(self, folder: str) -> set[str]:
        """Return the keys of all shards that the head names; *folder* holds the catalogue's objects."""
        return {
            f"{folder}/{table}/{month}-{shard.name}.json"
            for table, months in self.shards.items()
            for month, shard in months.items()
        }


class OvertakenError(ConflictError):
    """Another writer changed the catalogue first."""


class _ShardGoneError(NotFoundError):
    """A shard that the head names does not exist, or no longer exists."""


@dataclass
class Catalog:
    """The catalogue under one key of a store, with a cache of what was read."""

    store: ObjectStore
    key: str
    _head: Head | None = None
    _shards: dict[str, Days] = field(default_factory=dict)
    _schemas: dict[str, StructType] = field(default_factory=dict)
    _before: Mapping[str, str] | None = None

    @property
    def folder(self) -> str:
        """Folder of shards and schemas."""
        return self.key.removesuffix(".json")

    def head(self) -> Head:
        """Return the current catalogue; one request, and an unchanged head is not parsed again."""
        stored = self.store.get(self.key)
        if stored is None:
            return Head(None, {}, {})
        if self._head is None or self._head.etag != stored.etag:
            self._head = self._parsed(stored.content, stored.etag)
        return self._head

    def reading(self, look: Callable[[Head], Found]) -> Found:
        """
        Return what *look* finds in the current catalogue.

        A missing shard was replaced and collected after its head was read, so *look* is called again with the current
        head; DamagedBatchError if the head has not changed.
        """
        head = self.head()
        while True:
            try:
                return look(head)
            except _ShardGoneError as error:
                lost, head = head, self.head()
                if head.etag == lost.etag:
                    raise DamagedBatchError(
                        f"{self.store.address}/{self.key} names {error}, which is not there; restore it, or the "
                        "catalogue of a moment at which it was"
                    ) from error

    def days(self, head: Head, table: str, months: Iterable[str]) -> dict[str, Landed]:
        """Return day -> entry for the given months of *table* in *head*."""
        shards = head.shards.get(table, {})
        return {day: entry for month in months for day, entry in self._shard(table, month, shards[month].name).items()}

    def schema(self, table: str, entry: Landed) -> StructType:
        """Return the columns of the files of *entry*; NotFoundError if their schema is no longer stored."""
        name = entry.schema or self._names_of_before().get(f"{table}/{entry.landing}", "")
        if name not in self._schemas:
            stored = self.store.get(self._schema_key(name)) if name else None
            if stored is None:
                raise NotFoundError(
                    f"{self.store.address}/{self.folder}: the columns of {table} of {entry.day}, landing "
                    f"{entry.landing}, are not known any more; land the day again"
                )
            self._schemas[name] = StructType.fromJson(json.loads(stored.content))
        return self._schemas[name]

    def day_schemas(self, head: Head, table: str) -> list[DaySchema]:
        """Return the distinct schemas of the days of *table*, each with one of its days."""
        first: dict[str, str] = {}
        for name, day in head.schemas(table):
            first[name] = min(day, first.get(name, day))
        return [DaySchema(day, self.schema(table, Landed(day, "", 0, "", "", name))) for name, day in first.items()]

    def changed(self, head: Head, tables: Mapping[str, Mapping[str, Landed | None]], by: str) -> Head:
        """
        Return *head* with the given days of each table replaced; a day mapped to None is removed.

        *by* is the writer's id. It makes shard names unique to a writer, so an unnamed shard can be deleted without
        checking whether another writer is about to name it again.
        """
        shards = {table: dict(months) for table, months in head.shards.items()}
        unwritten = dict(head.unwritten)
        for table, days in tables.items():
            own = shards.setdefault(table, {})
            for month in sorted({day[:_MONTH] for day in days}):
                known = dict(self.days(head, table, [month] if month in own else []))
                for day, entry in days.items():
                    if day[:_MONTH] == month:
                        known.pop(day, None)
                        known.update({day: entry} if entry else {})
                own.pop(month, None)
                if known:
                    own[month], content = _shard_of(known, by)
                    self._shards[own[month].name] = known
                    unwritten[self._shard_key(table, month, own[month].name)] = content
        return replace(head, shards=shards, unwritten=unwritten)

    def named(self, head: Head, schema: StructType) -> tuple[Head, str]:
        """Store *schema* with *head*; return the new head and the schema's name."""
        name, content = named_schema(schema)
        self._schemas[name] = schema
        return replace(head, unwritten={**head.unwritten, self._schema_key(name): content}), name

    def swap(self, head: Head) -> None:
        """Make *head* the current catalogue; OvertakenError if the head it was made from is no longer current."""
        named = head.keys(self.folder)
        for key, content in head.unwritten.items():
            if key in named or key.startswith((f"{self.folder}/schemas/", f"{self.folder}/before/")):
                self.store.create(key, content)
        shards = {
            table: {month: [shard.name, dict(shard.schemas)] for month, shard in months.items()}
            for table, months in head.shards.items()
            if months
        }
        body = {**head.facts, "format": FORMAT, "shards": shards}
        try:
            self.store.swap(self.key, canonical_json(body), expected=head.etag)
        except ConflictError as error:
            raise OvertakenError(str(error)) from error

    def _shard(self, table: str, month: str, name: str) -> Days:
        if name not in self._shards:
            stored = self.store.get(self._shard_key(table, month, name))
            if stored is None:
                raise _ShardGoneError(self._shard_key(table, month, name))
            self._shards[name] = {day: Landed(**entry) for day, entry in json.loads(stored.content)["days"].items()}
        return self._shards[name]

    def _shard_key(self, table: str, month: str, name: str) -> str:
        return f"{self.folder}/{table}/{month}-{name}.json"

    def _schema_key(self, name: str) -> str:
        return f"{self.folder}/schemas/{name}.json"

    def _before_key(self, name: str) -> str:
        return f"{self.folder}/before/{name}.json"

    def _names_of_before(self) -> Mapping[str, str]:
        """Return table/landing -> name of the schema, for old landings whose entries do not name it."""
        if self._before is None:
            name = self.head().facts.get("before")
            stored = self.store.get(self._before_key(name)) if name and self._before is None else None
            if self._before is None:
                self._before = json.loads(stored.content) if stored else {}
        return self._before

    def _parsed(self, content: bytes, etag: str) -> Head:
        body = json.loads(content)
        if "format" not in body and "tables" in body:
            return self._cut(body, etag)
        if body.get("format") != FORMAT:
            raise ConfigurationError(
                f"{self.store.address}/{self.key} has the format {body.get('format')!r}, this version of Refit reads "
                f"{FORMAT!r} and the one before it; use the version that wrote it"
            )
        shards = {
            table: {month: Shard(name, schemas) for month, (name, schemas) in months.items()}
            for table, months in body.pop("shards").items()
        }
        return Head(etag, shards, body)

    def _cut(self, body: dict[str, Any], etag: str) -> Head:
        """Convert a catalogue in the old format, one object with everything, to a head."""
        tables, schemas = body.pop("tables"), body.pop("schemas")
        names, unwritten = {}, {}
        for landing, text in schemas.items():
            schema = StructType.fromJson(json.loads(text))
            names[landing], content = named_schema(schema)
            unwritten[self._schema_key(names[landing])] = content
            self._schemas[names[landing]] = schema
        content = canonical_json(names)
        before = sha256(content)[:_NAME]
        self._before = names
        unwritten[self._before_key(before)] = content
        entries = {
            table: {
                day: Landed(**{**entry, "schema": names.get(f"{table}/{entry['landing']}", "")})
                for day, entry in days.items()
            }
            for table, days in tables.items()
        }
        return self.changed(Head(etag, {}, {**body, "before": before}, unwritten), entries, "before")


def named_schema(schema: StructType) -> tuple[str, bytes]:
    """Return the name of *schema* and its stored bytes."""
    content = canonical_json(schema.jsonValue())
    return sha256(content)[:_NAME], content


def _shard_of(days: Days, by: str) -> tuple[Shard, bytes]:
    content = canonical_json({"by": by, "days": {day: asdict(entry) for day, entry in days.items()}})
    first: dict[str, str] = {}
    for day in sorted(days):
        if days[day].path:
            first.setdefault(days[day].schema, day)
    return Shard(sha256(content)[:_NAME], first), content
