"""Pointers as the protocol handles them: read until an answer comes, and changed by compare-and-swap only."""

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
"""A pointer that others move is read and swapped so often; each lost round means that somebody else has succeeded."""


@dataclass(frozen=True)
class Seen:
    """A pointer at one moment."""

    etag: str
    """Empty where there is no pointer."""
    pointer: Pointer | None
    at: datetime | None = None
    """What the clock of the store said then."""


ABSENT = Seen("", None)


@dataclass(frozen=True)
class PointerOutcome:
    """Where a batch stands with one pointer after an attempt to move it there."""

    outcome: str
    """
    `published`; `superseded`: a batch with a higher fence was there; `expired`: the batch was created before the
    horizon, so its files may be deleted; `withdrawn`: its champion was rolled back; `ahead`: its date lies days
    after the newest landed one; `rolled_back`; `left_alone`: a backfill is no business of what is live.
    """
    generation: int
    """Of the pointer as it now is."""
    run_date: str
    """Of the batch that it names now; empty where it names none."""
    batch: str
    why: str = ""
    """Why it was withdrawn, or is ahead."""


def pointer_outcome(outcome: str, pointer: Pointer | None, why: str = "") -> PointerOutcome:
    """Return *outcome* with what *pointer* says now."""
    target = pointer.target if pointer else None
    return PointerOutcome(
        outcome=outcome,
        generation=pointer.generation if pointer else 0,
        run_date=target.run_date if target else "",
        batch=target.batch if target else "",
        why=why,
    )


def look(key: str) -> Conversation[Seen]:
    """Return the pointer at *key* as it is now."""
    answer = yield from ask(Get(key))
    if answer.outcome is not DONE:
        return Seen("", None, answer.at)
    return Seen(answer.etag, read_pointer(answer.content, key), answer.at)


def list_keys(prefix: str) -> Conversation[tuple[str, ...]]:
    """Return every key that starts with *prefix*."""
    answer = yield from ask(List(prefix))
    return answer.keys


def replacing(key: str, seen: Seen, pointer: Pointer) -> Request:
    """Return the write that succeeds only if the pointer is still as it was *seen*."""
    content = pointer.to_json()
    return Swap(key, content, seen.etag) if seen.pointer else Create(key, content)


def change(key: str, alter: Callable[[Pointer], Pointer]) -> Conversation[Pointer]:
    """Replace the pointer at *key* by what *alter* makes of it, unless that is the same, and return it."""
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
"""What a pointer that is not there would say."""
