"""
Promotions: from a person's answer to a new champion, in steps of which each may be the last before a crash.

Everything is checked first. Then the approval is recorded, the challenger copied to the champions, the promotion
recorded, and the alias moved. A record is written only after the one that was read, so of two promotions at once one
wins and the other is judged again; whatever was begun is finished by the same call made again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from refit.config.approval import Approvals
from refit.errors import ConflictError, ModelDamagedError, NotApprovedError
from refit.governance.approvals import (
    AIRFLOW,
    DECISION,
    MLFLOW,
    Answer,
    Objection,
    describe_answer,
    object_to,
)
from refit.governance.audit_log import AuditLog, Record
from refit.governance.champion_state import (
    ANSWERED_AT,
    APPROVAL,
    OVERTAKEN,
    PROMOTION,
    REFUSAL,
    REJECTED,
    Answered,
    ChampionRecord,
    ChampionState,
    refusal_digest,
)
from refit.governance.champions import ChampionGoneError, PromotionInterruptedError, reconcile_alias, require_reconciled
from refit.interfaces import ModelRegistry, ModelVersion, Tracker
from refit.model.item_factors import load_verified

_TRIES = 10
_QUOTED = ("training_set", "evaluation_run", "dossier", "code", "requested_by", "judged_against")
"""Evidence that a record of a promotion repeats, so that it can be read without the registry."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of an answer that was not refused."""

    champion: int | None
    previous: int | None
    challenger: ModelVersion
    approved_by: str
    promoted: bool
    """Whether the challenger is the champion now."""
    said: str
    record: int
    """Number of the newest audit record."""


