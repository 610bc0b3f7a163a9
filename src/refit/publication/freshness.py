"""Freshness: until when the live lists are good, from the pointer alone."""

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
    """What is live was good until a moment that has passed."""


@dataclass(frozen=True, kw_only=True)
class Fresh:
    """What is live, and for how long it is good."""

    generation: int
    batch: str
    run_date: str
    as_of: str
    """Instant before which everything that the lists know had happened."""
    age_hours: float
    """From *as_of* to the moment of the question."""
    good_until: str
    model: dict[str, Any]
    """Name, version, digest and cutoff of the champion that made the lists."""


def require_fresh(store: ObjectStore, now: datetime) -> Fresh:
    """
    Return what is live as seen at *now*; one request.

    Raises:
        NothingPublishedError: there is nothing live.
        StaleListsError: *now* is at or after the moment until which it was good.
    """
    standing = read_pointer_state(store)
    target = standing.target
    age = _hours(datetime.fromisoformat(target.as_of), now)
    if now >= datetime.fromisoformat(target.good_until):
        raise StaleListsError(
            f"{store.address}/{LIVE} is stale: batch {target.batch} of {target.run_date} (generation "
            f"{standing.generation}) knows nothing after {target.as_of}, {age:.1f} hours ago, and was good until "
            f"{target.good_until}; see why recommend has published nothing since"
        )
    return Fresh(
        generation=standing.generation,
        batch=target.batch,
        run_date=target.run_date,
        as_of=target.as_of,
        age_hours=round(age, 2),
        good_until=target.good_until,
        model=dict(target.model),
    )


def _hours(since: datetime, until: datetime) -> float:
    return (until - since).total_seconds() / _HOUR
