"""
Publishing: the manifest, then the pointer of the date, then `live.json`; all by writes that cannot overwrite.

The files of the batch and its index are there already. Every rule here is there because a schedule exists that breaks
the promises without it; `docs/publication.md` lists them, and the tests take them out one by one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from refit.batches.pointer import LIVE, Fence, Move, Pointer, Target, date_pointer
from refit.digests import canonical_json, sha256
from refit.errors import ConflictError, DamagedBatchError
from refit.publication.pointer_protocol import (
    ABSENT,
    EMPTY,
    ROUNDS,
    PointerOutcome,
    Seen,
    look,
    pointer_outcome,
    replacing,
)
from refit.storage.requests import DONE, UNKNOWN, Answer, Conversation, Create, Get, ask, unknown_outcome
from refit.storage.store_clock import instant_of, require_clock, require_past

_DAYS_AHEAD = 1
"""The lists of a day are made when the day before it has been landed."""
Withdrawn = Callable[[], str | None]
"""Tells why the champion of the batch may not be published any more; None: it may."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A batch that passed its gate and waits for its pointers."""

    prefix: str
    batch: str
    run_date: str
    as_of: str
    good_until: str
    created: str
    """Stamp of the try that made it."""
    logical_run: str
    """The same for every try of one run."""
    ordered_at: str
    index_sha256: str
    manifest: Mapping[str, Any]
    model: Mapping[str, Any]
    made_from: Mapping[str, Any]
    at: str
    by: str
    newest_day: str | None = None
    """Newest landed day (YYYY-MM-DD) that it was made from; None where nobody has said."""
    backfill: bool = False
    """Whether it fills in its date only, whatever is live."""

    @property
    def fence(self) -> Fence:
        """What orders it among all batches."""
        return (self.run_date, self.ordered_at, self.logical_run)

    @property
    def days_ahead(self) -> int:
        """So many days lie between the newest landed day that it was made from and its date, at most one is right."""
        if self.newest_day is None:
            return 0
        return (date.fromisoformat(self.run_date) - date.fromisoformat(self.newest_day)) // timedelta(days=1)

    def target(self, manifest_sha256: str) -> Target:
        """Return the batch as a pointer names it."""
        return Target(
            batch=self.batch,
            run_date=self.run_date,
            as_of=self.as_of,
            good_until=self.good_until,
            manifest=f"{self.prefix}/manifest.json",
            manifest_sha256=manifest_sha256,
            index=f"{self.prefix}/index.json",
            index_sha256=self.index_sha256,
            model=self.model,
        )


@dataclass(frozen=True)
class Published:
    """Where a batch stands after an attempt to make it live."""

    live: PointerOutcome
    """With `live.json`."""
    dated: PointerOutcome | None
    """With the pointer of its date; None where that was left alone, as a rollback does."""


def publishing(judged: Judged, withdrawn: Withdrawn) -> Conversation[Published]:
    """
    Write the manifest and move both pointers, as far as they may be moved.

    Raises:
        ConflictError: the batch has a manifest that says something else.
        AheadOfClockError: when it was ordered, begun or judged lies after the clock of the store.
        UnsettledError: the store leaves open what was done; the same call may be made again.
    """
    dated = date_pointer(judged.run_date)
    live = yield from look(LIVE)
    if live.pointer and live.pointer.published_by(judged.logical_run):
        there = yield from look(dated)
        known = there.pointer and there.pointer.published_by(judged.logical_run)
        return Published(
            pointer_outcome("published", live.pointer),
            pointer_outcome("published" if known else "superseded", there.pointer),
        )
    _require_past(judged, require_clock(live.at))
    manifest_sha256 = yield from create_manifest(judged)
    # Asked after the look at live.json: a rollback that comes later moves it, and the swap below is lost.
    if why := withdrawn():
        return Published(pointer_outcome("withdrawn", live.pointer, why), None)
    if not judged.backfill and judged.days_ahead > _DAYS_AHEAD:
        return Published(pointer_outcome("ahead", live.pointer, _why_ahead(judged)), None)
    target = judged.target(manifest_sha256)
    # Most dates are published once, so their pointer is taken to be absent until the store says otherwise.
    on_date = yield from swing(dated, judged, target, withdrawn, seen=ABSENT)
    if on_date.outcome not in {"published", "superseded"}:
        # What is live has been to the pointer of its date before, so whoever finds itself live need not write there.
        return Published(pointer_outcome(on_date.outcome, live.pointer, on_date.why), on_date)
    if judged.backfill:
        # What a date shows and what is live are decided apart: a newer backfill of the date keeps no live run back.
        return Published(pointer_outcome("left_alone", live.pointer), on_date)
    return Published((yield from swing(LIVE, judged, target, withdrawn, seen=live)), on_date)


