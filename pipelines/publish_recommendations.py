"""
Step: judge a scored batch and make it live.

Reads:  the commit of the batch, the pointer.
Writes: the index and the manifest with the list verdict; then, only if that is good, `live.json` by compare-and-swap.
Re-run: safe; publishing the live batch again changes nothing, and an older date never replaces a newer one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pipelines import wiring
from refit.config import Shop
from refit.errors import ListsRefusedError
from refit.interfaces import ObjectStore
from refit.lists.gate import judge_lists
from refit.publication import go_live, read_commit, write_manifest


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    live: bool
    """Whether this batch is live now; False when a later date is."""
    generation: int
    run_date: str
    """Of the batch that is live now."""
    address: str
    people: int


def run(batch: str, *, shop: Shop, store: ObjectStore) -> Receipt:
    """Publish the scored *batch* (its prefix)."""
    commit = read_commit(store, batch)
    verdict = judge_lists(commit["counts"], shop.lists)
    sealed = write_manifest(store, batch, commit, verdict.as_record())
    if verdict.decision != "publish":
        raise ListsRefusedError(
            f"batch {store.address}/{batch} is refused, the last good batch stays live: {'; '.join(verdict.reasons)}; "
            "see its manifest.json"
        )
    published = go_live(store, batch, sealed, commit)
    return Receipt(
        live=published.live,
        generation=published.generation,
        run_date=published.run_date,
        address=f"{store.address}/live.json",
        people=commit["counts"]["people"],
    )


def main(batch: str) -> dict[str, Any]:
    """Publish with the real collaborators."""
    return asdict(run(batch, shop=wiring.shop(), store=wiring.lists()))
