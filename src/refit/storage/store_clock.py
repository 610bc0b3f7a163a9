"""
The clock of the object store: the one clock that all writers share, by which instants that callers give are bounded.

A wrong instant that has been written into a pointer or a record orders, and expires, whatever comes after it until that
instant has come. So what lies after the clock of the store is refused before it is written.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from refit.errors import ConfigurationError, TransientError
from refit.storage.driver import drive
from refit.storage.object_store import ObjectStore
from refit.storage.requests import Conversation, Get, ask

TOLERANCE = timedelta(minutes=15)
"""A clock may be ahead by so much; S3 refuses the requests of one that is wrong by more."""
_STAMP = "%Y%m%dT%H%M%SZ"


class AheadOfClockError(ConfigurationError):
    """An instant that a caller has given lies after the clock of the object store."""


class NoClockError(TransientError):
    """The object store has answered without saying what time it is."""


def stamp(instant: datetime) -> str:
    """
    Return *instant* as batch names and horizons have it; stamps are ordered as instants are.

    >>> stamp(datetime(2026, 1, 6, 3, 15, tzinfo=UTC))
    '20260106T031500Z'
    """
    return instant.astimezone(UTC).strftime(_STAMP)


def instant_of(text: str) -> datetime | None:
    """
    Return the instant of a stamp, or None for a text that is none.

    >>> instant_of("20260106T031500Z")
    datetime.datetime(2026, 1, 6, 3, 15, tzinfo=datetime.timezone.utc)
    """
    try:
        return datetime.strptime(text, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def order(instant: datetime) -> str:
    """
    Return *instant* as fences have it: equal lengths, so that texts are ordered as instants are.

    >>> order(datetime.fromisoformat("2026-01-06T04:15:00+01:00"))
    '2026-01-06T03:15:00.000000Z'
    """
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def require_clock(at: datetime | None) -> datetime:
    """Return what the clock said with an answer; NoClockError when the answer does not tell."""
    if at is None:
        raise NoClockError(
            "the object store does not say what time it is, so no instant can be checked against its clock; see "
            "whether something between it and Refit removes the header Date"
        )
    return at


def read_clock(store: ObjectStore, key: str) -> datetime:
    """Return what the clock of *store* says; one request, for *key*, whether there is such an object or not."""
    return drive(store, _asking(key))


def require_past(name: str, instant: str | datetime, clock: datetime) -> None:
    """
    Raise AheadOfClockError when *instant* (ISO 8601 where it is text; without a zone it is UTC) is after *clock*.

    What is ahead by `TOLERANCE` at most is taken for a difference between two clocks.
    """
    moment = datetime.fromisoformat(instant) if isinstance(instant, str) else instant
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    if moment - clock > TOLERANCE:
        raise AheadOfClockError(
            f"{name}={moment.isoformat()} is {(moment - clock) / timedelta(hours=1):,.1f} hours after the clock of the "
            f"object store ({clock.isoformat(timespec='seconds')}), {TOLERANCE / timedelta(hours=1):g} hours are "
            "allowed: give an instant that has passed, or put the clock of the machine right that has set it"
        )


def _asking(key: str) -> Conversation[datetime]:
    answer = yield from ask(Get(key))
    return require_clock(answer.at)
