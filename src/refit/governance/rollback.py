"""
Rollbacks: return the model and the lists together to an earlier champion.

Everything is checked before anything moves. Then the record is written, the alias follows, and the pointer of the lists
moves once. Repeating the same call finishes a rollback that was interrupted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from refit.batches.pointer import read_pointer
from refit.errors import ConfigurationError, NotFoundError
from refit.governance.audit_log import AuditLog, Record
from refit.governance.champion_state import ROLLBACK, ChampionRecord, ChampionState
from refit.governance.champions import active_version, carried_out, reconcile_alias
from refit.interfaces import ModelRegistry, Tracker
from refit.model.item_factors import load_verified
from refit.publication import LIVE, Published, point_back, require_point_back
from refit.storage.object_store import ObjectStore

Lists = Literal["back", "stay"]


@dataclass(frozen=True, kw_only=True)
class RollbackRequest:
    """A request to return to an earlier champion."""

    to: int | None
    """A version of the champions' model; None: the previous champion that was not withdrawn."""
    reason: str
    by: str
    at: str
    logical_run: str
    """The same for every attempt at one rollback, so that it is carried out once."""
    lists: Lists = "back"
    """`stay` leaves the lists as they are, for a champion without a remaining batch."""


@dataclass(frozen=True, kw_only=True)
class RolledBack:
    """State of model and lists after a rollback."""

    record: Record
    published: Published | None
    """None where the lists were left as they are."""


@dataclass(frozen=True, kw_only=True)
class Rollbacks:
    """Carries out rollbacks; holds everything that one moves or checks."""

    registry: ModelRegistry
    tracker: Tracker
    log: AuditLog
    store: ObjectStore
    """The store of the lists."""

    def roll_back(self, wish: RollbackRequest) -> RolledBack:
        """
        Roll back, or finish a rollback that this run or a killed one began instead of beginning another.

        Raises:
            ConfigurationError: the reason or name is missing, or there is no such champion to go back to.
            AliasMovedError: the target version is gone or its model was changed.
            ModelDamagedError: the target's files differ from those it was promoted with.
            NotFoundError: no batch of lists made by the target is left.
            ConflictError: somebody else changed the champion at the same moment.
        """
        if not wish.reason.strip() or not wish.by.strip():
            raise ConfigurationError("a rollback is recorded: give reason=... and requested_by=...")
        newest = self.log.newest()
        if newest is None or newest.state.champion is None:
            raise ConfigurationError(f"{self.log.address} names no champion, so there is nothing to go back from")
        begun = self._begun_before(newest, wish)
        return self._finish(begun or self._begin(newest, wish))

    def _begun_before(self, newest: Record, request: RollbackRequest) -> Record | None:
        state = newest.state
        number = state.runs.get(request.logical_run)
        if number is None and carried_out(self.registry, newest.number) < state.moved:
            number = state.moved
        record = self.log.record(number) if number else None
        if record is None or record.kind != ROLLBACK:
            return None
        return record if request.to in (None, record.facts["version"]) else None

    def _begin(self, newest: Record, request: RollbackRequest) -> Record:
        target = self._target(newest.state, request.to)
        load_verified(self.tracker, active_version(self.registry, target))
        passed = [record.version for record in newest.state.line() if record.since > target.since]
        facts = {
            "version": target.version,
            "from": newest.state.champion,
            "withdrawn": sorted(passed),
            "logical_run": request.logical_run,
            "lists": self._list_action(target.version, passed) if request.lists == "back" else "stay",
        }
        return self.log.append(newest, ROLLBACK, at=request.at, by=request.by, reason=request.reason, facts=facts)

    def _finish(self, record: Record) -> RolledBack:
        moved: list[Published] = []
        version = int(record.facts["version"])

        def lists() -> None:
            # Another version may have become champion since this rollback began; then its lists stay.
            if record.facts["lists"] == "back" and self.log.state().champion == version:
                moved.append(self._point_lists_back(record, version))

        reconcile_alias(self.registry, self.log, lists)
        return RolledBack(record=record, published=moved[0] if moved else None)

    def _point_lists_back(self, record: Record, version: int) -> Published:
        origin = {"reason": record.reason, "by": record.by, "at": record.at}
        return point_back(self.store, version=version, logical_run=str(record.facts["logical_run"]), **origin)

    def _target(self, state: ChampionState, to: int | None) -> ChampionRecord:
        active = state.line()
        if to is None:
            if len(active) < 2:
                raise ConfigurationError(
                    f"champion version {state.champion} is the only one that stands; there is none to go back to"
                )
            return active[-2]
        if to == state.champion:
            raise ConfigurationError(f"version {to} is the champion already; nothing to go back from")
        if to not in state.records:
            known = ", ".join(str(version) for version in sorted(state.records))
            raise ConfigurationError(f"version {to} was never champion; those that were are {known}")
        return state.records[to]

    def _list_action(self, version: int, passed: list[int]) -> str:
        """Return `back` if the lists can go back, or `stay` if the live lists need not."""
        try:
            require_point_back(self.store, version=version)
        except NotFoundError as error:
            stored = self.store.get(LIVE)
            named = read_pointer(stored.content, LIVE).target if stored else None
            maker: Mapping[str, Any] = named.model if named else {}
            if maker.get("version") not in passed:
                return "stay"
            raise NotFoundError(
                f"the lists cannot go back: {error}; lists=stay takes the model back alone, and recommend then "
                "makes new ones"
            ) from error
        return "back"
