"""Approvals: a person's answer about one challenger, and whether that answer counts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from refit.config.approval import Approvals
from refit.errors import NotApprovedError
from refit.governance.champion_state import REJECTED, Answered
from refit.interfaces import ModelVersion

APPROVE = "Approve"
REJECT = "Reject"
NOBODY = "nobody (no answer in time)"
AIRFLOW, MLFLOW = "airflow", "mlflow"
DECISION = "decision-"
"""Prefix of tags of the champions' registered model; followed by a challenger's version, it holds an answer."""
DIGITS = 16
"""Number of hexadecimal digits of a digest that identify a model in an answer."""
EVIDENCE = ("cutoff", "training_set", "evaluation_run", "dossier", "judged_against", "registered_at", "code")
"""Tags that a challenger needs, besides its digest and a passed verdict, before a person may answer."""
ANCHOR_TAG = "anchor"
"""Tag of a version: the anchor's settings as JSON; losses are measured from them (`refit.evaluation.anchors`)."""

_PLACEHOLDER = "YOUR NAME"
_LINE = re.compile(r"(approve|reject) ([0-9a-f]{16,64}) ([^:\s][^:]{0,99}): *(\S.{0,999})", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer as it is recorded."""

    approved: bool
    by: str
    names: frozenset[str] = frozenset()
    """All names under which the person is known."""
    reason: str
    at: str
    """When the person answered (ISO 8601), as recorded by the system that asked."""
    source: str
    digest: str = ""
    """Digest named in the answer, at least its first 16 digits; empty where the question named it."""

    @property
    def silent(self) -> bool:
        """Whether no person answered in time."""
        return self.by == NOBODY

    def as_tags(self) -> dict[str, str]:
        """Return the answer as tags of a model version, for people to read; the audit log is authoritative."""
        return {
            "approval": "approved" if self.approved else "rejected",
            "approver": self.by,
            "approval_reason": self.reason,
            "approved_at": self.at,
        }

    def repeats(self, known: Answered) -> bool:
        """Whether this answer repeats the *known* one."""
        content = (self.approved, self.by, self.reason, self.source)
        return content == (known.approved, known.by, known.reason, known.source)

    def asked_anew(self, known: Answered) -> bool:
        """
        Whether a person was asked again after a rejection.

        Airflow accepts one answer per question, so a later answer there belongs to a question that was asked again.
        """
        later = datetime.fromisoformat(self.at) > datetime.fromisoformat(known.at)
        return not known.approved and known.source == self.source == AIRFLOW and later


@dataclass(frozen=True)
class Objection:
    """Why an answer does not make a champion."""

    cause: str
    """One or two words, for counting."""
    sentence: str


def read_decision(line: str, noticed_at: str) -> Answer:
    """
    Parse *line*, the value of an MLflow tag that records a decision and was *noticed_at* (ISO 8601).

    Raises:
        NotApprovedError: the line does not have the format of `decision_line`.
    """
    match = _LINE.fullmatch(line.strip())
    if not match or _PLACEHOLDER in line:
        raise NotApprovedError(
            f"the decision {line[:200]!r} in MLflow cannot be read; write 'approve' or 'reject', the first {DIGITS} "
            "digits of the digest, your name, a colon and the reason, as in 'approve 0123456789abcdef Lee: looks right'"
        )
    word, digest, name, reason = match.groups()
    return Answer(
        approved=word == "approve",
        by=name.strip(),
        names=frozenset({name.strip()}),
        reason=" ".join(reason.split()),
        at=in_utc(noticed_at),
        source=MLFLOW,
        digest=digest,
    )


def in_utc(text: str) -> str:
    """
    Return an instant in UTC, to the second, so that instants compare as text; without a zone, UTC is assumed.

    >>> in_utc("2026-03-02T09:00:00.123+01:00")
    '2026-03-02T08:00:00+00:00'
    """
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="seconds")


def decision_line(challenger: int, digest: str) -> tuple[str, str]:
    """
    Return the name and value of the tag with which a person approves *challenger* in MLflow.

    >>> decision_line(7, "0123456789abcdef0123")
    ('decision-7', 'approve 0123456789abcdef YOUR NAME: YOUR REASON')
    """
    return f"{DECISION}{challenger}", f"approve {digest[:DIGITS]} {_PLACEHOLDER}: YOUR REASON"


def decided_challenger(tag: str) -> int | None:
    """Return the challenger that a tag of the champions' model decides, or None for any other tag."""
    number = tag.removeprefix(DECISION)
    return int(number) if tag.startswith(DECISION) and re.fullmatch("[1-9][0-9]{0,8}", number) else None


def object_to(
    answer: Answer, challenger: ModelVersion, digest: str, known: Answered | None, policy: Approvals, hours: float
) -> Objection | None:
    """
    Return the first reason why *answer* about *challenger* does not count, or None.

    *digest* is what the person was shown, *known* the earlier answer. An approval that already counted stays valid:
    neither its age nor the policy is checked again.
    """
    named = answer.digest or digest
    what = f"challenger version {challenger.version}"
    if answer.silent:
        return Objection("silence", f"{what} was rejected by {answer.by} (no reason given)")
    if known and not answer.repeats(known) and not answer.asked_anew(known):
        return Objection(
            "second answer", f"{what} was already {describe_answer(known)}; the answer of {answer.by} changes nothing"
        )
    if len(named) < DIGITS or not challenger.digest.startswith(named):
        return Objection(
            "changed digest",
            f"{what} has digest {challenger.digest[:DIGITS]}, the approval names {named[:DIGITS] or 'none'}",
        )
    if known and answer.approved and answer.repeats(known):
        return None
    return (
        _not_entitled(answer, challenger, policy)
        or _not_accepted(answer, what)
        or _no_evidence(challenger)
        or _too_late(answer, challenger, hours)
    )


def describe_answer(known: Answered) -> str:
    """Return a sentence fragment that describes an answer."""
    where = {AIRFLOW: "Airflow", MLFLOW: "MLflow"}.get(known.source, known.source)
    return f"{'approved' if known.approved else 'rejected'} by {known.by} in {where} at {known.at} ({known.reason})"


def _not_entitled(answer: Answer, challenger: ModelVersion, policy: Approvals) -> Objection | None:
    what = f"challenger version {challenger.version}"
    if policy.approvers and not answer.names & set(policy.approvers):
        return Objection(
            "not entitled",
            f"{answer.by} may not answer for {what}; approval.approvers of shop.toml names "
            f"{', '.join(policy.approvers)}",
        )
    if not policy.four_eyes or not answer.approved:
        return None
    starter = challenger.tags.get("requested_by", "")
    if not starter:
        return Objection(
            "four eyes",
            f"nobody knows who started the training of {what}, so four eyes cannot be counted; "
            "register it again with requested_by=NAME",
        )
    if starter.casefold() in {name.casefold() for name in answer.names}:
        return Objection(
            "four eyes", f"{answer.by} started the training of {what} and may not approve it too; ask somebody else"
        )
    return None


def _not_accepted(answer: Answer, what: str) -> Objection | None:
    if answer.approved:
        return None
    return Objection(REJECTED, f"{what} was rejected by {answer.by} ({answer.reason or 'no reason given'})")


def _no_evidence(challenger: ModelVersion) -> Objection | None:
    what = f"challenger version {challenger.version}"
    if challenger.tags.get("verdict") != "propose":
        return Objection(
            "no verdict",
            f"{what} has no passed promotion verdict ({challenger.tags.get('reasons', 'none')}); "
            "an approval cannot replace it; train a better one",
        )
    missing = [name for name in EVIDENCE if not challenger.tags.get(name)]
    if missing:
        return Objection(
            "no evidence", f"{what} lacks {', '.join(missing)}; evaluate and register it again with this Refit"
        )
    return None


def _too_late(answer: Answer, challenger: ModelVersion, hours: float) -> Objection | None:
    since = datetime.fromisoformat(challenger.tags["registered_at"])
    waited = datetime.fromisoformat(answer.at) - since
    if waited < timedelta(0):
        return Objection(
            "too early",
            f"{answer.by} answered before challenger version {challenger.version} was registered with the evidence "
            "that it has now; ask again",
        )
    if waited <= timedelta(hours=hours):
        return None
    return Objection(
        "expired",
        f"the answer of {answer.by} came {waited.total_seconds() / 3600:.1f} hours after challenger version "
        f"{challenger.version} was registered, {hours:g} are allowed (REFIT_APPROVAL_HOURS); evaluate and register "
        "it again",
    )
