"""
Step: report whether the live lists are fresh, for cron and for monitors outside Airflow.

Reads:  `live.json`.
Writes: nothing.
Re-run: safe.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pipelines import wiring
from pipelines.parameters import AskedAt
from refit.publication.freshness import require_fresh
from refit.storage.object_store import ObjectStore


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """The live lists; stale or missing lists are a refusal."""

    generation: int
    batch: str
    run_date: str
    as_of: str
    age_hours: float
    """Hours from `as_of` to the time of the check."""
    good_until: str
    model: dict[str, Any]


def run(now: datetime, *, store: ObjectStore) -> Receipt:
    """Check the live lists at *now*."""
    return Receipt(**asdict(require_fresh(store, now)))


def main(now: AskedAt = None) -> dict[str, Any]:
    """Check with the real collaborators."""
    return asdict(run(now or datetime.now(UTC), store=wiring.lists()))
