"""
Step: make an approved challenger the champion.

Reads:  the challenger's version and files, the answer of the approver, the audit log.
Writes: audit records of the approval and the promotion, or of the refusal; a copy among the champions and their alias.
Re-run: safe; an interrupted promotion is finished, and promoting the current champion again changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pipelines import wiring
from pipelines.parameters import Answer, ChallengerVersion, ShownDigest
from refit.config.approval import Approvals
from refit.governance import approvals
from refit.governance.audit_log import AuditLog
from refit.governance.promotion import Promotions
from refit.interfaces import ModelRegistry, Tracker


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    champion: int | None
    previous: int | None
    """Champion before the last change."""
    challenger: int
    digest: str
    cutoff: str
    approved_by: str
    promoted: bool
    """Whether the challenger is the champion now; False if there was nothing left to decide."""
    said: str
    record: int
    """Number of the newest audit record."""


def run(
    version: int,
    digest: str,
    answer: dict[str, Any],
    *,
    policy: Approvals,
    hours: float,
    now: datetime,
    registry: ModelRegistry,
    tracker: Tracker,
    log: AuditLog,
    read_answer: Callable[[Mapping[str, Any]], approvals.Answer],
) -> Receipt:
    """Promote challenger *version* if *answer* approves exactly *digest*, which the approver was shown."""
    promotions = Promotions(
        registry=registry,
        tracker=tracker,
        log=log,
        policy=policy,
        hours=hours,
        now=now.isoformat(timespec="seconds"),
        read_answer=read_answer,
    )
    outcome = promotions.promote(version, digest, answer)
    return Receipt(
        champion=outcome.champion,
        previous=outcome.previous,
        challenger=version,
        digest=outcome.challenger.digest,
        cutoff=outcome.challenger.cutoff,
        approved_by=outcome.approved_by,
        promoted=outcome.promoted,
        said=outcome.said,
        record=outcome.record,
    )


def main(version: ChallengerVersion, digest: ShownDigest, answer: Answer) -> dict[str, Any]:
    """Promote with the real collaborators; the clock only dates records."""
    receipt = run(
        version,
        digest,
        answer,
        policy=wiring.shop().approval,
        hours=wiring.settings().approval_hours,
        now=datetime.now(UTC),
        registry=wiring.promoting_registry(),
        tracker=wiring.tracker(),
        log=wiring.audit(),
        read_answer=wiring.read_answer,
    )
    return asdict(receipt)
