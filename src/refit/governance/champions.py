"""
Champions: which model may serve according to the audit log, and how the registry's alias follows the log.

The newest record decides. A note beside the alias names the last record that the alias followed, which distinguishes an
alias left behind by a killed promotion from one that somebody moved.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from refit.errors import ConfigurationError, ConflictError, NotApprovedError, NotFoundError, RefitError, TransientError
from refit.governance.audit_log import AuditDamagedError, AuditLog, Record
from refit.governance.champion_state import ChampionRecord, ChampionState
from refit.interfaces import ModelRegistry, ModelVersion

CARRIED_OUT = "audit-record"
"""Tag of the champions' registered model: number and SHA-256 of the last record that the alias followed."""
_TRIES = 10


class AliasMovedError(RefitError):
    """The registry's alias names a different version than the audit log, or one that no longer exists."""


class ChampionGoneError(AliasMovedError):
    """The champion's version was removed from the registry, and the alias with it."""


class PromotionInterruptedError(TransientError):
    """The audit log has a new champion, but the alias does not point at it yet."""


def serving_champion(registry: ModelRegistry, log: AuditLog, as_of: datetime) -> ModelVersion | None:
    """
    Return the champion for lists as of *as_of*, or None before the first promotion.

    This is the newest promoted version that was not withdrawn and whose training cutoff is not after *as_of*. Its
    digest is checked against the one it was promoted with.

    Raises:
        AliasMovedError: somebody else moved the alias or removed the version, or its tags were changed.
        PromotionInterruptedError: a promotion or a rollback was not finished.
        ConfigurationError: every champion was trained on data at or after *as_of*.
    """
    state = require_reconciled(registry, log)
    active = state.line()
    if not active:
        return None
    old_enough = [record for record in active if datetime.fromisoformat(record.cutoff) <= as_of]
    if not old_enough:
        oldest = min(active, key=lambda record: record.cutoff)
        raise ConfigurationError(
            f"no champion is old enough for as_of={as_of.date()}: the oldest one, version {oldest.version}, has seen "
            f"data up to {oldest.cutoff[:10]}; lists for that date would know their future; give a later as_of"
        )
    return active_version(registry, old_enough[-1])


def active_champion(registry: ModelRegistry, log: AuditLog) -> ModelVersion | None:
    """
    Return the current champion, or None before the first promotion.

    Raises:
        AliasMovedError: somebody else moved the alias or removed the version, or its tags were changed.
        PromotionInterruptedError: a promotion or a rollback was not finished.
    """
    record = require_reconciled(registry, log).current
    return active_version(registry, record) if record else None


def withdrawn(log: AuditLog, version: int) -> str | None:
    """Return why a rollback withdrew champion *version*; None when it was not withdrawn."""
    record = log.state().records.get(version)
    if record is None or not record.withdrawn:
        return None
    return f"champion version {version} was {record.withdrawn}"


def approved_digest(log: AuditLog, version: int) -> str | None:
    """Return the digest with which *version* was promoted; None when it never became champion."""
    record = log.state().records.get(version)
    return None if record is None else record.digest


def active_version(registry: ModelRegistry, record: ChampionRecord) -> ModelVersion:
    """Return the registered version of *record*; AliasMovedError when it is gone or its model was changed."""
    try:
        found = registry.champion_version(record.version)
    except NotFoundError as error:
        raise ChampionGoneError(_gone(record)) from error
    if (found.model_id, found.digest) != (record.model_id, record.digest):
        raise AliasMovedError(
            f"champion version {record.version} became champion with digest {record.digest[:16]} and now says "
            f"{found.digest[:16] or 'none'}; its tags were changed, so it is not used"
        )
    return found


def adoptable(registry: ModelRegistry, state: ChampionState, version: int) -> ModelVersion:
    """
    Return *version* of the champions' model if it may be adopted: a former champion, or a version with evidence.

    Raises:
        AliasMovedError: a former champion is gone from the registry or its model was changed.
        NotApprovedError: the version was never champion and lacks evidence.
    """
    record = state.records.get(version)
    if record is not None:
        return active_version(registry, record)
    found = registry.champion_version(version)
    missing = [name for name in ("model_id", "digest", "cutoff", "verdict") if not found.tags.get(name)]
    if missing or found.tags["verdict"] != "propose":
        raise NotApprovedError(
            f"version {version} of {found.name} cannot be adopted: it lacks "
            f"{', '.join(missing) or 'a passed promotion verdict'}; promote a challenger instead"
        )
    return found


