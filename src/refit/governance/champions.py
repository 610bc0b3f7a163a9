"""
Champions: which model may serve, as the audit log says, and how the registry's alias is kept to it.

The newest record decides. The alias follows, and a note beside it tells which record it has followed last; so an alias
that was left behind by a killed promotion is told from one that somebody has moved.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from refit.errors import ConfigurationError, ConflictError, NotApprovedError, NotFoundError, RefitError, TransientError
from refit.governance.audit_log import AuditDamagedError, AuditLog, Record
from refit.governance.champion_state import ChampionRecord, ChampionState
from refit.interfaces import ModelRegistry, ModelVersion

CARRIED_OUT = "audit-record"
"""Tag of the champions' registered model: number and SHA-256 of the record that the alias follows."""
_TRIES = 10


class AliasMovedError(RefitError):
    """The registry's alias names another version than the audit log, or one that is gone."""


class ChampionGoneError(AliasMovedError):
    """The version that became champion is no longer in the registry, and the alias went with it."""


class PromotionInterruptedError(TransientError):
    """The audit log has a new champion and the alias has not followed yet."""


def serving_champion(registry: ModelRegistry, log: AuditLog, as_of: datetime) -> ModelVersion | None:
    """
    Return the champion for lists as of *as_of*, or None before the first promotion.

    That is the newest promoted, not withdrawn version whose training cutoff is not after *as_of*. It has the digest
    with which it became champion, whatever its tags say now.

    Raises:
        AliasMovedError: the alias was moved, or the version removed, by somebody else.
        PromotionInterruptedError: a promotion or a rollback has not been finished.
        ConfigurationError: every champion has seen data at or after *as_of*.
    """
    standing = require_reconciled(registry, log)
    line = standing.line()
    if not line:
        return None
    old_enough = [reign for reign in line if datetime.fromisoformat(reign.cutoff) <= as_of]
    if not old_enough:
        first = min(line, key=lambda reign: reign.cutoff)
        raise ConfigurationError(
            f"no champion is old enough for as_of={as_of.date()}: the oldest one, version {first.version}, has seen "
            f"data up to {first.cutoff[:10]}; lists for that date would know their future; give a later as_of"
        )
    return active_version(registry, old_enough[-1])


def active_champion(registry: ModelRegistry, log: AuditLog) -> ModelVersion | None:
    """
    Return the champion that is active now, or None before the first promotion.

    Raises:
        AliasMovedError: the alias was moved, or the version removed, by somebody else.
        PromotionInterruptedError: a promotion or a rollback has not been finished.
    """
    record = require_reconciled(registry, log).reigning
    return active_version(registry, record) if record else None


def withdrawn(log: AuditLog, version: int) -> str | None:
    """Return why a rollback took champion *version* away; None when it stands, or was merely succeeded."""
    reign = log.standing().reigns.get(version)
    if reign is None or not reign.withdrawn:
        return None
    return f"champion version {version} was {reign.withdrawn}"


def approved_digest(log: AuditLog, version: int) -> str | None:
    """Return the digest with which *version* became champion; None when it never did."""
    reign = log.standing().reigns.get(version)
    return None if reign is None else reign.digest


def active_version(registry: ModelRegistry, reign: ChampionRecord) -> ModelVersion:
    """Return the registered version of *reign*; AliasMovedError when it is gone or another model now."""
    try:
        found = registry.champion_version(reign.version)
    except NotFoundError as error:
        raise ChampionGoneError(_gone(reign)) from error
    if (found.model_id, found.digest) != (reign.model_id, reign.digest):
        raise AliasMovedError(
            f"champion version {reign.version} became champion with digest {reign.digest[:16]} and now says "
            f"{found.digest[:16] or 'none'}; its tags were changed, so it is not used"
        )
    return found


