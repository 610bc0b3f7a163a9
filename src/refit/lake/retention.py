"""
What the lake keeps: current data, the data behind kept training sets, and everything else for some time.

No collection deletes what it is the first to find unnamed. It records the instant, and a later collection deletes the
object if it is still unnamed after the shop's retention period. So running landings and readers keep their files, and
one wrong clock reading deletes nothing that was named until then.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from refit.config import Shop
from refit.config.retention import LakeRetention
from refit.digests import canonical_json
from refit.lake.lake import SNAPSHOTS, Contents, Lake, Landed
from refit.lake.summaries import FOLDER as _SUMMARIES
from refit.lake.summaries import named_units
from refit.storage.object_store import ObjectStore
from refit.storage.store_clock import read_clock, require_past

_MONTH = len("2026-01")
_SETS = "training_sets"
REPLAYS = "replays"
"""Scratch folder of `replay_drift`, which deletes its own part at the end unless it is killed."""
_WHOLE = ("intake", *SNAPSHOTS, "reports", REPLAYS)
"""Folders with one subfolder per landing or replay, which is kept or deleted whole."""
_KINDS = {
    "interactions": "versions",
    "intake": "intakes",
    "items": "snapshots",
    "users": "snapshots",
    "reports": "reports",
    _SETS: "training_sets",
    _SUMMARIES: "summaries",
    REPLAYS: "replays",
}


@dataclass(frozen=True, kw_only=True)
class CollectedLake:
    """Counts of what was deleted."""

    versions_deleted: int
    """Replaced versions of days, and remains of landings that never became visible."""
    intakes_deleted: int
    snapshots_deleted: int
    reports_deleted: int
    training_sets_deleted: int
    """Parts of training sets: rows, trials of a tuning, manifest with profiles."""
    summaries_deleted: int
    """Parts of summaries of days before the training window: rows, manifest."""
    replays_deleted: int
    """Scratch folders of killed drift replays."""
    catalogue_deleted: int
    """Replaced catalogue objects."""
    objects_deleted: int
    waiting: int
    """Objects that are no longer named and whose retention period has not ended."""


def collect(lake: Lake, shop: Shop, champions: Mapping[str, bool], now: datetime, by: str) -> CollectedLake:
    """
    Delete what the shop's `retention.lake` does not keep as of *now*.

    *champions* maps the digest of each champion's training set to whether its rows must stay, and not only its
    manifest. *by* is a unique id of this collection.

    Raises:
        AheadOfClockError: *now* is after the clock of the lake's store.
    """
    retention, clock = shop.retention.lake, read_clock(lake.store, lake.catalog)
    require_past("now", now, clock)
    now = min(now, clock)
    contents, keys = lake.contents(), lake.store.keys("")
    folder = lake.catalog.removesuffix(".json")
    periods = {"intake": retention.quarantine_days, **dict.fromkeys(SNAPSHOTS, retention.snapshots_days)}
    expired = {
        table: list(_expired(table, contents, lake.clock.day_of(now - timedelta(days=days)).isoformat()))
        for table, days in periods.items()
    }
    named = {*_named_by_catalogue(contents, expired), *contents.shards}
    named |= _named_by_sets(lake.store, keys, retention, champions, now)
    landed = sorted(contents.tables.get("interactions", ()), key=lambda day: day.day)
    named |= named_units(lake, landed, lake.clock, shop.training.window_days, shop.serving_events)
    units: dict[str, list[str]] = {}
    for key in keys:
        unit = unit_of(key, folder)
        if unit and unit not in named:
            units.setdefault(unit, []).append(key)
    since = _note(lake.store, f"{folder}/unnamed.json", units, now)
    due = sorted(unit for unit in units if now - since[unit] >= timedelta(days=retention.replaced_days))
    forgotten = {table: [entry for entry in old if _unit(entry) in due] for table, old in expired.items()}
    if any(forgotten.values()):
        lake.forget(forgotten, by)
    # Delete the manifest of a training set before its rows: without one it counts as unfinished.
    for unit in due:
        for key in units[unit]:
            lake.store.delete(key)
    counts = Counter(_KINDS.get(unit.partition("/")[0], "catalogue") for unit in due)
    return CollectedLake(
        **{f"{kind}_deleted": counts[kind] for kind in sorted({*_KINDS.values(), "catalogue"})},
        objects_deleted=sum(len(units[unit]) for unit in due),
        waiting=len(units) - len(due),
    )


def unit_of(key: str, catalogue: str) -> str | None:
    """
    Return the folder or object that is kept or deleted whole with *key*; None for what always stays.

    >>> unit_of("interactions/landing=a1/event_date=2026-01-05/fate=kept/part-0.parquet", "catalog")
    'interactions/landing=a1/event_date=2026-01-05'
    >>> unit_of("catalog/schemas/0a1b.json", "catalog")
    """
    parts = key.split("/")
    if parts[0] == "interactions" and len(parts) > 2:
        return "/".join(parts[:3] if parts[2].startswith("event_date=") else parts[:2])
    if parts[0] in _WHOLE and len(parts) > 2:
        return "/".join(parts[:2])
    if parts[0] in {_SETS, _SUMMARIES} and len(parts) > 2:
        return "/".join(parts[:3] if len(parts) > 3 else parts[:2])
    is_shard = parts[0] == catalogue and len(parts) == 3 and parts[1] not in {"schemas", "before"}
    return key if is_shard else None


def _unit(entry: Landed) -> str | None:
    return unit_of(f"{entry.path}/-", "")


def _expired(table: str, contents: Contents, oldest: str) -> Iterator[Landed]:
    """Yield the current entries of *table* before the day *oldest* that the shop no longer keeps."""
    entries = sorted(contents.tables.get(table, ()), key=lambda entry: entry.day)
    if table == "intake":
        yield from (entry for entry in entries if entry.day < oldest)
        return
    month = ""
    for entry in entries[:-1]:
        if entry.day < oldest and entry.day[:_MONTH] == month:
            yield entry
        month = entry.day[:_MONTH]


def _named_by_catalogue(contents: Contents, expired: Mapping[str, Iterable[Landed]]) -> Iterator[str]:
    for table, entries in contents.tables.items():
        old = {entry.day for entry in expired.get(table, ())}
        for entry in entries:
            if entry.day in old:
                continue
            yield from _named_by(entry)
            yield f"reports/landing={entry.landing}"
            if table == "interactions":
                # Of a day all of whose events were left out there is no row to name, and what became of them.
                yield f"interactions/landing={entry.landing}/event_date={entry.day}"
                yield f"interactions/landing={entry.landing}"


def _named_by(entry: Landed) -> Iterator[str]:
    unit = _unit(entry)
    if unit:
        yield unit
        yield "/".join(unit.split("/")[:2])


def _named_by_sets(
    store: ObjectStore, keys: Iterable[str], retention: LakeRetention, champions: Mapping[str, bool], now: datetime
) -> set[str]:
    """Return the units of the kept training sets and of the data that they were made from."""
    keys, oldest = list(keys), now - timedelta(days=retention.training_sets_days)
    named: set[str] = set()
    for key in keys:
        if not key.startswith(f"{_SETS}/") or not key.endswith("/manifest.json"):
            continue
        stored = store.get(key)
        if stored is None:
            continue
        manifest: dict[str, Any] = json.loads(stored.content)
        young = datetime.fromisoformat(manifest["ingredients"]["as_of"]) >= oldest
        if not young and manifest["digest"] not in champions:
            continue
        set_folder = key.rpartition("/")[0]
        named.add(set_folder)
        for used in (*manifest["used"], *([manifest["users"]] if "users" in manifest else [])):
            named.update(_named_by(Landed(**used)))
        if young or champions[manifest["digest"]]:
            named.update(unit for other in keys if (unit := unit_of(other, "")) and unit.startswith(f"{set_folder}/"))
    return named


def _note(store: ObjectStore, key: str, units: Iterable[str], now: datetime) -> dict[str, datetime]:
    """Record and return since when each of *units* has been unnamed."""
    stored = store.get(key)
    before: dict[str, str] = json.loads(stored.content) if stored else {}
    since = {unit: before.get(unit, now.astimezone(UTC).isoformat()) for unit in units}
    if since != before:
        store.swap(key, canonical_json(since), expected=stored.etag if stored else None)
    return {unit: datetime.fromisoformat(text) for unit, text in since.items()}
