"""
Requests to an object store as values, and answers with a possibly unknown outcome.

Code that must be correct under any failure is written as a generator that yields requests and receives answers. So the
same code runs against a real store and against a simulator that chooses every fault and every order of events.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from refit.errors import TransientError

if TYPE_CHECKING:
    from refit.storage.object_store import ObjectStore

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Get:
    """Read an object."""

    key: str


@dataclass(frozen=True, slots=True)
class Create:
    """Write an object that does not exist yet."""

    key: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Swap:
    """Replace an object that still has *etag*."""

    key: str
    content: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove an object, if it exists."""

    key: str


@dataclass(frozen=True, slots=True)
class List:
    """List every object whose key starts with *key*."""

    key: str


Request = Get | Create | Swap | Delete | List


class Outcome(Enum):
    """What is known after a request."""

    DONE = "done"
    MISSING = "missing"
    """There is no such object."""
    REFUSED = "refused"
    """The condition of a write did not hold, possibly because an earlier attempt succeeded; read to find out."""
    UNKNOWN = "unknown"
    """An error, a passing conflict or no answer: the request may take effect now, later or never."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request."""

    outcome: Outcome
    content: bytes = b""
    etag: str = ""
    keys: tuple[str, ...] = ()
    why: str = ""
    """The error message, if the outcome is unknown."""
    at: datetime | None = field(default=None, compare=False)
    """Time of the store's clock in the answer; None if it gave none."""


DONE = Outcome.DONE
MISSING = Outcome.MISSING
REFUSED = Outcome.REFUSED
UNKNOWN = Outcome.UNKNOWN

Conversation = Generator[Request, Answer, Result]
"""A generator that yields requests, receives answers and returns a result."""
Pause = Callable[[int], None]
"""Called with the number of unknown outcomes in a row, from 1 on; returns when it is time for the next request."""

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 8.0


class UnknownOutcomeError(TransientError):
    """After every attempt the outcome of a request is still unknown; the same call may be repeated."""


def unknown_outcome(request: Request, answer: Answer) -> UnknownOutcomeError:
    """Return the error for a *request* whose last attempt got *answer*."""
    if answer.outcome is REFUSED:
        return UnknownOutcomeError(
            f"others wrote {request.key} first each time it was tried; the same call may be made again"
        )
    verb = {Get: "read", Create: "written", Swap: "written", Delete: "deleted", List: "listed"}[type(request)]
    return UnknownOutcomeError(
        f"it is not known whether {request.key} was {verb}: {answer.why or answer.outcome.value}; "
        "is the object store up? The same call may be made again"
    )


TRIES = 8
"""Number of attempts of a request whose outcome stays unknown."""


def ask(request: Request) -> Conversation[Answer]:
    """Make *request* until its outcome is known."""
    answer = Answer(UNKNOWN)
    for _ in range(TRIES):
        answer = yield request
        if answer.outcome is not UNKNOWN:
            return answer
    raise unknown_outcome(request, answer)


def _answered(store: ObjectStore, request: Request, put: Callable[[str, bytes, str | None], Answer]) -> Answer:
    match request:
        case Get(key):
            found = store.get(key)
            return Answer(DONE, found.content, found.etag) if found else Answer(MISSING)
        case Create(key, content):
            return put(key, content, None)
        case Swap(key, content, etag):
            return put(key, content, etag)
        case Delete(key):
            store.delete(key)
            return Answer(DONE)
        case List(prefix):
            return Answer(DONE, keys=tuple(store.keys(prefix)))
