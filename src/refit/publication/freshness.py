"""Freshness: whether the live lists are still fresh, from the pointer alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from refit.batches.pointer import LIVE
from refit.errors import RefitError
from refit.publication.read import read_pointer_state
from refit.storage.object_store import ObjectStore

_HOUR = 3600.0


class StaleListsError(RefitError):
    """The live lists are stale."""


@dataclass(frozen=True, kw_only=True)
class Fresh:
    """The live lists and their freshness."""

    generation: int
    batch: str
    run_date: str
    as_of: str
    """Instant up to which (exclusive) the lists use data."""
    age_hours: float
    """Hours from *as_of* to now."""
    good_until: str
    model: dict[str, Any]
    """Name, version, digest and cutoff of the champion that made the lists."""


def require_fresh(store: ObjectStore, now: datetime) -> Fresh:
    """
    Return the state of the live lists at *now*; one request.

    Raises:
        NothingPublishedError: nothing is live.
        StaleListsError: *now* is at or after the end of their freshness.
    """
    state = read_pointer_state(store)
    target = state.target
    age = _hours(datetime.fromisoformat(target.as_of), now)
    if now >= datetime.fromisoformat(target.good_until):
        raise StaleListsError(
            f"{store.address}/{LIVE} is stale: batch {target.batch} of {target.run_date} (generation "
            f"{state.generation}) knows nothing after {target.as_of}, {age:.1f} hours ago, and was good until "
            f"{target.good_until}; see why recommend has published nothing since"
        )
    return Fresh(
        generation=state.generation,
        batch=target.batch,
        run_date=target.run_date,
        as_of=target.as_of,
        age_hours=round(age, 2),
        good_until=target.good_until,
        model=dict(target.model),
    )


def _hours(since: datetime, until: datetime) -> float:
    return (until - since).total_seconds() / _HOUR
