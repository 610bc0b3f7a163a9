"""
Collecting: batches that nothing points to are deleted, but first nobody may come to point to them any more.

A writer may stall for any time between its last file and its pointer. So before anything is deleted, the horizon in the
pointers is raised by compare-and-swap: whoever was created before it learns from its own swap that it comes too late.
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
    """What a collection did."""

    deleted: tuple[str, ...]
    """Keys."""
    kept: tuple[str, ...]
    """Prefixes of the batches that are left."""
    horizon: str
    """Stamp: what was begun before it may be deleted at any moment and goes live no more; empty before there is one."""


@dataclass(frozen=True, kw_only=True)
class Retention:
    """What may go."""

    horizon: str
    """
    Stamp (YYYYMMDDTHHMMSSZ): only batches created before it are deleted, and of those only the ones that were begun
    before the newest published one.
    """
    keep: int
    """So many of the newest batches of `live.json` stay, so that a rollback can go back to them."""
    since: str
    """The batch that a date's pointer names stays, but for dates before this one; empty: for all dates."""


def collecting(retention: Retention) -> Conversation[Collected]:
    """Delete every batch that is old enough and that no pointer needs; before the first publication nothing is done."""
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
            # What names the files goes first: a batch of which only some files are left must not look whole.
            for key in sorted(batches[prefix][1], key=lambda key: (key.endswith(".parquet"), key)):
                yield from ask(Delete(key))
                deleted.append(key)
    gone = {prefix for prefix, (_, keys) in batches.items() if set(keys) <= set(deleted)}
    return Collected(tuple(deleted), tuple(sorted(set(batches) - gone)), retention.horizon)


def created_of(prefix: str) -> str:
    """
    Return the stamp in the name of a batch, empty where there is none.

    >>> created_of("batches/run_date=2026-01-05/batch=20260106T031500Z-0123456789ab")
    '20260106T031500Z'
    """
    found = _STAMP.fullmatch(prefix.rpartition("=")[2])
    return found[1] if found else ""


def _bounded(retention: Retention, pointer: Pointer, clock: str) -> Retention:
    """
    Return *retention* with a horizon that is neither after *clock* nor after the newest published batch was begun.

    Whatever a caller says, a batch that was begun after what readers have can still go live.
    """
    moves = [target_of(move).prefix for move in pointer.history]
    published = max((created_of(prefix) for prefix in moves), default="")
    return replace(retention, horizon=min(retention.horizon, clock, published))


def _let_go(pointer: Pointer, retention: Retention) -> Pointer:
    """Raise the horizon, and mark the batches of history that a rollback may not go back to from now on."""
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
    """Make sure that the pointer of *run_date* never comes to name a doomed batch; return what it names and keeps."""
    old = bool(retention.since) and run_date < retention.since

    def alter(pointer: Pointer) -> Pointer:
        named = pointer.target.prefix if pointer.target else ""
        retire = old and named in doomed
        if not retire and not doomed - {named}:
            return pointer
        # Where there is no pointer yet one is written that names nothing: a late writer must find the horizon.
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
