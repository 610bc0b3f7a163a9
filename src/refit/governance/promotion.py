"""
Promotions: from a person's answer to a new champion, in steps that survive a crash after any of them.

Everything is checked first. Then the approval is recorded, the challenger copied to the champions, the promotion
recorded, and the alias moved. A record must directly follow the one that was read, so of two concurrent promotions one
wins and the other is judged again. Repeating the same call finishes a promotion that was interrupted.
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
_EVIDENCE_TAGS = ("training_set", "evaluation_run", "dossier", "code", "requested_by", "judged_against", "twin")
"""Evidence tags copied into a promotion record, so that it can be read without the registry."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Result of an answer that was not refused."""

    champion: int | None
    previous: int | None
    challenger: ModelVersion
    approved_by: str
    promoted: bool
    """Whether the challenger is now the champion."""
    said: str
    record: int
    """Number of the newest audit record."""


@dataclass(frozen=True, kw_only=True)
class Promotions:
    """Judges answers and promotes challengers; holds everything that this needs."""

    registry: ModelRegistry
    tracker: Tracker
    log: AuditLog
    policy: Approvals
    hours: float
    """Hours after registration within which a challenger may be approved."""
    now: str
    """When this attempt began (ISO 8601)."""
    read_answer: Callable[[Mapping[str, Any]], Answer]
    """Parses an answer as written by the system that asked; NotApprovedError when it is unreadable."""

    def promote(self, version: int, digest: str, answer: Mapping[str, Any]) -> Outcome:
        """
        Make challenger *version* the champion if *answer* approves exactly *digest*.

        Raises:
            NotApprovedError: the answer is invalid or a rejection; the refusal is in the audit log.
            ModelDamagedError: the challenger's files differ from those that were judged; also in the audit log.
            AliasMovedError: somebody moved the alias.
        """
        for _ in range(_TRIES):
            try:
                return self._attempt(version, digest, answer)
            except ConflictError:
                continue  # another writer appended a record after ours was read: judge everything again
        raise ConflictError(f"{self.log.address} grew {_TRIES} times while challenger {version} waited; try again")

    def _attempt(self, version: int, digest: str, raw: Mapping[str, Any]) -> Outcome:
        challenger = self.registry.challenger(version)
        newest = self.log.newest()
        state = newest.state if newest else ChampionState()
        known = state.answers.get(version)
        try:
            answer = self.read_answer(raw)
        except NotApprovedError as error:
            unread = _unreadable_answer(raw, self.now)
            raise self._refuse(newest, challenger, unread, Objection("unreadable", str(error))) from error
        if answer.silent and known and (known.approved or known.source == MLFLOW):
            return self._unchanged(
                newest, challenger, f"nobody answered in Airflow, and it was already {describe_answer(known)}"
            )
        objection = object_to(answer, challenger, digest, known, self.policy, self.hours)
        if objection is None and known is None:
            objection = self._withdrawn_decision(version, answer, raw)
        if objection:
            raise self._refuse(newest, challenger, answer, objection)
        record = state.copy_of(version)
        if record:
            return self._promote_again(newest, challenger, answer, record)
        return self._promote_approved(newest, challenger, answer, known)

    def _promote_approved(
        self, newest: Record | None, challenger: ModelVersion, answer: Answer, known: Answered | None
    ) -> Outcome:
        objection = self._not_judged_against(challenger, self._champion_to_beat()) or self._older_than_champion(
            challenger
        )
        if objection:
            raise self._refuse(newest, challenger, answer, objection)
        try:
            load_verified(self.tracker, challenger)
        except ModelDamagedError as error:
            self._refuse(newest, challenger, answer, Objection("changed files", str(error)))
            raise
        if known is None or not known.approved:
            newest = self.log.append(newest, APPROVAL, at=self.now, **_audit_entry(answer, challenger))
        copy = self.registry.copy(replace(challenger, tags={**challenger.tags, **answer.as_tags()}))
        facts = {
            "version": copy.version,
            "challenger": str(challenger.version),
            "model_id": challenger.model_id,
            "digest": challenger.digest,
            "cutoff": challenger.cutoff,
            "source": answer.source,
            ANSWERED_AT: answer.at,
            **{name: challenger.tags.get(name, "") for name in _EVIDENCE_TAGS},
        }
        made = self.log.append(newest, PROMOTION, at=self.now, by=answer.by, reason=answer.reason, facts=facts)
        return self._finish(challenger, answer, made.state.records[copy.version])

    def _promote_again(
        self, newest: Record | None, challenger: ModelVersion, answer: Answer, record: ChampionRecord
    ) -> Outcome:
        champion = newest.state.champion if newest else None
        became = f"became champion version {record.version} at {record.at}"
        if record.withdrawn:
            sentence = f"challenger version {challenger.version} {became} and was {record.withdrawn}"
            back = f"rollback to={record.version} reason=... brings it back"
            raise self._refuse(newest, challenger, answer, Objection("withdrawn", f"{sentence}; {back}"))
        if champion != record.version:
            return self._unchanged(newest, challenger, f"it {became} and was succeeded by version {champion}")
        return self._finish(challenger, answer, record)

    def _finish(self, challenger: ModelVersion, answer: Answer, record: ChampionRecord) -> Outcome:
        newest = reconcile_alias(self.registry, self.log, lambda: self._show_answer(challenger, answer))
        return Outcome(
            champion=newest.state.champion,
            previous=newest.state.previous,
            challenger=challenger,
            approved_by=record.by,
            promoted=newest.state.champion == record.version,
            said=f"challenger version {challenger.version} is champion version {record.version}, "
            f"approved by {record.by}",
            record=newest.number,
        )

    def _show_answer(self, challenger: ModelVersion, answer: Answer) -> None:
        self.registry.tag(challenger, answer.as_tags())

    def _unchanged(self, newest: Record | None, challenger: ModelVersion, why: str) -> Outcome:
        champion = newest.state.champion if newest else None
        return Outcome(
            champion=champion,
            previous=None,
            challenger=challenger,
            approved_by="",
            promoted=False,
            said=f"challenger version {challenger.version}: {why}; nothing changes",
            record=newest.number if newest else 0,
        )

    def _champion_to_beat(self) -> str:
        """Return the champion a challenger must have been judged against; finishes an interrupted move first."""
        try:
            state = require_reconciled(self.registry, self.log)
        except PromotionInterruptedError:
            state = reconcile_alias(self.registry, self.log).state
        except ChampionGoneError:
            return "none"
        return str(state.champion or "none")

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

    def _older_than_champion(self, challenger: ModelVersion) -> Objection | None:
        record = self.log.state().current
        # A twin that is offered instead of its refitted model knows fewer days than its judgement.
        known = max(challenger.cutoff, challenger.tags.get("as_of", ""))
        if record is None or record.cutoff <= known:
            return None
        return Objection(
            "older",
            f"challenger version {challenger.version} was trained on data before {challenger.cutoff[:10]}, the "
            f"champion on data before {record.cutoff[:10]}; an older model replaces a newer one only by rollback",
        )

    def _withdrawn_decision(self, version: int, answer: Answer, raw: Mapping[str, Any]) -> Objection | None:
        tag = f"{DECISION}{version}"
        if answer.source != MLFLOW or self.registry.notes().get(tag) == raw["decision"]:
            return None
        return Objection("taken back", f"the tag {tag} in MLflow no longer says what was noticed; nothing is promoted")

    def _refuse(
        self, newest: Record | None, challenger: ModelVersion, answer: Answer, objection: Objection
    ) -> NotApprovedError:
        """Record a refusal, once, and return it as an error."""
        entry = _audit_entry(answer, challenger)
        facts = {**entry["facts"], "cause": objection.cause, "said": objection.sentence}
        state = newest.state if newest else ChampionState()
        if state.refused.get(challenger.version) != refusal_digest(facts, entry["by"], entry["reason"]):
            self.log.append(newest, REFUSAL, at=self.now, **{**entry, "facts": facts})
        if objection.cause not in {REJECTED, "silence"}:
            return NotApprovedError(objection.sentence)
        self._show_answer(challenger, answer)
        still = f"the champion is still version {state.champion}" if state.champion else "there is still no champion"
        return NotApprovedError(f"{objection.sentence}; {still}")


def _audit_entry(answer: Answer, challenger: ModelVersion) -> dict[str, Any]:
    facts = {
        "challenger": challenger.version,
        "digest": challenger.digest,
        "source": answer.source,
        ANSWERED_AT: answer.at,
    }
    return {"by": answer.by, "reason": answer.reason, "facts": facts}


def _unreadable_answer(raw: Mapping[str, Any], now: str) -> Answer:
    source = MLFLOW if "decision" in raw else AIRFLOW
    return Answer(approved=False, by="unknown", reason="", at=now, source=source)
