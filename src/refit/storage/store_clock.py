"""
The clock of the object store: the one clock that all writers share, used to bound instants given by callers.

An instant in the future, once written to a pointer or a record, would outrank or expire everything written until that
instant is reached. So instants ahead of the store's clock are refused before they are written.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from refit.errors import ConfigurationError, TransientError
from refit.storage.driver import drive
from refit.storage.object_store import ObjectStore
from refit.storage.requests import Conversation, Get, ask

TOLERANCE = timedelta(minutes=15)
"""Largest tolerated lead of a caller's clock; S3 refuses requests from clocks that are off by more."""
_STAMP = "%Y%m%dT%H%M%SZ"


class AheadOfClockError(ConfigurationError):
    """An instant given by a caller is ahead of the object store's clock."""


class NoClockError(TransientError):
    """The object store answered without a time."""


def stamp(instant: datetime) -> str:
    """
    Return *instant* in the format of batch names and horizons; stamps sort like instants.

    >>> stamp(datetime(2026, 1, 6, 3, 15, tzinfo=UTC))
    '20260106T031500Z'
    """
    return instant.astimezone(UTC).strftime(_STAMP)


def instant_of(text: str) -> datetime | None:
    """
    Return the instant of a stamp, or None for any other text.

    >>> instant_of("20260106T031500Z")
    datetime.datetime(2026, 1, 6, 3, 15, tzinfo=datetime.timezone.utc)
    """
    try:
        return datetime.strptime(text, _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def order(instant: datetime) -> str:
    """
    Return *instant* in the fixed-length format of fences, which sorts like instants.

    >>> order(datetime.fromisoformat("2026-01-06T04:15:00+01:00"))
    '2026-01-06T03:15:00.000000Z'
    """
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def require_clock(at: datetime | None) -> datetime:
    """Return the time *at* of an answer; NoClockError if it is None."""
    if at is None:
        raise NoClockError(
            "the object store does not say what time it is, so no instant can be checked against its clock; see "
            "whether something between it and Refit removes the header Date"
        )
    return at


def read_clock(store: ObjectStore, key: str) -> datetime:
    """Return the time of *store*'s clock from one request for *key*, which need not exist."""
    return drive(store, _asking(key))


def require_past(name: str, instant: str | datetime, clock: datetime) -> None:
    """
    Raise AheadOfClockError if *instant* (ISO 8601 if text; UTC if without a zone) is after *clock*.

    A lead of up to `TOLERANCE` is tolerated as a difference between two clocks.
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
