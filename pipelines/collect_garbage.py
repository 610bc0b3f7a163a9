"""
Step: delete published lists that are no longer needed.

Reads:  `[retention]` of the shop, the pointers, the keys of every batch.
Writes: the horizon in the pointers, by compare-and-swap; then it deletes batches that no pointer names, including
        refused and unfinished ones, and old batches that only the pointer of a date names.
Re-run: safe; the next collection finishes an interrupted one.
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
    """Stamp: batches begun before it can no longer go live."""
    batches_deleted: int
    batches_kept: int
    objects_deleted: int
    uploads_aborted: int
    """Unfinished multipart uploads that were aborted."""


def run(now: datetime, *, shop: Shop, store: ObjectStore) -> Receipt:
    """Delete what the shop does not keep as of *now*."""
    return Receipt(**asdict(tidy(store, shop.retention, now)))


def main(now: CollectedAt = None) -> dict[str, Any]:
    """Delete with the real collaborators."""
    return asdict(run(now or datetime.now(UTC), shop=wiring.shop(), store=wiring.lists()))
