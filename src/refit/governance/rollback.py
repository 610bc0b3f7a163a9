"""
Rollbacks: the model and the lists go back together, to a champion that stood before.

Everything is checked before anything moves. Then the record is written, the alias follows, and the pointer of the lists
is moved once. Whatever was begun is finished by the same call made again.
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
    """What somebody wants to go back to."""

    to: int | None
    """A version of the champions' model; None: the champion before this one that was not withdrawn."""
    reason: str
    by: str
    at: str
    logical_run: str
    """The same for every try of one rollback: it is done once."""
    lists: Lists = "back"
    """`stay` leaves the lists, for a champion of which no batch is left."""


@dataclass(frozen=True, kw_only=True)
class RolledBack:
    """Where model and lists stand."""

    record: Record
    published: Published | None
    """None where the lists were left as they are."""


@dataclass(frozen=True, kw_only=True)
class Rollbacks:
    """Everything that a rollback moves or checks."""

    registry: ModelRegistry
    tracker: Tracker
    log: AuditLog
    store: ObjectStore
    """Of the lists."""

    def roll_back(self, wish: RollbackRequest) -> RolledBack:
        """
        Go back; a rollback that was begun, by this run or one that was killed, is finished and no other is begun.

        Raises:
            ConfigurationError: no reason, no name, or no such champion to go back to.
            AliasMovedError: the version to go back to is gone or is another model now.
            ModelDamagedError: its files are not those with which it became champion.
            NotFoundError: no batch of lists by it is left.
            ConflictError: somebody else has changed the champion at the same moment.
        """
        if not wish.reason.strip() or not wish.by.strip():
            raise ConfigurationError("a rollback is recorded: give reason=... and requested_by=...")
        newest = self.log.newest()
        if newest is None or newest.standing.champion is None:
            raise ConfigurationError(f"{self.log.address} names no champion, so there is nothing to go back from")
        begun = self._begun(newest, wish)
        return self._finished(begun or self._begin(newest, wish))

    def _begun(self, newest: Record, wish: RollbackRequest) -> Record | None:
        standing = newest.standing
        number = standing.runs.get(wish.logical_run)
        if number is None and carried_out(self.registry, newest.number) < standing.moved:
            number = standing.moved
        record = self.log.record(number) if number else None
        if record is None or record.kind != ROLLBACK:
            return None
        return record if wish.to in (None, record.facts["version"]) else None

    def _begin(self, newest: Record, wish: RollbackRequest) -> Record:
        target = self._target(newest.standing, wish.to)
        load_verified(self.tracker, active_version(self.registry, target))
        passed = [reign.version for reign in newest.standing.line() if reign.since > target.since]
        facts = {
            "version": target.version,
            "from": newest.standing.champion,
            "withdrawn": sorted(passed),
            "logical_run": wish.logical_run,
            "lists": self._lists(target.version, passed) if wish.lists == "back" else "stay",
        }
        return self.log.append(newest, ROLLBACK, at=wish.at, by=wish.by, reason=wish.reason, facts=facts)

    def _finished(self, record: Record) -> RolledBack:
        moved: list[Published] = []
        version = int(record.facts["version"])

        def lists() -> None:
            # Somebody may have made another one champion since this was begun; then the lists are theirs.
            if record.facts["lists"] == "back" and self.log.standing().champion == version:
                moved.append(self._pointed(record, version))

        reconcile_alias(self.registry, self.log, lists)
        return RolledBack(record=record, published=moved[0] if moved else None)

    def _pointed(self, record: Record, version: int) -> Published:
        said = {"reason": record.reason, "by": record.by, "at": record.at}
        return point_back(self.store, version=version, logical_run=str(record.facts["logical_run"]), **said)

    def _target(self, standing: ChampionState, to: int | None) -> ChampionRecord:
        line = standing.line()
        if to is None:
            if len(line) < 2:
                raise ConfigurationError(
                    f"champion version {standing.champion} is the only one that stands; there is none to go back to"
                )
            return line[-2]
        if to == standing.champion:
            raise ConfigurationError(f"version {to} is the champion already; nothing to go back from")
        if to not in standing.reigns:
            known = ", ".join(str(version) for version in sorted(standing.reigns))
            raise ConfigurationError(f"version {to} was never champion; those that were are {known}")
        return standing.reigns[to]

    def _lists(self, version: int, passed: list[int]) -> str:
        """Return `back` if the lists can go back, or `stay` if none of those that are live would have to."""
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