@dataclass(frozen=True, kw_only=True)
class Promotions:
    """Everything that an answer is judged with."""

    registry: ModelRegistry
    tracker: Tracker
    log: AuditLog
    policy: Approvals
    hours: float
    """Hours after its registration within which a challenger may be approved."""
    now: str
    """When this try began (ISO 8601)."""
    read_answer: Callable[[Mapping[str, Any]], Answer]
    """Reads an answer as the system that asked wrote it; NotApprovedError when it cannot."""

    def promote(self, version: int, digest: str, answer: Mapping[str, Any]) -> Outcome:
        """
        Make challenger *version* the champion if *answer* approves exactly *digest*.

        Raises:
            NotApprovedError: the answer does not count, or is no; the refusal is in the audit log.
            ModelDamagedError: the files of the challenger are not those that were judged; also in the audit log.
            AliasMovedError: somebody has moved the alias.
        """
        for _ in range(_TRIES):
            try:
                return self._once(version, digest, answer)
            except ConflictError:
                continue  # somebody has written a record since ours was read: everything is judged again
        raise ConflictError(f"{self.log.address} grew {_TRIES} times while challenger {version} waited; try again")

    def _once(self, version: int, digest: str, raw: Mapping[str, Any]) -> Outcome:
        challenger = self.registry.challenger(version)
        newest = self.log.newest()
        standing = newest.standing if newest else ChampionState()
        known = standing.answers.get(version)
        try:
            answer = self.read_answer(raw)
        except NotApprovedError as error:
            unread = _unread(raw, self.now)
            raise self._refused(newest, challenger, unread, Objection("unreadable", str(error))) from error
        if answer.silent and known and (known.approved or known.source == MLFLOW):
            return self._unchanged(
                newest, challenger, f"nobody answered in Airflow, and it was already {describe_answer(known)}"
            )
        objection = object_to(answer, challenger, digest, known, self.policy, self.hours)
        if objection is None and known is None:
            objection = self._taken_back(version, answer, raw)
        if objection:
            raise self._refused(newest, challenger, answer, objection)
        crowned = standing.copy_of(version)
        if crowned:
            return self._again(newest, challenger, answer, crowned)
        return self._promoted(newest, challenger, answer, known)

    def _promoted(
        self, newest: Record | None, challenger: ModelVersion, answer: Answer, known: Answered | None
    ) -> Outcome:
        objection = self._not_judged_against(challenger, self._expected()) or self._older(challenger)
        if objection:
            raise self._refused(newest, challenger, answer, objection)
        try:
            load_verified(self.tracker, challenger)
        except ModelDamagedError as error:
            self._refused(newest, challenger, answer, Objection("changed files", str(error)))
            raise
        if known is None or not known.approved:
            newest = self.log.append(newest, APPROVAL, at=self.now, **_said(answer, challenger))
        copy = self.registry.copy(replace(challenger, tags={**challenger.tags, **answer.as_tags()}))
        facts = {
            "version": copy.version,
            "challenger": str(challenger.version),
            "model_id": challenger.model_id,
            "digest": challenger.digest,
            "cutoff": challenger.cutoff,
            "source": answer.source,
            ANSWERED_AT: answer.at,
            **{name: challenger.tags.get(name, "") for name in _QUOTED},
        }
        made = self.log.append(newest, PROMOTION, at=self.now, by=answer.by, reason=answer.reason, facts=facts)
        return self._finished(challenger, answer, made.standing.reigns[copy.version])

    def _again(
        self, newest: Record | None, challenger: ModelVersion, answer: Answer, crowned: ChampionRecord
    ) -> Outcome:
        champion = newest.standing.champion if newest else None
        became = f"became champion version {crowned.version} at {crowned.at}"
        if crowned.withdrawn:
            sentence = f"challenger version {challenger.version} {became} and was {crowned.withdrawn}"
            back = f"rollback to={crowned.version} reason=... brings it back"
            raise self._refused(newest, challenger, answer, Objection("withdrawn", f"{sentence}; {back}"))
        if champion != crowned.version:
            return self._unchanged(newest, challenger, f"it {became} and was succeeded by version {champion}")
        return self._finished(challenger, answer, crowned)

    def _finished(self, challenger: ModelVersion, answer: Answer, crowned: ChampionRecord) -> Outcome:
        done = reconcile_alias(self.registry, self.log, lambda: self._shown(challenger, answer))
        return Outcome(
            champion=done.standing.champion,
            previous=done.standing.previous,
            challenger=challenger,
            approved_by=crowned.by,
            promoted=done.standing.champion == crowned.version,
            said=f"challenger version {challenger.version} is champion version {crowned.version}, "
            f"approved by {crowned.by}",
            record=done.number,
        )

    def _shown(self, challenger: ModelVersion, answer: Answer) -> None:
        self.registry.tag(challenger, answer.as_tags())

    def _unchanged(self, newest: Record | None, challenger: ModelVersion, why: str) -> Outcome:
        champion = newest.standing.champion if newest else None
        return Outcome(
            champion=champion,
            previous=None,
            challenger=challenger,
            approved_by="",
            promoted=False,
            said=f"challenger version {challenger.version}: {why}; nothing changes",
            record=newest.number if newest else 0,
        )

    def _expected(self) -> str:
        """Return the champion that a challenger must have been judged against, after finishing what was begun."""
        try:
            standing = require_reconciled(self.registry, self.log)
        except PromotionInterruptedError:
            standing = reconcile_alias(self.registry, self.log).standing
        except ChampionGoneError:
            return "none"
        return str(standing.champion or "none")

    def _not_judged_against(self, challenger: ModelVersion, expected: str) -> Objection | None:
        judged = challenger.tags["judged_against"]
        if judged == expected:
            return None
        then, now = (f"champion version {name}" if name != "none" else "no champion" for name in (judged, expected))
        return Objection(
            OVERTAKEN,
            f"challenger version {challenger.version} was judged against {then}, now there is {now}: it must be judged "
            "again; clear evaluate_model and what follows in its run of retrain, or run evaluate_model and "
            "register_model",
        )

    def _older(self, challenger: ModelVersion) -> Objection | None:
        reign = self.log.standing().reigning
        if reign is None or reign.cutoff <= challenger.cutoff:
            return None
        return Objection(
            "older",
            f"challenger version {challenger.version} was trained on data before {challenger.cutoff[:10]}, the "
            f"champion on data before {reign.cutoff[:10]}; an older model replaces a newer one only by rollback",
        )

    def _taken_back(self, version: int, answer: Answer, raw: Mapping[str, Any]) -> Objection | None:
        tag = f"{DECISION}{version}"
        if answer.source != MLFLOW or self.registry.notes().get(tag) == raw["decision"]:
            return None
        return Objection("taken back", f"the tag {tag} in MLflow no longer says what was noticed; nothing is promoted")

    def _refused(
        self, newest: Record | None, challenger: ModelVersion, answer: Answer, objection: Objection
    ) -> NotApprovedError:
        """Record a refusal, once, and return it as an error."""
        said = _said(answer, challenger)
        facts = {**said["facts"], "cause": objection.cause, "said": objection.sentence}
        standing = newest.standing if newest else ChampionState()
        if standing.refused.get(challenger.version) != refusal_digest(facts, said["by"], said["reason"]):
            self.log.append(newest, REFUSAL, at=self.now, **{**said, "facts": facts})
        if objection.cause not in {REJECTED, "silence"}:
            return NotApprovedError(objection.sentence)
        self._shown(challenger, answer)
        still = (
            f"the champion is still version {standing.champion}" if standing.champion else "there is still no champion"
        )
        return NotApprovedError(f"{objection.sentence}; {still}")


def _said(answer: Answer, challenger: ModelVersion) -> dict[str, Any]:
    facts = {
        "challenger": challenger.version,
        "digest": challenger.digest,
        "source": answer.source,
        ANSWERED_AT: answer.at,
    }
    return {"by": answer.by, "reason": answer.reason, "facts": facts}


def _unread(raw: Mapping[str, Any], now: str) -> Answer:
    source = MLFLOW if "decision" in raw else AIRFLOW
    return Answer(approved=False, by="unknown", reason="", at=now, source=source)
