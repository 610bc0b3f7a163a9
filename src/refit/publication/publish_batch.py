"""
Publishes a batch: the manifest, then the pointer of the date, then `live.json`; all by conditional writes.

The files of the batch and its index exist already. Every rule here exists because some schedule breaks the guarantees
without it; `docs/publication.md` lists them, and the tests remove them one by one.
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
"""Lists for a day are made when the day before it has been landed."""
Withdrawn = Callable[[], str | None]
"""Returns why the champion of the batch may no longer be published, or None if it may."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A batch that passed its gate and is ready to be published."""

    prefix: str
    batch: str
    run_date: str
    as_of: str
    good_until: str
    created: str
    """Stamp of the attempt that made it."""
    logical_run: str
    """The same for every attempt of one run."""
    ordered_at: str
    index_sha256: str
    manifest: Mapping[str, Any]
    model: Mapping[str, Any]
    made_from: Mapping[str, Any]
    at: str
    by: str
    newest_day: str | None = None
    """Newest landed day (YYYY-MM-DD) that it was made from; None if unknown."""
    backfill: bool = False
    """Whether it is published for its date only and leaves `live.json` alone."""

    @property
    def fence(self) -> Fence:
        """Position of the batch in the order of all batches."""
        return (self.run_date, self.ordered_at, self.logical_run)

    @property
    def days_ahead(self) -> int:
        """Days between the newest landed day that it was made from and its date; at most 1 is valid."""
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
    """The outcome of an attempt to make a batch live."""

    live: PointerOutcome
    """Outcome at `live.json`."""
    dated: PointerOutcome | None
    """Outcome at the pointer of its date; None if that was left alone, as in a rollback."""


def publishing(judged: Judged, withdrawn: Withdrawn) -> Conversation[Published]:
    """
    Write the manifest and move both pointers, if they may be moved.

    Raises:
        ConflictError: the batch has a different manifest.
        AheadOfClockError: the batch was ordered, begun or judged after the time of the store's clock.
        UnknownOutcomeError: the outcome is unknown; the same call may be repeated.
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
    # Check after reading live.json: a later rollback moves the pointer, so the swap below fails.
    if why := withdrawn():
        return Published(pointer_outcome("withdrawn", live.pointer, why), None)
    if not judged.backfill and judged.days_ahead > _DAYS_AHEAD:
        return Published(pointer_outcome("ahead", live.pointer, _why_ahead(judged)), None)
    target = judged.target(manifest_sha256)
    # Most dates are published once, so assume that their pointer is absent until the store says otherwise.
    on_date = yield from swing(dated, judged, target, withdrawn, seen=ABSENT)
    if on_date.outcome not in {"published", "superseded"}:
        # A live batch has already been written to its date's pointer, so it need not be written there again.
        return Published(pointer_outcome(on_date.outcome, live.pointer, on_date.why), on_date)
    if judged.backfill:
        # The date's pointer and live.json are decided separately: a newer backfill of the date blocks no live run.
        return Published(pointer_outcome("left_alone", live.pointer), on_date)
    return Published((yield from swing(LIVE, judged, target, withdrawn, seen=live)), on_date)


def create_manifest(judged: Judged) -> Conversation[str]:
    """Write the manifest and return its SHA-256; an equivalent one that another attempt wrote is kept."""
    key = f"{judged.prefix}/manifest.json"
    content = canonical_json(judged.manifest)
    found = Answer(UNKNOWN)
    for _ in range(ROUNDS):
        answer = yield from ask(Create(key, content))
        if answer.outcome is DONE:
            return sha256(content)
        found = yield from ask(Get(key))
        if found.outcome is not DONE:
            continue  # collected in between: the batch is too old, as its pointers will show
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
    """Point *key*, last *seen* as given, at *target*, unless the run is already there or may no longer go there."""
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
    """Reject future instants: written to a pointer, they would block everything ordered before them."""
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
    """Return the parts that must be equal in two manifests of one batch: the files and the decision."""
    try:
        manifest = json.loads(content)
        return manifest["index"]["sha256"], manifest["verdict"]["decision"]
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedBatchError(f"{key} is no manifest: {error!r}; score again") from error
