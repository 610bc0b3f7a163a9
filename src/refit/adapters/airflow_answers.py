"""Parses answers to approval requests; the only file that knows Airflow's format of an answered question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from refit.errors import NotApprovedError
from refit.governance.approvals import AIRFLOW, APPROVE, NOBODY, Answer, in_utc, read_decision


def read_answer(answer: Mapping[str, Any]) -> Answer:
    """
    Parse *answer*: an answered human-in-the-loop task of Airflow, or a decision that was noticed in MLflow.

    In Airflow only the single option `Approve`, chosen by a named person, approves; the default after no answer is a
    refusal.

    Raises:
        NotApprovedError: the answer has another shape.
    """
    try:
        if "decision" in answer:
            return read_decision(str(answer["decision"]), str(answer["noticed_at"]))
        options = list(answer["chosen_options"])
        person = answer.get("responded_by_user") or {}
        names = [str(person[key]) for key in ("name", "id") if person.get(key)]
        return Answer(
            approved=options == [APPROVE] and bool(names),
            by=names[0] if names else NOBODY,
            names=frozenset(names),
            reason=str((answer.get("params_input") or {}).get("reason", "") or "").strip(),
            at=in_utc(str(answer["responded_at"])) if names else str(answer.get("responded_at") or ""),
            source=AIRFLOW,
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise NotApprovedError(f"{answer!r} is no answer to an approval; nothing is promoted") from error
