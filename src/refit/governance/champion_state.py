"""Champion state: the champion, the champions before it and the answers to challengers, as of an audit record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from refit.digests import digest_of

APPROVAL, REFUSAL, PROMOTION, ROLLBACK, ADOPTION = "approval", "refusal", "promotion", "rollback", "adoption"
HORIZON = "horizon"
"""Somebody has lowered the horizon of the pointers; it concerns no model."""
ANSWERED_AT = "answered_at"
"""Fact of a record: when a person has answered."""
REJECTED = "rejected"
"""Cause of a refusal: a person who may answer said no. It settles the challenger."""
OVERTAKEN = "champion changed"
"""Cause of a refusal: the champion that the challenger was compared with has changed; a person is asked again."""
_RUNS = 50
"""Number of rollbacks remembered, by run id."""


@dataclass(frozen=True, kw_only=True)
class ChampionRecord:
    """One version of the champions' model that was made champion."""

    version: int
    challenger: str
    """Version of the challenger that it is a copy of; empty where nobody knows."""
    model_id: str
    digest: str
    cutoff: str
    """Nothing at or after it was seen in training (ISO 8601)."""
    since: int
    """Number of the record that put it at the end of the line."""
    at: str
    by: str
    withdrawn: str = ""
    """Why a rollback took it away; empty while it stands."""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What a person has answered about a challenger."""

    approved: bool
    by: str
    reason: str
    source: str
    """airflow or mlflow."""
    at: str


@dataclass(frozen=True, kw_only=True)
class ChampionState:
    """What holds after a record; it follows from the records up to it alone."""

    champion: int | None = None
    """Version of the champions' model."""
    previous: int | None = None
    """Who was champion before the last move."""
    moved: int = 0
    """Number of the record of the last move."""
    reigns: Mapping[int, ChampionRecord] = field(default_factory=dict)
    answers: Mapping[int, Answered] = field(default_factory=dict)
    """Challenger -> the answer that counts."""
    refused: Mapping[int, str] = field(default_factory=dict)
    """Challenger -> digest of its last refusal, so that the same one is written once."""
    runs: Mapping[str, int] = field(default_factory=dict)
    """Run that rolled back -> its record, newest last."""

    @property
    def reigning(self) -> ChampionRecord | None:
        """The champion with everything that is known of it."""
        return None if self.champion is None else self.reigns[self.champion]

    def line(self) -> list[ChampionRecord]:
        """Return those that stand, in the order in which they became champion; the champion is the last one."""
        return sorted((reign for reign in self.reigns.values() if not reign.withdrawn), key=lambda reign: reign.since)

    def copy_of(self, challenger: int) -> ChampionRecord | None:
        """Return the champion, past or present, that is a copy of *challenger*."""
        found = [reign for reign in self.reigns.values() if reign.challenger == str(challenger)]
        return found[0] if found else None

    def after(
        self, number: int, kind: str, *, at: str, by: str, reason: str, facts: Mapping[str, Any]
    ) -> ChampionState:
        """Return what holds after record *number*; ValueError for a *kind* that there is not."""
        if kind == APPROVAL:
            return self._answered(facts, True, by, reason)
        if kind == REFUSAL:
            return self._refused(facts, by, reason)
        if kind == HORIZON:
            return self
        version = int(facts["version"])
        moved = replace(self, champion=version, previous=self.champion, moved=number)
        if kind == ROLLBACK:
            return moved._rolled_back(
                number, version, f"rolled back to version {version} at {at} by {by}: {reason}", facts
            )
        if kind not in (PROMOTION, ADOPTION):
            raise ValueError(f"there are no records of kind {kind!r}")
        known = {name: str(facts[name]) for name in ("challenger", "model_id", "digest", "cutoff")}
        reign = ChampionRecord(version=version, since=number, at=at, by=by, **known)
        return replace(moved, reigns={**self.reigns, version: reign})

    def _answered(self, facts: Mapping[str, Any], approved: bool, by: str, reason: str) -> ChampionState:
        answer = Answered(
            approved=approved, by=by, reason=reason, source=str(facts["source"]), at=str(facts[ANSWERED_AT])
        )
        return replace(self, answers={**self.answers, int(facts["challenger"]): answer})

    def _refused(self, facts: Mapping[str, Any], by: str, reason: str) -> ChampionState:
        challenger = int(facts["challenger"])
        refused = {**self.refused, challenger: refusal_digest(facts, by, reason)}
        standing = replace(self, refused=refused)
        if facts["cause"] == REJECTED:
            return standing._answered(facts, False, by, reason)
        if facts["cause"] == OVERTAKEN:
            return replace(standing, answers={key: kept for key, kept in self.answers.items() if key != challenger})
        return standing

    def _rolled_back(self, number: int, version: int, why: str, facts: Mapping[str, Any]) -> ChampionState:
        target = self.reigns[version]
        reigns = {
            key: replace(reign, withdrawn=why) if reign.since > target.since and not reign.withdrawn else reign
            for key, reign in self.reigns.items()
        }
        reigns[version] = replace(target, withdrawn="")
        runs = [*self.runs.items(), (str(facts["logical_run"]), number)]
        return replace(self, reigns=reigns, runs=dict(runs[-_RUNS:]))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "champion": self.champion,
            "previous": self.previous,
            "moved": self.moved,
            "reigns": [asdict(reign) for _, reign in sorted(self.reigns.items())],
            "answers": {str(key): asdict(answer) for key, answer in self.answers.items()},
            "refused": {str(key): digest for key, digest in self.refused.items()},
            "runs": [[run, number] for run, number in self.runs.items()],
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> ChampionState:
        """Return what `to_json` has written; KeyError, TypeError or ValueError for anything else."""
        return cls(
            champion=state["champion"],
            previous=state["previous"],
            moved=int(state["moved"]),
            reigns={int(entry["version"]): ChampionRecord(**entry) for entry in state["reigns"]},
            answers={int(key): Answered(**entry) for key, entry in state["answers"].items()},
            refused={int(key): str(digest) for key, digest in state["refused"].items()},
            runs={str(run): int(number) for run, number in state["runs"]},
        )


def refusal_digest(facts: Mapping[str, Any], by: str, reason: str) -> str:
    """Return one name for a refusal and for every repetition of it, at whatever time it is made."""
    return digest_of([facts["challenger"], facts["cause"], facts["said"], facts["source"], by, reason])[:16]
