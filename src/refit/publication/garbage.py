"""
Garbage collection: deletes unnamed batches, after making sure that no writer can still publish them.

A writer may stall for any time between its last file and its pointer. So before anything is deleted, the horizon in the
pointers is raised by compare-and-swap: a batch created before it finds out in its own swap that it is too late.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from refit.batches.pointer import LIVE, Move, Pointer, date_pointer, target_of
from refit.publication.pointer_protocol import change, list_keys, look
from refit.storage.requests import Conversation, Delete, ask
from refit.storage.store_clock import require_clock, stamp

BATCHES = "batches/"
_PREFIX = re.compile(r"(batches/run_date=([^/]+)/batch=([^/]+))/.+")
_STAMP = re.compile(r"(\d{8}T\d{6}Z)-.+")


@dataclass(frozen=True)
class Collected:
    """The result of a collection."""

    deleted: tuple[str, ...]
    """Keys of the deleted objects."""
    kept: tuple[str, ...]
    """Prefixes of the remaining batches."""
    horizon: str
    """Stamp: batches begun before it may be deleted at any time and can no longer go live; empty if none is set."""


@dataclass(frozen=True, kw_only=True)
class Retention:
    """Limits of what may be deleted."""

    horizon: str
    """
    Stamp (YYYYMMDDTHHMMSSZ): only batches that were created before it, and before the newest published one, are
    deleted.
    """
    keep: int
    """Number of newest batches of `live.json` that stay, so that a rollback can return to them."""
    since: str
    """First date whose pointer keeps its batch; empty: the pointers of all dates do."""


def collecting(retention: Retention) -> Conversation[Collected]:
    """Delete every old batch that no pointer needs; before the first publication do nothing."""
    seen = yield from look(LIVE)
    if seen.pointer is None:
        return Collected((), (), "")
    clock = stamp(require_clock(seen.at))
    live = yield from change(LIVE, lambda pointer: _let_go(pointer, _bounded(retention, pointer, clock)))
    retention = _bounded(retention, live, clock)
    wanted = _prefixes(move for move in live.history if not move.get("collected"))
    if live.target:
        wanted.add(live.target.prefix)
    batches = yield from _batches()
    deleted: list[str] = []
    for run_date in sorted({run_date for run_date, _ in batches.values()}):
        of_date = {prefix for prefix, (date, _) in batches.items() if date == run_date}
        doomed = {prefix for prefix in of_date - wanted if created_of(prefix) < retention.horizon}
        if not doomed:
            continue
        named = yield from _close_date(run_date, doomed, wanted, retention)
        for prefix in sorted(doomed - named):
            # Delete manifest and index first: a partly deleted batch must not look complete.
            for key in sorted(batches[prefix][1], key=lambda key: (key.endswith(".parquet"), key)):
                yield from ask(Delete(key))
                deleted.append(key)
    gone = {prefix for prefix, (_, keys) in batches.items() if set(keys) <= set(deleted)}
    return Collected(tuple(deleted), tuple(sorted(set(batches) - gone)), retention.horizon)


def created_of(prefix: str) -> str:
    """
    Return the stamp in the name of a batch; empty if there is none.

    >>> created_of("batches/run_date=2026-01-05/batch=20260106T031500Z-0123456789ab")
    '20260106T031500Z'
    """
    found = _STAMP.fullmatch(prefix.rpartition("=")[2])
    return found[1] if found else ""


def _bounded(retention: Retention, pointer: Pointer, clock: str) -> Retention:
    """
    Return *retention* with a horizon that is neither after *clock* nor after the start of the newest published batch.

    So whatever the caller passes, batches begun after the published one can still go live.
    """
    moves = [target_of(move).prefix for move in pointer.history]
    published = max((created_of(prefix) for prefix in moves), default="")
    return replace(retention, horizon=min(retention.horizon, clock, published))


def _let_go(pointer: Pointer, retention: Retention) -> Pointer:
    """Raise the horizon, and mark the batches of history that a rollback may no longer return to."""
    newest: list[str] = [pointer.target.prefix] if pointer.target else []
    for move in pointer.history:
        prefix = target_of(move).prefix
        if prefix not in newest and not move.get("collected"):
            newest.append(prefix)
    kept = set(newest[: max(retention.keep, 1)])
    history = tuple(
        move if _stays(target_of(move).prefix, kept, retention) else Move(**{**move, "collected": True})
        for move in pointer.history
    )
    return replace(pointer, horizon=max(pointer.horizon, retention.horizon), history=history)


def _stays(prefix: str, kept: set[str], retention: Retention) -> bool:
    return prefix in kept or created_of(prefix) >= retention.horizon


def _close_date(run_date: str, doomed: set[str], wanted: set[str], retention: Retention) -> Conversation[set[str]]:
    """Make sure that the pointer of *run_date* never names a doomed batch; return the batches that it keeps."""
    old = bool(retention.since) and run_date < retention.since

    def alter(pointer: Pointer) -> Pointer:
        named = pointer.target.prefix if pointer.target else ""
        retire = old and named in doomed
        if not retire and not doomed - {named}:
            return pointer
        # If there is no pointer yet, write one without a target: a late writer must find the horizon.
        return replace(
            pointer,
            target=None if retire else pointer.target,
            horizon=max(pointer.horizon, retention.horizon),
        )

    pointer = yield from change(date_pointer(run_date), alter)
    return {pointer.target.prefix} if pointer.target else set()


def _batches() -> Conversation[dict[str, tuple[str, Sequence[str]]]]:
    """Return the run date and the keys of every batch prefix."""
    found: dict[str, tuple[str, list[str]]] = {}
    for key in (yield from list_keys(BATCHES)):
        match = _PREFIX.fullmatch(key)
        if match:
            found.setdefault(match[1], (match[2], []))[1].append(key)
    return {prefix: (run_date, keys) for prefix, (run_date, keys) in found.items()}


def _prefixes(moves: Iterable[Move]) -> set[str]:
    return {target_of(move).prefix for move in moves}
