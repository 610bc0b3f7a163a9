"""Champion state: the champion, the champions before it and the answers to challengers, as of an audit record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from refit.digests import digest_of

APPROVAL, REFUSAL, PROMOTION, ROLLBACK, ADOPTION = "approval", "refusal", "promotion", "rollback", "adoption"
HORIZON = "horizon"
"""Record kind: somebody lowered the horizon of the pointers; it concerns no model."""
ANSWERED_AT = "answered_at"
"""Fact of a record: when a person answered."""
REJECTED = "rejected"
"""Cause of a refusal: an approver rejected the challenger. The answer is final."""
OVERTAKEN = "champion changed"
"""Cause of a refusal: the champion that the challenger was judged against has changed; a person is asked again."""
_RUNS = 50
"""Number of rollbacks remembered, by run id."""


@dataclass(frozen=True, kw_only=True)
class ChampionRecord:
    """One version of the champions' model that was promoted."""

    version: int
    challenger: str
    """Version of the challenger that was copied; empty if unknown."""
    model_id: str
    digest: str
    cutoff: str
    """Training used no data at or after this instant (ISO 8601)."""
    since: int
    """Number of the record that made this version champion."""
    at: str
    by: str
    withdrawn: str = ""
    """Why a rollback withdrew it; empty if it was not withdrawn."""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A person's answer about a challenger."""

    approved: bool
    by: str
    reason: str
    source: str
    """airflow or mlflow."""
    at: str


@dataclass(frozen=True, kw_only=True)
class ChampionState:
    """State after an audit record, derived only from the records up to it."""

    champion: int | None = None
    """Version of the champions' model."""
    previous: int | None = None
    """Champion before the last move."""
    moved: int = 0
    """Number of the record that last moved the champion."""
    records: Mapping[int, ChampionRecord] = field(default_factory=dict)
    answers: Mapping[int, Answered] = field(default_factory=dict)
    """Challenger -> the answer that counts."""
    refused: Mapping[int, str] = field(default_factory=dict)
    """Challenger -> digest of its last refusal, so that a repeated refusal is recorded once."""
    runs: Mapping[str, int] = field(default_factory=dict)
    """Run id of a rollback -> number of its record, newest last."""

    @property
    def current(self) -> ChampionRecord | None:
        """The record of the current champion; None before the first promotion."""
        return None if self.champion is None else self.records[self.champion]

    def line(self) -> list[ChampionRecord]:
        """Return the records that were not withdrawn, in order of promotion; the champion is last."""
        return sorted(
            (record for record in self.records.values() if not record.withdrawn), key=lambda record: record.since
        )

    def copy_of(self, challenger: int) -> ChampionRecord | None:
        """Return the past or present champion that was copied from *challenger*."""
        found = [record for record in self.records.values() if record.challenger == str(challenger)]
        return found[0] if found else None

    def after(
        self, number: int, kind: str, *, at: str, by: str, reason: str, facts: Mapping[str, Any]
    ) -> ChampionState:
        """Return the state after record *number*; ValueError for an unknown *kind*."""
        if kind == APPROVAL:
            return self._with_answer(facts, True, by, reason)
        if kind == REFUSAL:
            return self._with_refusal(facts, by, reason)
        if kind == HORIZON:
            return self
        version = int(facts["version"])
        moved = replace(self, champion=version, previous=self.champion, moved=number)
        if kind == ROLLBACK:
            return moved._with_rollback(
                number, version, f"rolled back to version {version} at {at} by {by}: {reason}", facts
            )
        if kind not in (PROMOTION, ADOPTION):
            raise ValueError(f"there are no records of kind {kind!r}")
        known = {name: str(facts[name]) for name in ("challenger", "model_id", "digest", "cutoff")}
        record = ChampionRecord(version=version, since=number, at=at, by=by, **known)
        return replace(moved, records={**self.records, version: record})

    def _with_answer(self, facts: Mapping[str, Any], approved: bool, by: str, reason: str) -> ChampionState:
        answer = Answered(
            approved=approved, by=by, reason=reason, source=str(facts["source"]), at=str(facts[ANSWERED_AT])
        )
        return replace(self, answers={**self.answers, int(facts["challenger"]): answer})

    def _with_refusal(self, facts: Mapping[str, Any], by: str, reason: str) -> ChampionState:
        challenger = int(facts["challenger"])
        refused = {**self.refused, challenger: refusal_digest(facts, by, reason)}
        state = replace(self, refused=refused)
        if facts["cause"] == REJECTED:
            return state._with_answer(facts, False, by, reason)
        if facts["cause"] == OVERTAKEN:
            return replace(state, answers={key: kept for key, kept in self.answers.items() if key != challenger})
        return state

    def _with_rollback(self, number: int, version: int, why: str, facts: Mapping[str, Any]) -> ChampionState:
        target = self.records[version]
        records = {
            key: replace(record, withdrawn=why) if record.since > target.since and not record.withdrawn else record
            for key, record in self.records.items()
        }
        records[version] = replace(target, withdrawn="")
        runs = [*self.runs.items(), (str(facts["logical_run"]), number)]
        return replace(self, records=records, runs=dict(runs[-_RUNS:]))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "champion": self.champion,
            "previous": self.previous,
            "moved": self.moved,
            "reigns": [asdict(record) for _, record in sorted(self.records.items())],
            "answers": {str(key): asdict(answer) for key, answer in self.answers.items()},
            "refused": {str(key): digest for key, digest in self.refused.items()},
            "runs": [[run, number] for run, number in self.runs.items()],
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> ChampionState:
        """Return the state that `to_json` wrote; KeyError, TypeError or ValueError for anything else."""
        return cls(
            champion=state["champion"],
            previous=state["previous"],
            moved=int(state["moved"]),
            records={int(entry["version"]): ChampionRecord(**entry) for entry in state["reigns"]},
            answers={int(key): Answered(**entry) for key, entry in state["answers"].items()},
            refused={int(key): str(digest) for key, digest in state["refused"].items()},
            runs={str(run): int(number) for run, number in state["runs"]},
        )


def refusal_digest(facts: Mapping[str, Any], by: str, reason: str) -> str:
    """Return a digest that is the same for every repetition of a refusal, whenever it is made."""
    return digest_of([facts["challenger"], facts["cause"], facts["said"], facts["source"], by, reason])[:16]