def create_manifest(judged: Judged) -> Conversation[str]:
    """Write the manifest and return its SHA-256; one that another try wrote for the same batch and verdict stands."""
    key = f"{judged.prefix}/manifest.json"
    content = canonical_json(judged.manifest)
    found = Answer(UNKNOWN)
    for _ in range(ROUNDS):
        answer = yield from ask(Create(key, content))
        if answer.outcome is DONE:
            return sha256(content)
        found = yield from ask(Get(key))
        if found.outcome is not DONE:
            continue  # collected in between: the batch is too old, as its pointers will say
        if found.content != content and _promise(found.content, key) != _promise(content, key):
            raise ConflictError(
                f"{key} says something else about this batch or its verdict, and a judged batch is never judged "
                "again; score again"
            )
        return sha256(found.content)
    raise unknown_outcome(Create(key, content), found)


def swing(
    key: str, judged: Judged, target: Target, withdrawn: Withdrawn, *, seen: Seen
) -> Conversation[PointerOutcome]:
    """Point *key*, last *seen* as given, at *target* unless the run is there already or may not come there any more."""
    answer = Answer(UNKNOWN)
    for number in range(ROUNDS):
        if number:
            seen = yield from look(key)
            if why := withdrawn():
                return pointer_outcome("withdrawn", seen.pointer, why)
        before = seen.pointer or EMPTY
        if before.published_by(judged.logical_run):
            return pointer_outcome("published", before)
        if judged.created < before.horizon:
            return pointer_outcome("expired", before)
        if judged.fence <= before.highest:
            return pointer_outcome("superseded", before)
        after = _published(before, judged, target)
        answer = yield replacing(key, seen, after)
        if answer.outcome is DONE:
            return pointer_outcome("published", after)
    raise unknown_outcome(Create(key, b""), answer)


def _published(before: Pointer, judged: Judged, target: Target) -> Pointer:
    move = Move(
        batch=target.batch,
        run_date=target.run_date,
        as_of=target.as_of,
        good_until=target.good_until,
        manifest=target.manifest,
        manifest_sha256=target.manifest_sha256,
        index=target.index,
        index_sha256=target.index_sha256,
        model=target.model,
        generation=before.generation + 1,
        kind="publish",
        logical_run=judged.logical_run,
        fence=list(judged.fence),
        at=judged.at,
        by=judged.by,
        reason="",
    )
    return Pointer(
        generation=before.generation + 1,
        target=target,
        made_from=judged.made_from,
        horizon=before.horizon,
        highest=judged.fence,
        current=judged.fence,
        history=(move, *before.history),
    )


def _require_past(judged: Judged, clock: datetime) -> None:
    """Keep instants out of the pointers that are still to come: whatever they order would have to wait for them."""
    require_past("ordered_at", judged.ordered_at, clock)
    require_past("at", judged.at, clock)
    begun = instant_of(judged.created)
    if begun is not None:
        require_past("created", begun, clock)


def _why_ahead(judged: Judged) -> str:
    return (
        f"it is of {judged.run_date}, {judged.days_ahead} days after {judged.newest_day}, the newest landed day that "
        f"it was made from, and {_DAYS_AHEAD} is allowed: it would keep the lists of the days between from readers; "
        f"land those days first, or score as of the day after {judged.newest_day}"
    )


def _promise(content: bytes, key: str) -> tuple[str, str]:
    """Return what must be equal in two manifests of one batch: the files and the decision."""
    try:
        manifest = json.loads(content)
        return manifest["index"]["sha256"], manifest["verdict"]["decision"]
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedBatchError(f"{key} is no manifest: {error!r}; score again") from error
