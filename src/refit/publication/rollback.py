"""Rollback: points `live.json` back to a batch that it once named; nothing is deleted and the history is extended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from refit.batches.pointer import LIVE, Move, Pointer, target_of
from refit.digests import sha256
from refit.errors import DamagedBatchError, NotFoundError
from refit.publication.pointer_protocol import ROUNDS, look, pointer_outcome, replacing
from refit.publication.publish_batch import Published
from refit.storage.requests import DONE, UNKNOWN, Answer, Conversation, Create, Get, ask, unknown_outcome


@dataclass(frozen=True, kw_only=True)
class PointBack:
    """A request to point back: to which batch, by whom and why."""

    version: int | None
    """Go to the newest batch made by this version of the champion."""
    batch: str | None
    """Go to this batch."""
    logical_run: str
    """The same for every attempt of one rollback, so that it is done once."""
    reason: str
    by: str
    at: str


def pointing_back(wanted: PointBack) -> Conversation[Published]:
    """
    Point `live.json` back and return the outcome; repeating the same logical run changes nothing.

    The pointer is moved even if it already names that batch: a publication in progress that began before the rollback
    was known must lose its swap.

    Raises:
        NotFoundError: the history has no such batch, or its files are gone.
        DamagedBatchError: the manifest of the batch is not the one that was published.
    """
    answer = Answer(UNKNOWN)
    for _ in range(ROUNDS):
        seen = yield from look(LIVE)
        before = seen.pointer
        if before is None:
            raise NotFoundError(f"nothing was ever published, so there is nothing to go back to: there is no {LIVE}")
        if before.rolled_back_by(wanted.logical_run):
            return Published(pointer_outcome("rolled_back", before), None)
        move = choose(before, wanted)
        manifest = yield from check_manifest(move)
        after = _rolled_back(before, move, manifest, wanted)
        answer = yield replacing(LIVE, seen, after)
        if answer.outcome is DONE:
            return Published(pointer_outcome("rolled_back", after), None)
    raise unknown_outcome(Create(LIVE, b""), answer)


def looking_back(wanted: PointBack) -> Conversation[Move]:
    """Return the move that a rollback would return to, after checking its manifest; nothing is moved."""
    seen = yield from look(LIVE)
    if seen.pointer is None:
        raise NotFoundError(f"nothing was ever published, so there is nothing to go back to: there is no {LIVE}")
    move = choose(seen.pointer, wanted)
    yield from check_manifest(move)
    return move


def choose(pointer: Pointer, wanted: PointBack) -> Move:
    """Return the newest matching move of the history; NotFoundError if there is none."""
    what = f"batch {wanted.batch}" if wanted.batch else f"batch made by champion version {wanted.version}"
    fitting = [move for move in pointer.history if _fits(move, wanted)]
    if not fitting:
        known = sorted({int(move["model"]["version"]) for move in pointer.history if not move.get("collected")})
        versions = ", ".join(str(version) for version in known) or "none"
        raise NotFoundError(
            f"{LIVE} remembers no {what}; it remembers batches of versions: {versions}; "
            "go back to one of these, or promote the model again and score"
        )
    kept = [move for move in fitting if not move.get("collected")]
    if not kept:
        raise NotFoundError(f"the files of every {what} that {LIVE} remembers have been collected; score again")
    return max(kept, key=lambda move: (move["fence"], move["generation"]))


def check_manifest(move: Move) -> Conversation[Mapping[str, Any]]:
    """Return the manifest of *move*; raise if it is missing or not the published one."""
    answer = yield from ask(Get(move["manifest"]))
    if answer.outcome is not DONE:
        raise NotFoundError(f"{move['manifest']} is gone although {LIVE} remembers it; go back to another batch")
    if sha256(answer.content) != move["manifest_sha256"]:
        raise DamagedBatchError(f"{move['manifest']} differs from what was published; go back to another batch")
    manifest: Mapping[str, Any] = json.loads(answer.content)
    return manifest


def _fits(move: Move, wanted: PointBack) -> bool:
    if wanted.batch:
        return move["batch"] == wanted.batch
    return bool(move["model"]["version"] == wanted.version)


def _rolled_back(before: Pointer, move: Move, manifest: Mapping[str, Any], wanted: PointBack) -> Pointer:
    run_date, order, logical_run = move["fence"]
    entry = Move(
        **{
            **move,
            "generation": before.generation + 1,
            "kind": "rollback",
            "logical_run": wanted.logical_run,
            "at": wanted.at,
            "by": wanted.by,
            "reason": wanted.reason,
        }
    )
    return replace(
        before,
        # The generation grows, and highest stays: a late attempt of an older run must not replace this move.
        generation=before.generation + 1,
        target=target_of(move),
        made_from=manifest["made_from"],
        current=(run_date, order, logical_run),
        history=(entry, *before.history),
    )
