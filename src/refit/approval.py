"""Approvals: what a person answered about one challenger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refit.errors import NotApprovedError

APPROVE = "Approve"
REJECT = "Reject"
NOBODY = "nobody (no answer in time)"


@dataclass(frozen=True)
class Approval:
    """One answer, in the words that are kept with the model version."""

    approved: bool
    approver: str
    reason: str
    at: str
    """When it was answered (ISO 8601), as the system that asked has recorded it."""

    def as_tags(self) -> dict[str, str]:
        """Return the answer as tags of a model version."""
        return {
            "approval": "approved" if self.approved else "rejected",
            "approver": self.approver,
            "approval_reason": self.reason,
            "approved_at": self.at,
        }


def read_answer(answer: Mapping[str, Any]) -> Approval:
    """
    Return the approval in *answer*, an answered human-in-the-loop task of Airflow.

    Only the single option `Approve` chosen by a named person approves; a default taken because nobody answered is a
    refusal.

    Raises:
        NotApprovedError: the answer has another shape.
    """
    try:
        options = list(answer["chosen_options"])
        person = answer.get("responded_by_user") or {}
        reason = str((answer.get("params_input") or {}).get("reason", "") or "").strip()
        at = str(answer.get("responded_at") or "")
    except (KeyError, TypeError, AttributeError) as error:
        raise NotApprovedError(f"{answer!r} is no answer to an approval; nothing is promoted") from error
    name = str(person.get("name") or person.get("id") or "")
    return Approval(options == [APPROVE] and bool(name), name or NOBODY, reason, at)
