"""Housekeeping: deletes published batches according to the shop's retention."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from refit.batches.pointer import LIVE
from refit.config import Retention
from refit.publication.operations import collect
from refit.storage.object_store import ObjectStore
from refit.storage.store_clock import read_clock, require_past, stamp

_EVERY_DATE = "9999-12-31"


@dataclass(frozen=True, kw_only=True)
class Tidied:
    """Counts of what was deleted and what is left."""

    horizon: str
    """Stamp: batches begun before it can no longer go live."""
    batches_deleted: int
    batches_kept: int
    objects_deleted: int
    uploads_aborted: int
    """Unfinished multipart uploads that were aborted."""


def tidy(store: ObjectStore, retention: Retention, now: datetime) -> Tidied:
    """
    Delete what *retention* does not keep as of *now*; the live batch and the batches for a rollback always stay.

    First it deletes batches that no pointer names and that are too old to be published. Then it deletes batches that
    only their date's pointer names and that are older than `days`; such a date has no lists from then on.

    Raises:
        AheadOfClockError: *now* is ahead of the store's clock.
    """
    clock = read_clock(store, LIVE)
    require_past("now", now, clock)
    now = min(now, clock)
    begun_before = now - timedelta(hours=retention.grace_hours)
    made_before = now - timedelta(days=retention.days)
    loose = collect(store, horizon=stamp(begun_before), keep=retention.keep)
    dated = collect(store, horizon=stamp(made_before), keep=retention.keep, since=_EVERY_DATE)
    deleted = {*loose.deleted, *dated.deleted}
    return Tidied(
        horizon=loose.horizon,
        batches_deleted=len({key.rpartition("/")[0] for key in deleted}),
        batches_kept=len(dated.kept),
        objects_deleted=len(deleted),
        uploads_aborted=store.abort_uploads(begun_before),
    )
