"""
Step: rank items for all people with the champion, as of a date.

Reads:  the audit log; the champion for that date, verified; histories, catalogue and people as of `as_of`.
Writes: part files under a new batch prefix, not yet visible, and the commit that names them; if it does not exist
        yet, the summary of the landed days before the training window, below `summaries/` of the lake.
Re-run: safe; each attempt writes its own batch, and a killed one leaves files that nothing points to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from pyspark.sql import SparkSession

from pipelines import wiring
from pipelines.addresses import Addresses
from pipelines.instants import Instant, landed_as_of
from pipelines.parameters import AsOf, LogicalRun, OrderedAt, UnlessLive
from refit.config import Shop
from refit.errors import TransientError
from refit.governance.audit_log import AuditLog
from refit.governance.champions import serving_champion
from refit.interfaces import ModelRegistry, Tracker
from refit.lake.lake import Lake
from refit.lists.gate import sum_counts
from refit.lists.inputs import inputs_as_of, is_live, made_from
from refit.lists.scoring import Batch, score_as_of
from refit.model.item_factors import load_verified
from refit.publication import Attempt, write_commit
from refit.storage.object_store import ObjectStore


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    scored: bool
    why: str = ""
    """Why nothing was scored; empty if there is a batch to publish."""
    batch: str = ""
    """Prefix of the batch below the address of the lists."""
    content_sha256: str = ""
    """Content digest; equal for equal lists, independent of batch and file names."""
    as_of: str = ""
    champion: int | None = None
    counts: dict[str, float] = field(default_factory=dict)
    shelf: dict[str, Any] = field(default_factory=dict)
    """Number of eligible items, and number of items that each rule excludes."""
    warnings: list[str] = field(default_factory=list)
    """Warnings on list rules that have no effect."""


def run(
    as_of: Instant | None,
    unless_live: bool = False,
    *,
    shop: Shop,
    open_spark: Callable[[], SparkSession],
    lake: Lake,
    registry: ModelRegistry,
    log: AuditLog,
    tracker: Tracker,
    addresses: Addresses,
    open_store: Callable[[], ObjectStore],
    made_by: Attempt,
) -> Receipt:
    """Score all people as of *as_of*; with *unless_live* only if the live lists have other inputs."""
    champion = None
    if log.newest() or registry.champion():
        as_of = landed_as_of(as_of, lake, shop, live=True)
        champion = serving_champion(registry, log, as_of)
    if champion is None or as_of is None:
        return Receipt(scored=False, why="the shop has no champion yet")
    inputs = made_from(lake, shop, champion, as_of, made_by.code)
    if unless_live and is_live(open_store(), inputs):
        return Receipt(scored=False, why="the live lists are made from all that is there already")
    model = load_verified(tracker, champion)
    run_date = shop.calendar.day_of(as_of).isoformat()
    prefix = addresses.batch(run_date, made_by.batch)
    batch = Batch(prefix, champion.version, run_date)
    records, stocked = score_as_of(
        open_spark(), lake, shop, model, as_of, batch, open_store=open_store, events=inputs["events"]
    )
    counts = sum_counts([record.pop("counts") for record in records])
    if made_from(lake, shop, champion, as_of, made_by.code) != inputs:
        raise TransientError(f"data before {as_of} were landed again while lists were made of them; score again")
    facts = {"k": shop.lists.k, "counts": counts, "shelf": stocked.as_record(), **inputs_as_of(lake, shop, as_of)}
    commit = write_commit(open_store(), prefix, made_by, champion, records, inputs, facts)
    return Receipt(
        scored=True,
        batch=prefix,
        content_sha256=commit["content_sha256"],
        as_of=as_of.isoformat(),
        champion=champion.version,
        counts=counts,
        shelf=facts["shelf"],
        warnings=list(stocked.warnings),
    )


def main(
    as_of: AsOf = None,
    unless_live: UnlessLive = False,
    logical_run: LogicalRun = "",
    ordered_at: OrderedAt = None,
) -> dict[str, Any]:
    """Score with the real collaborators; Airflow names and orders the run, while each manual call is its own run."""
    receipt = run(
        as_of,
        unless_live,
        shop=wiring.shop(),
        open_spark=partial(wiring.spark, "score_users"),
        lake=wiring.lake(),
        registry=wiring.registry(),
        log=wiring.audit(),
        tracker=wiring.tracker(),
        addresses=wiring.addresses(),
        open_store=wiring.lists_opener(),
        made_by=wiring.this_try(logical_run, ordered_at),
    )
    return asdict(receipt)
