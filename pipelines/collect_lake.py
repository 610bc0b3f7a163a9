"""
Step: delete what the lake no longer needs to keep.

Reads:  `[retention.lake]` of the shop, the catalogue, the manifests of training sets, every key of the lake; the audit
        log and the registry, for the training sets of champions.
Writes: since when each object has been unnamed; then it removes old snapshots and the raw events of old quarantines
        from the catalogue and deletes replaced versions, training sets, summaries and other long unnamed objects.
Re-run: safe; nothing current is ever deleted, and the next collection finishes an interrupted one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from pipelines import wiring
from pipelines.parameters import CollectedAt
from refit.config import Shop
from refit.errors import NotFoundError
from refit.governance.audit_log import AuditLog
from refit.interfaces import ModelRegistry
from refit.lake.lake import Lake
from refit.lake.retention import CollectedLake, collect


@dataclass(frozen=True, kw_only=True)
class Receipt(CollectedLake):
    """What this step did."""


def run(now: datetime, *, shop: Shop, lake: Lake, log: AuditLog, open_registry: Callable[[], ModelRegistry]) -> Receipt:
    """Delete what the shop does not keep as of *now*; only a shop that had a champion opens the registry."""
    by = f"collection-{uuid4().hex[:12]}"
    return Receipt(**asdict(collect(lake, shop, _champions(log, open_registry), now, by)))


def main(now: CollectedAt = None) -> dict[str, Any]:
    """Delete with the real collaborators."""
    receipt = run(
        now or datetime.now(UTC),
        shop=wiring.shop(),
        lake=wiring.lake(),
        log=wiring.audit(),
        open_registry=wiring.registry,
    )
    return asdict(receipt)


def _champions(log: AuditLog, open_registry: Callable[[], ModelRegistry]) -> dict[str, bool]:
    """Return training set -> whether it is the champion's or its predecessor's, for all former champions too."""
    newest = log.newest()
    if newest is None or not newest.state.records:
        return {}
    registry, state = open_registry(), newest.state
    found: dict[str, bool] = {}
    for version in state.records:
        try:
            named = registry.champion_version(version).tags.get("training_set", "")
        except NotFoundError:
            continue
        found[named] = found.get(named, False) or version in {state.champion, state.previous}
    return found
