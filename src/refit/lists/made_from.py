"""What a batch is made from: enough to tell whether two batches had the same inputs, small enough for a pointer."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from refit.as_of import days_before
from refit.config import Shop
from refit.digests import digest_of
from refit.interfaces import ModelVersion, ObjectStore
from refit.lake import SNAPSHOTS, Lake
from refit.publication.pointer import LIVE, read_pointer


def made_from(lake: Lake, shop: Shop, champion: ModelVersion, as_of: datetime, code: str) -> dict[str, Any]:
    """
    Return the inputs of the lists as of *as_of*, as they are landed now; *code* is the version of the code.

    Equal data have equal digests, whenever and however often they were landed.
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
    """Return whether the live lists in *store* are made from these *inputs*, so that new ones would be the same."""
    stored = store.get(LIVE)
    return stored is not None and read_pointer(stored.content, f"{store.address}/{LIVE}").made_from == inputs