def require_reconciled(registry: ModelRegistry, log: AuditLog) -> ChampionState:
    """Return the current champion state after checking that the alias agrees with the newest record."""
    newest = log.newest()
    state = newest.state if newest else ChampionState()
    alias = registry.champion()
    named = alias.version if alias else None
    if named == state.champion:
        return state
    record = state.current
    if newest is None or record is None:
        raise AliasMovedError(
            f"the alias champion names version {named}, but the audit log {log.address} knows of no promotion; "
            f"accept it with adopt version={named} reason=..., or remove the alias"
        )
    if carried_out(registry, newest.number) < state.moved and named == state.previous:
        raise PromotionInterruptedError(
            f"version {record.version} became champion at {record.at} by {record.by}, but the alias still names "
            f"{f'version {named}' if named else 'none'}: the step was interrupted; run it again (promote_model, "
            "rollback or adopt), it goes on where it stopped"
        )
    if named is None:
        try:
            registry.champion_version(record.version)
        except NotFoundError as error:
            raise ChampionGoneError(_gone(record)) from error
    raise AliasMovedError(
        f"the alias champion names {f'version {named}' if named else 'no version'}, the audit log version "
        f"{record.version}, champion since {record.at} by {record.by}: somebody has moved the alias; "
        + (f"accept it with adopt version={named} reason=..., or " if named else "")
        + f"put it back with adopt version={record.version} reason=..."
    )


def reconcile_alias(registry: ModelRegistry, log: AuditLog, also: Callable[[], None] | None = None) -> Record:
    """
    Point the alias at the champion of the newest record, call *also*, and note that the record was carried out.

    Returns that record.

    Raises:
        ConflictError: other writers kept appending records in the meantime.
    """
    for _ in range(_TRIES):
        newest = log.newest()
        if newest is None or newest.state.champion is None:
            raise NotFoundError(f"{log.address} names no champion; promote a challenger first")
        registry.point(newest.state.champion)
        # A record written in the meantime may name another champion, and its writer may have set the alias before us.
        now = log.newest()
        if now is not None and now.number == newest.number:
            if also:
                also()
            registry.note(CARRIED_OUT, f"{newest.number} {newest.sha256}")
            return newest
    raise ConflictError(f"{log.address} grew {_TRIES} times while the alias was being moved; try again")


def carried_out(registry: ModelRegistry, newest: int) -> int:
    """Return the number of the last record that the alias followed; *newest* is the number of the newest record."""
    number = _remembered(registry)[0]
    if number > newest:
        raise AuditDamagedError(
            f"the audit log ends with record {newest}, the registry remembers record {number}; the newest are missing, "
            "so nobody can say who is champion; restore them"
        )
    return number


def check_memory(registry: ModelRegistry, records: list[Record]) -> int:
    """
    Check *records* against the last record noted in the registry, and return its number; 0 when none is noted.

    Raises:
        AuditDamagedError: that record was changed, or it and all later records are missing.
    """
    number, digest = _remembered(registry)
    if number > len(records):
        raise AuditDamagedError(
            f"the audit log ends with record {len(records)}, the registry remembers record {number}; the newest are "
            "missing"
        )
    if number and records[number - 1].sha256 != digest:
        raise AuditDamagedError(f"record {number} was changed: the registry remembers another SHA-256 of it")
    return number


def _remembered(registry: ModelRegistry) -> tuple[int, str]:
    number, _, digest = registry.notes().get(CARRIED_OUT, "0 ").partition(" ")
    try:
        return int(number), digest
    except ValueError as error:
        raise AuditDamagedError(
            f"the tag {CARRIED_OUT} of the champions' model was changed: {number[:40]!r}"
        ) from error


def _gone(record: ChampionRecord) -> str:
    return (
        f"champion version {record.version}, champion since {record.at} by {record.by}, is gone from the registry; "
        "go back to an earlier one with rollback to=VERSION reason=..., or train and promote again"
    )
