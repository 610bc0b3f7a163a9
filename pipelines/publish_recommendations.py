"""
Step: judge a scored batch and make it live.

Reads:  the index of the batch, the pointers, the audit log.
Writes: the manifest; if the batch passes, two pointers by compare-and-swap, and the objects that follow them.
Re-run: safe; a run is published once, whatever fails, and an older date never replaces a newer one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from pipelines import wiring
from pipelines.parameters import Backfill, Batch
from refit.config import Shop
from refit.errors import ConflictError, ListsRefusedError
from refit.governance.champions import approved_digest, withdrawn
from refit.lists.gate import judge_lists
from refit.lists.previous_batch import look_back
from refit.publication import publish, read_commit, write_manifest
from refit.storage.object_store import ObjectStore


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    live: bool
    """Whether this batch is live now; False if a later one is."""
    generation: int
    run_date: str
    """Run date of the live batch."""
    batch: str
    """The live batch; another attempt of the same run may have published it before this one."""
    outcomes: dict[str, str]
    """Outcome at `live` and at `date`, the pointer of its own date: published, superseded or left_alone."""
    content_sha256: str
    """Content digest of the batch to publish; equal for equal lists."""
    good_until: str
    address: str
    people: int
    warnings: list[str]
    """Warnings of the list gate."""


def run(
    batch: str,
    backfill: bool = False,
    *,
    shop: Shop,
    store: ObjectStore,
    approved: Callable[[int], str | None],
    withdrawn: Callable[[int], str | None],
    at: str,
    followers: Sequence[Callable[[ObjectStore, str], object]] = (),
) -> Receipt:
    """
    Publish the scored *batch* (its prefix); a *backfill* moves the pointer of its date only.

    *approved* returns the digest with which a version became champion, or None if it never did. *withdrawn* returns why
    a version of the champion may no longer serve, or None. *at* is the time of the move, for the pointer's history.
    """
    commit = read_commit(store, batch)
    verdict = judge_lists(
        commit, shop.lists.gate, approved=approved(commit["model"]["version"]), before=look_back(store, commit)
    )
    good_until = (datetime.fromisoformat(commit["as_of"]) + timedelta(hours=shop.lists.fresh_hours)).isoformat()
    name = f"{store.address}/{batch}"
    if verdict.decision != "publish":
        write_manifest(store, batch, commit, verdict.as_record(), good_until=good_until)
        raise ListsRefusedError(
            f"batch {name} is refused, the last good batch stays live: {'; '.join(verdict.reasons)}; "
            "see its manifest.json"
        )
    published = publish(
        store, batch, commit, verdict.as_record(), good_until=good_until, withdrawn=withdrawn, at=at, backfill=backfill
    )
    live, dated = published.live, published.dated or published.live
    if live.outcome == "withdrawn":
        raise ListsRefusedError(
            f"batch {name} is refused, the last good batch stays live: {live.why}, after it was made; score again"
        )
    if live.outcome == "ahead":
        raise ListsRefusedError(f"batch {name} is refused, the last good batch stays live: {live.why}")
    if live.outcome == "expired":
        raise ConflictError(
            f"batch {name} was begun at {commit['created']}, and what is that old may be collected at any moment; "
            "score again"
        )
    for follow in followers:
        follow(store, commit["run_date"])
    return Receipt(
        live=live.batch == commit["batch"] or live.outcome == "published",
        generation=live.generation,
        run_date=live.run_date,
        batch=live.batch,
        outcomes={"live": live.outcome, "date": dated.outcome},
        content_sha256=commit["content_sha256"],
        good_until=good_until,
        address=f"{store.address}/live.json",
        people=commit["counts"]["people"],
        warnings=list(verdict.warnings),
    )


def main(batch: Batch, backfill: Backfill = False) -> dict[str, Any]:
    """Publish with the real collaborators."""
    log = wiring.audit()
    receipt = run(
        batch,
        backfill,
        shop=wiring.shop(),
        store=wiring.lists(),
        approved=partial(approved_digest, log),
        withdrawn=partial(withdrawn, log),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        followers=wiring.followers(),
    )
    return asdict(receipt)
