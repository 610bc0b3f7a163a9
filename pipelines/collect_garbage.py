"""
Step: delete published lists that nobody can need any more.

Reads:  `[retention]` of the shop, the pointers, the keys of every batch.
Writes: the horizon in the pointers, by compare-and-swap; then it deletes batches: those that no pointer names, refused
        and unfinished ones among them, and those that only the pointer of a date has named for too long.
Re-run: safe; an interrupted collection is finished by the next one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pipelines import wiring
from pipelines.parameters import CollectedAt
from refit.config import Shop
from refit.publication.retention import tidy
from refit.storage.object_store import ObjectStore


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    horizon: str
    """Stamp: no batch that was begun before it goes live any more."""
    batches_deleted: int
    batches_kept: int
    objects_deleted: int
    uploads_aborted: int
    """Uploads in parts that somebody had begun and not finished."""


def run(now: datetime, *, shop: Shop, store: ObjectStore) -> Receipt:
    """Delete what the shop does not keep as of *now*."""
    return Receipt(**asdict(tidy(store, shop.retention, now)))


def main(now: CollectedAt = None) -> dict[str, Any]:
    """Delete with the real collaborators."""
    return asdict(run(now or datetime.now(UTC), shop=wiring.shop(), store=wiring.lists()))
