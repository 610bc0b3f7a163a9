"""Housekeeping: what may be deleted at a moment, by the retention of the shop."""

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
    """What was deleted and what is left, in counts."""

    horizon: str
    """Stamp: no batch that was begun before it goes live any more."""
    batches_deleted: int
    batches_kept: int
    objects_deleted: int
    uploads_aborted: int
    """Uploads in parts that somebody had begun and not finished."""


def tidy(store: ObjectStore, retention: Retention, now: datetime) -> Tidied:
    """
    Delete what *retention* does not keep as of *now*; the live batch and what a rollback may need always stay.

    First what no pointer names, of an age that a batch never has before it is published. Then what is named by the
    pointer of its date alone and is older than the days of the retention; such a date has no lists from then on.

    Raises:
        AheadOfClockError: *now* is after the clock of the store.
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
