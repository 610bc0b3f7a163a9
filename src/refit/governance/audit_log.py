"""
The audit log: who approved, refused, promoted, rolled back or adopted which model, when and why.

Each record is a separate object that is created once and never overwritten. The second of two concurrent writers gets
an error, so appending acts as the compare-and-swap for everything that the log decides. Each record names the SHA-256
of the previous one and contains the state after it, so one read yields the champion.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from refit.digests import canonical_json, sha256
from refit.errors import ConflictError, RefitError
from refit.governance.champion_state import ANSWERED_AT, ChampionState
from refit.storage.object_store import ObjectStore
from refit.storage.store_clock import read_clock, require_past

PREFIX = "audit/"
FORMAT = "refit-audit/1"
_NAME = re.compile(r"audit/([0-9]{6,})\.json")


class AuditDamagedError(RefitError):
    """A record of the audit log was changed, removed or added by somebody else."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """One entry."""

    number: int
    """From 1 on, without a gap."""
    kind: str
    """approval, refusal, promotion, rollback, adoption or horizon."""
    at: str
    """When it was written (ISO 8601, UTC)."""
    by: str
    reason: str
    facts: Mapping[str, Any]
    """Facts specific to the kind, as plain JSON values."""
    before: str
    """SHA-256 of the previous record; empty for the first one."""
    state: ChampionState
    """Champion state after this record."""

    @property
    def key(self) -> str:
        """Key of the record in the store."""
        return key_of(self.number)

    @property
    def sha256(self) -> str:
        """Digest of the whole record, which the next one names."""
        return sha256(self.to_bytes())

    def to_bytes(self) -> bytes:
        """Return the record as it is stored."""
        return canonical_json(
            {
                "format": FORMAT,
                "number": self.number,
                "kind": self.kind,
                "at": self.at,
                "by": self.by,
                "reason": self.reason,
                "facts": dict(self.facts),
                "before": self.before,
                "standing": self.state.to_json(),
            }
        )


class AuditLog:
    """The records of one shop, `audit/` in the store of its lists."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    @property
    def address(self) -> str:
        """Address of the records."""
        return f"{self._store.address}/{PREFIX}"

    def newest(self) -> Record | None:
        """Return the newest record, or None before the first one."""
        numbers = self._numbers()[0]
        return self.record(numbers[-1]) if numbers else None

    def state(self) -> ChampionState:
        """Return the current champion state."""
        newest = self.newest()
        return newest.state if newest else ChampionState()

    def append(
        self, after: Record | None, kind: str, *, at: str, by: str, reason: str, facts: Mapping[str, Any]
    ) -> Record:
        """
        Write the record that follows *after*, and return it.

        Raises:
            ConflictError: somebody else wrote that record first; read the newest one and decide again.
            AheadOfClockError: *at*, or the time of the answer in *facts*, is later than the store's clock.
        """
        clock = read_clock(self._store, after.key if after else key_of(1))
        require_past("at", at, clock)
        if facts.get(ANSWERED_AT):
            require_past(ANSWERED_AT, facts[ANSWERED_AT], clock)
        number = after.number + 1 if after else 1
        state = after.state if after else ChampionState()
        record = Record(
            number=number,
            kind=kind,
            at=at,
            by=by,
            reason=reason,
            facts=facts,
            before=after.sha256 if after else "",
            state=state.after(number, kind, at=at, by=by, reason=reason, facts=facts),
        )
        try:
            self._store.create(record.key, record.to_bytes())
        except ConflictError as error:
            raise ConflictError(
                f"somebody else has written record {number} of {self.address} first; nothing was overwritten, try again"
            ) from error
        return record

    def verified(self) -> list[Record]:
        """
        Return every record, each checked against the one before and after it.

        Raises:
            AuditDamagedError: names the first record that was changed, is missing, or does not belong there.
        """
        numbers, strange = self._numbers()
        if strange:
            raise AuditDamagedError(
                f"{self._store.address}/{strange[0]} is no record of the audit log; somebody else has put it there"
            )
        records: list[Record] = []
        for expected, number in enumerate(numbers, start=1):
            if number != expected:
                raise AuditDamagedError(f"{self.address} lacks record {expected}, although record {number} is there")
            record = self.record(number)
            self._check(record, records[-1] if records else None)
            records.append(record)
        return records

    def _check(self, record: Record, before: Record | None) -> None:
        if record.before != (before.sha256 if before else ""):
            wrong = f"record {before.number} was changed after" if before else "a record before it was removed since"
            raise AuditDamagedError(
                f"{self.address}: {wrong} record {record.number} was written, which names another SHA-256"
            )
        earlier = before.state if before else ChampionState()
        try:
            holds = earlier.after(
                record.number, record.kind, at=record.at, by=record.by, reason=record.reason, facts=record.facts
            )
            follows = holds == record.state
        except (KeyError, TypeError, ValueError):
            follows = False
        if not follows:
            raise AuditDamagedError(
                f"{self.address}: what record {record.number} says to hold after it does not follow from the records; "
                "it was not written by Refit, or was changed"
            )

    def _numbers(self) -> tuple[list[int], list[str]]:
        numbers, strange = [], []
        for key in self._store.keys(PREFIX):
            match = _NAME.fullmatch(key)
            if match:
                numbers.append(int(match[1]))
            else:
                strange.append(key)
        return sorted(numbers), strange

    def record(self, number: int) -> Record:
        """Return one record; AuditDamagedError when it is missing or unreadable."""
        key = key_of(number)
        stored = self._store.get(key)
        if stored is None:
            raise AuditDamagedError(f"{self._store.address}/{key} is gone, although the audit log knows of it")
        try:
            document = json.loads(stored.content)
            if document.pop("format") != FORMAT:
                raise ValueError(f"its format is not {FORMAT}")
            state = ChampionState.from_json(document.pop("standing"))
            record = Record(**document, state=state)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise AuditDamagedError(f"{self._store.address}/{key} cannot be read: {error!r}") from error
        if record.number != number or record.to_bytes() != stored.content:
            raise AuditDamagedError(
                f"{self._store.address}/{key} is not as Refit writes record {number}; it was changed"
            )
        return record


def key_of(number: int) -> str:
    """
    Return the key of a record.

    >>> key_of(7)
    'audit/000007.json'
    """
    return f"{PREFIX}{number:06d}.json"
