"""The inputs of a batch: enough to tell whether two batches had the same ones, small enough for a pointer."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from refit.batches.pointer import LIVE, read_pointer
from refit.config import Shop
from refit.digests import digest_of
from refit.interfaces import ModelVersion
from refit.lake.as_of import days_before
from refit.lake.lake import SNAPSHOTS, Lake
from refit.storage.object_store import ObjectStore


def made_from(lake: Lake, shop: Shop, champion: ModelVersion, as_of: datetime, code: str) -> dict[str, Any]:
    """
    Return the inputs of the lists as of *as_of*, as currently landed; *code* is the code version.

    Equal data have equal digests, no matter when and how often they were landed.
    """
    days = days_before(lake, as_of)
    snapshots = {table: lake.snapshot(table, as_of) for table in SNAPSHOTS}
    return {
        "as_of": as_of.isoformat(),
        "days": len(days),
        "newest_day": days[-1].day if days else None,
        "events": sum(day.rows for day in days),
        "interactions_sha256": digest_of([[day.day, day.rows, day.digest] for day in days]),
        **{f"{table}_sha256": landed.digest if landed else None for table, landed in snapshots.items()},
        "champion": champion.version,
        "champion_digest": champion.digest,
        "shop_sha256": digest_of(shop.model_dump(mode="json", exclude={"folder"})),
        "code": code,
    }


def is_live(store: ObjectStore, inputs: dict[str, Any]) -> bool:
    """Return whether the live lists in *store* were made from *inputs*, so that new ones would be identical."""
    stored = store.get(LIVE)
    return stored is not None and read_pointer(stored.content, f"{store.address}/{LIVE}").made_from == inputs


def inputs_as_of(lake: Lake, shop: Shop, as_of: datetime) -> dict[str, Any]:
    """
    Return the inputs of the list gate that describe the data, as plain JSON values; only the catalogue is read.

    `newest_event_day` is the last day before *as_of* with an event, or the last landed day in a shop where empty days
    are normal, or null; `stale_days` is the number of open days since then; `eligible` is the number of people who may
    be served, null without a users table; `rules` is a digest of `[lists]`.
    """
    people = lake.snapshot("users", as_of)
    known = [day.day for day in days_before(lake, as_of) if day.rows or shop.calendar.empty_days_are_normal]
    newest = max(map(date.fromisoformat, known), default=None)
    today = shop.calendar.day_of(as_of)
    missing = None if newest is None else shop.calendar.open_days(newest + timedelta(days=1), today)
    return {
        "newest_event_day": None if newest is None else newest.isoformat(),
        "stale_days": None if missing is None else len(missing),
        "eligible": None if people is None else people.rows,
        "rules": digest_of(shop.lists.rules),
    }
