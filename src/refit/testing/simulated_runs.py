"""The actors of a simulated schedule: runs that score and publish, readers, collections and rollbacks."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

from refit.batches.pointer import Target
from refit.digests import canonical_json, sha256
from refit.errors import ConflictError
from refit.publication import garbage, pointer_protocol, publish_batch, rollback
from refit.publication.publish_batch import Judged
from refit.publication.rollback import PointBack
from refit.storage.requests import DONE, MISSING, UNKNOWN, Answer, Conversation, Create, Get, Request, unknown_outcome

_TRIES = 6
_ATTEMPTS = 5
PARTS = 2
LAST = "last"
"""The run that ends every schedule."""


@dataclass(frozen=True)
class Protocols:
    """The code under test."""

    look: Callable[..., Conversation[Any]] = pointer_protocol.look
    publishing: Callable[..., Conversation[Any]] = publish_batch.publishing
    looking_back: Callable[..., Conversation[Any]] = rollback.looking_back
    pointing_back: Callable[..., Conversation[Any]] = rollback.pointing_back
    collecting: Callable[..., Conversation[Any]] = garbage.collecting


class BrokenPromiseError(Exception):
    """A reader saw a state that no reader may see."""


@dataclass
class Actor:
    """One process of the schedule; it makes requests until it ends, dies or is restarted."""

    kind: str
    """writer, zombie, reader, collector or operator."""
    name: str
    begin: Callable[[], Conversation[Any]] | None
    wake: float
    """Earliest second of the next request."""
    turns: int = 1
    """Number of times that it does its work."""
    running: Generator[Request, Answer, Any] | None = None
    request: Request | None = None
    answer: Answer | None = None
    repeats: int = 0
    """Number of times that a layer below has silently repeated the request."""
    restarts: int = 0
    done: bool = False

    def forget(self) -> None:
        """Stop immediately, as a killed process does."""
        self.running = self.request = self.answer = None
        self.repeats = 0


@dataclass
class Run:
    """One logical run: its attempts make batches, of which at most one is published."""

    name: str
    run_date: str
    ordered_at: str
    backfill: bool
    version: int
    """Version of the champion."""
    skew: float
    """Error of its machine's clock, in seconds."""
    contents: dict[str, list[list[bytes]]]
    """Batch -> possible contents of its part files, for every run of the schedule."""
    days_ahead: int = 1
    """Days from the newest landed day to its date; 1 unless lists for future days were requested."""
    tries: int = 0
    scored: Judged | None = field(default=None)
    """The last batch whose scoring was finished, so that publishing alone may be retried."""

    @property
    def fence(self) -> list[str]:
        """Position of the run in the order of all runs."""
        return [self.run_date, self.ordered_at, self.name]

    def begin(self, protocols: Protocols, created: str, withdrawn: Callable[[], str | None]) -> Conversation[Any]:
        """Score a new batch and publish it."""
        self.tries += 1
        batch = f"{created}-{self.name}t{self.tries}"
        parts = [f"{batch}/{number}/".encode() * (3 + number) for number in range(PARTS)]
        return self.score(protocols, batch, parts, created, withdrawn)

    def again(self, protocols: Protocols, withdrawn: Callable[[], str | None]) -> Conversation[Any]:
        """Publish the batch that was scored before; the gate measures other numbers this time."""
        if self.scored is None:
            raise ValueError(f"{self.name} has scored nothing yet")
        self.tries += 1
        verdict = {"decision": "publish", "try": self.tries}
        judged = replace(self.scored, manifest={**self.scored.manifest, "verdict": verdict})
        return protocols.publishing(judged, withdrawn)

    def score(
        self,
        protocols: Protocols,
        batch: str,
        parts: list[bytes],
        created: str,
        withdrawn: Callable[[], str | None],
    ) -> Conversation[Any]:
        """Write the files of *batch* and publish it."""
        self.contents.setdefault(batch, []).append(parts)
        prefix = f"batches/run_date={self.run_date}/batch={batch}"
        keys = [f"{prefix}/part-{number}.parquet" for number in range(PARTS)]
        for key, content in zip(keys, parts, strict=True):
            yield from create(key, content)
        listed = [{"key": key, "sha256": sha256(content)} for key, content in zip(keys, parts, strict=True)]
        places = {"key": f"{prefix}/places.jsonl", "sha256": sha256(batch.encode())}
        yield from create(places["key"], batch.encode())
        index = canonical_json({"batch": batch, "parts": listed, "places": places})
        yield from create(f"{prefix}/index.json", index)
        manifest = {
            "batch": batch,
            "parts": listed,
            "index": {"sha256": sha256(index)},
            "verdict": {"decision": "publish", "try": self.tries},
            "made_from": {"run": self.name},
        }
        self.scored = Judged(
            prefix=prefix,
            batch=batch,
            run_date=self.run_date,
            as_of=self.run_date,
            good_until=self.run_date,
            created=created,
            logical_run=self.name,
            ordered_at=self.ordered_at,
            index_sha256=sha256(index),
            manifest=manifest,
            model={"version": self.version},
            made_from={"run": self.name},
            at=created,
            by="schedule",
            newest_day=(date.fromisoformat(self.run_date) - timedelta(days=self.days_ahead)).isoformat(),
            backfill=self.backfill,
        )
        return (yield from protocols.publishing(self.scored, withdrawn))


