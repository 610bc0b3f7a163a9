"""
Step: make an approved challenger the champion.

Reads:  the challenger's version and files, the answer of the person who was asked.
Writes: the answer as tags of the challenger; when it is a valid approval, a copy among the champions and their alias.
Re-run: safe; promoting the current champion again changes nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pipelines import wiring
from refit.approval import Approval, read_answer
from refit.errors import NotApprovedError
from refit.factors import load_verified
from refit.interfaces import ModelRegistry, Tracker


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    champion: int
    previous: int | None
    challenger: int
    digest: str
    cutoff: str
    approved_by: str


def run(version: int, digest: str, answer: dict[str, Any], *, registry: ModelRegistry, tracker: Tracker) -> Receipt:
    """Promote challenger *version* if *answer* approves exactly *digest*."""
    challenger = registry.challenger(version)
    current = registry.champion()
    approval = read_answer(answer)
    if challenger.tags.get("approval") == "approved":
        # A second try after a crash: the recorded approval stands and is not overwritten.
        approval = Approval(
            True,
            challenger.tags["approver"],
            challenger.tags["approval_reason"],
            challenger.tags["approved_at"],
        )
    else:
        registry.tag(challenger, approval.as_tags())
    if not approval.approved:
        still = f"the champion is still version {current.version}" if current else "there is still no champion"
        raise NotApprovedError(
            f"challenger version {version} was rejected by {approval.approver} "
            f"({approval.reason or 'no reason given'}); {still}"
        )
    if challenger.tags.get("verdict") != "propose":
        raise NotApprovedError(
            f"challenger version {version} has no passed promotion verdict ({challenger.tags.get('reasons', 'none')}); "
            "an approval cannot replace it; train a better one"
        )
    if challenger.digest != digest:
        raise NotApprovedError(
            f"challenger version {version} has digest {challenger.digest[:16]}, the approval names {digest[:16]}"
        )
    load_verified(tracker, challenger)
    if current is not None and current.cutoff > challenger.cutoff:
        raise NotApprovedError(
            f"challenger version {version} was trained on data before {challenger.cutoff[:10]}, the champion on data "
            f"before {current.cutoff[:10]}; an older model replaces a newer one only by rollback"
        )
    champion = registry.promote(registry.challenger(version))
    previous = current.version if current and current.version != champion.version else None
    return Receipt(
        champion=champion.version,
        previous=previous,
        challenger=version,
        digest=challenger.digest,
        cutoff=challenger.cutoff,
        approved_by=approval.approver,
    )


def main(version: int, digest: str, answer: dict[str, Any]) -> dict[str, Any]:
    """Promote with the real collaborators."""
    return asdict(run(version, digest, answer, registry=wiring.registry(), tracker=wiring.tracker()))
