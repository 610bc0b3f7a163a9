"""
Step: decide which version is champion after a person has moved the alias by hand.

Reads:  the alias, the audit log, the version and its files.
Writes: an audit record, and the `champion` alias if it is moved back.
Re-run: safe; if alias and audit log agree, nothing is written.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pipelines import wiring
from pipelines.parameters import AdoptedVersion, Reason, RequestedBy
from refit.errors import ConfigurationError
from refit.governance.audit_log import AuditLog
from refit.governance.champion_state import ADOPTION
from refit.governance.champions import adoptable, reconcile_alias
from refit.interfaces import ModelRegistry, Tracker
from refit.model.item_factors import load_verified


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    champion: int
    """The version that serves now."""
    adopted: bool
    """False if alias and audit log already agreed."""
    older: bool
    """Whether it was trained on older data than the previous champion."""
    record: int
    """Number of the newest audit record."""


def run(
    version: int,
    reason: str,
    requested_by: str,
    *,
    now: datetime,
    registry: ModelRegistry,
    tracker: Tracker,
    log: AuditLog,
) -> Receipt:
    """Make *version*, which the alias or the audit log names, the champion in both."""
    if not reason.strip() or not requested_by.strip():
        raise ConfigurationError("an adoption is recorded: give reason=... and requested_by=...")
    newest = log.newest()
    before = newest.state.current if newest else None
    alias = registry.champion()
    named, recorded = alias.version if alias else None, before.version if before else None
    if newest and version == named == recorded:
        return Receipt(champion=version, adopted=False, older=False, record=newest.number)
    if version not in (named, recorded):
        raise ConfigurationError(
            f"version {version} is neither that of the alias ({named or 'none'}) nor that of the audit log "
            f"({recorded or 'none'}); adopt one of the two, or use promote_model or rollback"
        )
    found = adoptable(registry, log.state(), version)
    load_verified(tracker, found)
    older = before is not None and found.cutoff < before.cutoff
    facts = {
        "version": version,
        "challenger": found.tags.get("challenger", ""),
        "model_id": found.model_id,
        "digest": found.digest,
        "cutoff": found.cutoff,
        "alias": named,
        "older": older,
    }
    log.append(
        newest,
        ADOPTION,
        at=now.isoformat(timespec="seconds"),
        by=requested_by.strip(),
        reason=reason.strip(),
        facts=facts,
    )
    return Receipt(champion=version, adopted=True, older=older, record=reconcile_alias(registry, log).number)


def main(version: AdoptedVersion, reason: Reason, requested_by: RequestedBy) -> dict[str, Any]:
    """Adopt with the real collaborators; the clock only dates the record."""
    receipt = run(
        version,
        reason,
        requested_by,
        now=datetime.now(UTC),
        registry=wiring.promoting_registry(),
        tracker=wiring.tracker(),
        log=wiring.audit(),
    )
    return asdict(receipt)
