"""
Step: go back to an earlier champion, model and lists together.

Reads:  the audit log, the version to go back to and its files, the history of `live.json`.
Writes: an audit record, the `champion` alias, then `live.json`; nothing is deleted, and histories are extended.
Re-run: safe; the same logical run goes back once, and one that was killed is finished.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from pipelines import wiring
from pipelines.parameters import EarlierVersion, ListsToo, LogicalRun, Reason, RequestedBy
from refit.governance.audit_log import AuditLog
from refit.governance.rollback import Lists, RollbackRequest, Rollbacks
from refit.interfaces import ModelRegistry, Tracker
from refit.storage.object_store import ObjectStore


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    champion: int
    """The version that serves now."""
    rolled_back_from: int
    withdrawn: list[int]
    """Withdrawn versions, whose batches are no longer published."""
    batch: str
    """The batch that readers see now; empty if the lists were left unchanged."""
    run_date: str
    generation: int
    record: int
    """Number of the audit record."""


def run(
    to: int | None,
    reason: str,
    requested_by: str,
    logical_run: str,
    lists: Lists,
    *,
    now: datetime,
    registry: ModelRegistry,
    tracker: Tracker,
    log: AuditLog,
    store: ObjectStore,
) -> Receipt:
    """Go back to version *to*, or to the previous champion; with *lists* `stay` the lists stay unchanged."""
    request = RollbackRequest(
        to=to,
        reason=reason.strip(),
        by=requested_by.strip(),
        at=now.isoformat(timespec="seconds"),
        logical_run=logical_run,
        lists=lists,
    )
    done = Rollbacks(registry=registry, tracker=tracker, log=log, store=store).roll_back(request)
    facts = done.record.facts
    live = done.published.live if done.published else None
    return Receipt(
        champion=int(facts["version"]),
        rolled_back_from=int(facts["from"]),
        withdrawn=list(facts["withdrawn"]),
        batch=live.batch if live else "",
        run_date=live.run_date if live else "",
        generation=live.generation if live else 0,
        record=done.record.number,
    )


def main(
    reason: Reason,
    requested_by: RequestedBy,
    to: EarlierVersion = None,
    logical_run: LogicalRun = "",
    lists: ListsToo = "back",
) -> dict[str, Any]:
    """Roll back with the real collaborators; the clock only dates the record."""
    store, followers = wiring.lists(), wiring.followers()
    receipt = run(
        to,
        reason,
        requested_by,
        logical_run or f"by-hand/{uuid4().hex[:12]}",
        lists,
        now=datetime.now(UTC),
        registry=wiring.promoting_registry(),
        tracker=wiring.tracker(),
        log=wiring.audit(),
        store=store,
    )
    if receipt.run_date:
        for follow in followers:
            follow(store, receipt.run_date)
    return asdict(receipt)