def roll_back(protocols: Protocols, wanted: PointBack, withdrawn: dict[int, str]) -> Conversation[Any]:
    """Roll back as the step does: check whether it is possible, record it, then move the pointer."""
    yield from protocols.looking_back(wanted)
    if wanted.version == 1:
        withdrawn[2] = wanted.logical_run
    return (yield from protocols.pointing_back(wanted))


def create(key: str, content: bytes) -> Conversation[None]:
    """Write a new object as every adapter does; a conflict if it exists with other bytes."""
    request, answer = Create(key, content), Answer(UNKNOWN)
    for _ in range(_TRIES):
        answer = yield request
        if answer.outcome is DONE:
            return
        if answer.outcome is not UNKNOWN:
            found = yield Get(key)
            if found.outcome is DONE and found.content == content:
                return
            if found.outcome is DONE:
                raise ConflictError(key)
    raise unknown_outcome(request, answer)


def read(protocols: Protocols, key: str) -> Conversation[tuple[int, Target, list[bytes]] | None]:
    """
    Return generation, target and part files as readers of the pointer *key* see them; None if there is no pointer.

    One kind of reader reads the manifest, the other the index and `places.jsonl`; both follow the pointer's digests.
    """
    for _ in range(_ATTEMPTS):
        seen = yield from protocols.look(key)
        if seen.pointer is None or seen.pointer.target is None:
            return None
        target = seen.pointer.target
        contents = yield from _files(target)
        if contents is not None:
            return seen.pointer.generation, target, contents
        again = yield from protocols.look(key)
        if again.pointer and again.pointer.target == target:
            raise BrokenPromiseError("a pointer names files that are gone")
    return None


def _files(target: Target) -> Conversation[list[bytes] | None]:
    manifest = yield from _named(target.manifest, target.manifest_sha256)
    index = yield from _named(target.index, target.index_sha256)
    if manifest is None or index is None:
        return None
    places = json.loads(index)["places"]
    if (yield from _named(places["key"], places["sha256"])) is None:
        return None
    contents = []
    for part in json.loads(manifest)["parts"]:
        content = yield from _named(part["key"], part["sha256"])
        if content is None:
            return None
        contents.append(content)
    return contents


def _named(key: str, expected: str) -> Conversation[bytes | None]:
    answer = Answer(UNKNOWN)
    for _ in range(_TRIES):
        answer = yield Get(key)
        if answer.outcome is MISSING:
            return None
        if answer.outcome is DONE:
            if sha256(answer.content) != expected:
                raise BrokenPromiseError("a reader found bytes that differ from their digest")
            return answer.content
    raise unknown_outcome(Get(key), answer)
