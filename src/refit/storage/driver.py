"""Drives conversations with an object store: repeats requests, with pauses, until their outcome is known."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from refit.storage.object_store import ObjectStore
from refit.storage.requests import (
    _FIRST_PAUSE,
    _LONGEST_PAUSE,
    UNKNOWN,
    Answer,
    Conversation,
    Pause,
    Request,
    Result,
    UnknownOutcomeError,
    _answered,
)


def pause_with_jitter(failures: int) -> None:
    """Sleep a random time that grows with each failure in a row, so that many writers do not return together."""
    time.sleep(random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**failures)))


def answer_surely(
    store: ObjectStore, request: Request, put: Callable[[str, bytes, str | None], Answer], *, at: datetime
) -> Answer:
    """
    Answer *request* from a store whose outcomes are always known and whose clock says *at*.

    *put* writes an object if its etag is still the given one; None means that there is no object.
    """
    return replace(_answered(store, request, put), at=at)


def drive(store: ObjectStore, protocol: Conversation[Result], *, pause: Pause = pause_with_jitter) -> Result:
    """Answer the requests of *protocol* from *store* and return its result."""
    answer: Any = None
    failures = 0
    while True:
        try:
            request = protocol.send(answer)
        except StopIteration as end:
            result: Result = end.value
            return result
        except UnknownOutcomeError as error:
            raise UnknownOutcomeError(f"{store.address}: {error}") from error
        answer = store.ask(request)
        failures = failures + 1 if answer.outcome is UNKNOWN else 0
        if failures:
            pause(failures)
