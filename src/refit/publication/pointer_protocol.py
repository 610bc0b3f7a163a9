"""Reading pointers, repeated until an answer comes, and changing them by compare-and-swap only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from refit.batches.pointer import NO_FENCE, Pointer, read_pointer
from refit.storage.requests import (
    DONE,
    UNKNOWN,
    Answer,
    Conversation,
    Create,
    Get,
    List,
    Request,
    Swap,
    ask,
    unknown_outcome,
)

ROUNDS = 12
"""Number of read-and-swap rounds; each lost round means that another writer succeeded."""


@dataclass(frozen=True)
class Seen:
    """A pointer at one moment."""

    etag: str
    """Etag; empty if there is no pointer."""
    pointer: Pointer | None
    at: datetime | None = None
    """Time of the store's clock at that moment."""


ABSENT = Seen("", None)


@dataclass(frozen=True)
class PointerOutcome:
    """The outcome of an attempt to point one pointer at a batch."""

    outcome: str
    """
    `published`; `superseded`: a batch with a higher fence was there; `expired`: the batch was created before the
    horizon, so its files may be deleted; `withdrawn`: its champion was rolled back; `ahead`: its date lies days
    after the newest landed one; `rolled_back`; `left_alone`: a backfill does not change what is live.
    """
    generation: int
    """Generation of the pointer now."""
    run_date: str
    """Run date of the batch that it names now; empty if it names none."""
    batch: str
    why: str = ""
    """Why it was withdrawn, or is ahead."""


def pointer_outcome(outcome: str, pointer: Pointer | None, why: str = "") -> PointerOutcome:
    """Return *outcome* with the current contents of *pointer*."""
    target = pointer.target if pointer else None
    return PointerOutcome(
        outcome=outcome,
        generation=pointer.generation if pointer else 0,
        run_date=target.run_date if target else "",
        batch=target.batch if target else "",
        why=why,
    )


def look(key: str) -> Conversation[Seen]:
    """Return the current pointer at *key*."""
    answer = yield from ask(Get(key))
    if answer.outcome is not DONE:
        return Seen("", None, answer.at)
    return Seen(answer.etag, read_pointer(answer.content, key), answer.at)


def list_keys(prefix: str) -> Conversation[tuple[str, ...]]:
    """Return every key that starts with *prefix*."""
    answer = yield from ask(List(prefix))
    return answer.keys


def replacing(key: str, seen: Seen, pointer: Pointer) -> Request:
    """Return the write that succeeds only if the pointer has not changed since *seen*."""
    content = pointer.to_json()
    return Swap(key, content, seen.etag) if seen.pointer else Create(key, content)


def change(key: str, alter: Callable[[Pointer], Pointer]) -> Conversation[Pointer]:
    """Apply *alter* to the pointer at *key*, write it if it changed, and return it."""
    answer: Answer = Answer(UNKNOWN)
    for _ in range(ROUNDS):
        seen = yield from look(key)
        before = seen.pointer or EMPTY
        wanted = alter(before)
        if wanted == before:
            return wanted
        answer = yield replacing(key, seen, wanted)
        if answer.outcome is DONE:
            return wanted
    raise unknown_outcome(Get(key), answer)


EMPTY = Pointer(generation=0, target=None, horizon="", highest=NO_FENCE, current=NO_FENCE, history=())
"""Stands for a missing pointer."""