def adoptable(registry: ModelRegistry, standing: ChampionState, version: int) -> ModelVersion:
    """
    Return *version* of the champions' model if it may be adopted: a former champion, or one with its evidence.

    Raises:
        AliasMovedError: it was champion, and is gone or another model now.
        NotApprovedError: it never was, and evidence is missing.
    """
    reign = standing.reigns.get(version)
    if reign is not None:
        return active_version(registry, reign)
    found = registry.champion_version(version)
    missing = [name for name in ("model_id", "digest", "cutoff", "verdict") if not found.tags.get(name)]
    if missing or found.tags["verdict"] != "propose":
        raise NotApprovedError(
            f"version {version} of {found.name} cannot be adopted: it lacks "
            f"{', '.join(missing) or 'a passed promotion verdict'}; promote a challenger instead"
        )
    return found


def require_reconciled(registry: ModelRegistry, log: AuditLog) -> ChampionState:
    """Return what holds, after checking that the alias is where the newest record says."""
    newest = log.newest()
    standing = newest.standing if newest else ChampionState()
    alias = registry.champion()
    named = alias.version if alias else None
    if named == standing.champion:
        return standing
    reign = standing.reigning
    if newest is None or reign is None:
        raise AliasMovedError(
            f"the alias champion names version {named}, but the audit log {log.address} knows of no promotion; "
            f"accept it with adopt version={named} reason=..., or remove the alias"
        )
    if carried_out(registry, newest.number) < standing.moved and named == standing.previous:
        raise PromotionInterruptedError(
            f"version {reign.version} became champion at {reign.at} by {reign.by}, but the alias still names "
            f"{f'version {named}' if named else 'none'}: the step was interrupted; run it again (promote_model, "
            "rollback or adopt), it goes on where it stopped"
        )
    if named is None:
        try:
            registry.champion_version(reign.version)
        except NotFoundError as error:
            raise ChampionGoneError(_gone(reign)) from error
    raise AliasMovedError(
        f"the alias champion names {f'version {named}' if named else 'no version'}, the audit log version "
        f"{reign.version}, champion since {reign.at} by {reign.by}: somebody has moved the alias; "
        + (f"accept it with adopt version={named} reason=..., or " if named else "")
        + f"put it back with adopt version={reign.version} reason=..."
    )


def reconcile_alias(registry: ModelRegistry, log: AuditLog, also: Callable[[], None] | None = None) -> Record:
    """
    Point the alias at the champion of the newest record, do what *also* belongs to it, and note that this is done.

    Returns the record.

    Raises:
        ConflictError: others went on writing records meanwhile.
    """
    for _ in range(_TRIES):
        newest = log.newest()
        if newest is None or newest.standing.champion is None:
            raise NotFoundError(f"{log.address} names no champion; promote a challenger first")
        registry.point(newest.standing.champion)
        # A record that was written meanwhile may name another champion, whose writer has set the alias before us.
        now = log.newest()
        if now is not None and now.number == newest.number:
            if also:
                also()
            registry.note(CARRIED_OUT, f"{newest.number} {newest.sha256}")
            return newest
    raise ConflictError(f"{log.address} grew {_TRIES} times while the alias was being moved; try again")


def carried_out(registry: ModelRegistry, newest: int) -> int:
    """Return the number of the last record that the alias has followed; *newest* is that of the newest one."""
    number = _remembered(registry)[0]
    if number > newest:
        raise AuditDamagedError(
            f"the audit log ends with record {newest}, the registry remembers record {number}; the newest are missing, "
            "so nobody can say who is champion; restore them"
        )
    return number


def check_memory(registry: ModelRegistry, records: list[Record]) -> int:
    """
    Compare *records* with the one that the registry remembers, and return its number; 0 when it remembers none.

    Raises:
        AuditDamagedError: that record was changed or is missing, with all that followed.
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


def _gone(reign: ChampionRecord) -> str:
    return (
        f"champion version {reign.version}, champion since {reign.at} by {reign.by}, is gone from the registry; "
        "go back to an earlier one with rollback to=VERSION reason=..., or train and promote again"
    )
