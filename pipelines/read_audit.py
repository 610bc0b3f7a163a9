"""
Step: read the audit log and verify every record.

Reads:  every record, and what the registry remembers of the newest ones.
Writes: nothing.
Re-run: safe; a record that was changed, removed or inserted raises an error that names it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pipelines import wiring
from pipelines.parameters import LastRecords
from refit.governance.audit_log import AuditLog, Record
from refit.governance.champion_state import ADOPTION, HORIZON, PROMOTION, ROLLBACK
from refit.governance.champions import check_memory
from refit.interfaces import ModelRegistry


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """The contents of the log."""

    champion: int | None
    count: int
    head: str
    """SHA-256 of the newest record; a copy kept elsewhere proves that no earlier record was changed."""
    remembered: int
    """Number of the newest record that the registry confirms too."""
    records: list[dict[str, Any]]
    """The newest records, oldest first."""


def run(last: int, *, log: AuditLog, registry: ModelRegistry) -> Receipt:
    """Check all records and return the *last* of them; 0 for all."""
    records = log.verified()
    remembered = check_memory(registry, records)
    newest = records[-1] if records else None
    return Receipt(
        champion=newest.state.champion if newest else None,
        count=len(records),
        head=newest.sha256 if newest else "",
        remembered=remembered,
        records=[_shown(record) for record in records[-last if last else 0 :]],
    )


def _shown(record: Record) -> dict[str, Any]:
    return {
        "number": record.number,
        "at": record.at,
        "kind": record.kind,
        "what": _what(record),
        "by": record.by,
        "reason": record.reason,
        "source": record.facts.get("source", ""),
        "digest": str(record.facts.get("digest", ""))[:16],
        "champion": record.state.champion,
    }


def _what(record: Record) -> str:
    facts = record.facts
    if record.kind == PROMOTION:
        return f"challenger version {facts['challenger']} became champion version {facts['version']}"
    if record.kind == ROLLBACK:
        return f"from version {facts['from']} back to version {facts['version']}"
    if record.kind == ADOPTION:
        return f"version {facts['version']} adopted, the alias named {facts['alias']}"
    if record.kind == HORIZON:
        return f"the horizon lowered to {facts['to']} in {', '.join(sorted(facts['horizons']))}"
    return str(facts.get("said") or f"challenger version {facts['challenger']} approved")


def main(last: LastRecords = 20) -> dict[str, Any]:
    """Read with the real collaborators."""
    return asdict(run(last, log=wiring.audit(), registry=wiring.registry()))
