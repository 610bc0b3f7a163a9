"""
Step: lower a horizon that lies in the future, so that lists can go live again.

Reads:  every pointer, the clock of the object store.
Writes: an audit record, then the horizon of each such pointer, by compare-and-swap; no other part of a pointer.
Re-run: safe; if no horizon is ahead, nothing is written; after a kill the next run finishes with its own record.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pipelines import wiring
from pipelines.parameters import Reason, RequestedBy
from refit.errors import ConfigurationError
from refit.governance.audit_log import AuditLog
from refit.governance.champion_state import HORIZON
from refit.publication.horizons import horizons_ahead, lower_horizons
from refit.storage.object_store import ObjectStore
from refit.storage.store_clock import instant_of


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    lowered: dict[str, str]
    """Pointer -> its previous horizon."""
    horizon: str
    """Stamp of the store's clock; batches begun before it must be scored again."""
    record: int | None
    """Number of the audit record; None if there was nothing to lower."""


def run(reason: str, requested_by: str, *, log: AuditLog, store: ObjectStore) -> Receipt:
    """Lower every horizon that is ahead of the store's clock to that clock, for *reason*."""
    if not reason.strip() or not requested_by.strip():
        raise ConfigurationError("lowering the horizon is recorded: give reason=... and requested_by=...")
    ahead = horizons_ahead(store)
    if not ahead.horizons:
        return Receipt(lowered={}, horizon=ahead.clock, record=None)
    now = instant_of(ahead.clock)
    record = log.append(
        log.newest(),
        HORIZON,
        at=now.isoformat(timespec="seconds") if now else "",
        by=requested_by.strip(),
        reason=reason.strip(),
        facts={"horizons": dict(ahead.horizons), "to": ahead.clock},
    )
    lower_horizons(store, ahead.horizons, ahead.clock)
    return Receipt(lowered=dict(ahead.horizons), horizon=ahead.clock, record=record.number)


def main(reason: Reason, requested_by: RequestedBy) -> dict[str, Any]:
    """Lower with the real collaborators."""
    return asdict(run(reason, requested_by, log=wiring.audit(), store=wiring.lists()))
