"""
Step: rank for everybody with the champion, as of a date.

Reads:  the champion, verified; everyone's history before `as_of`; the catalogue and the people as of `as_of`.
Writes: part files under a batch prefix of their own, not yet visible, and the commit that names them.
Re-run: safe; each try writes a batch of its own, and a killed one leaves files that nothing points to.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from uuid import uuid4

from pyspark.sql import SparkSession

from pipelines import wiring
from pipelines.addresses import Addresses
from pipelines.instants import Instant, landed_as_of
from refit.as_of import days_before, everybody_as_of, shelf_as_of
from refit.config import Shop
from refit.errors import ConfigurationError
from refit.factors import load_verified
from refit.interfaces import ModelRegistry, ObjectStore, Tracker
from refit.lake import Lake
from refit.lists.gate import sum_counts
from refit.lists.scoring import Batch, score
from refit.publication import write_commit
from refit.training.settings import shop_of

_EVENTS_PER_PART = 1_000_000
"""Bounds the memory of the task that makes one part file."""


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    scored: bool
    """False when the shop has no champion yet; then there is nothing to publish."""
    batch: str = ""
    """Prefix of the batch below the shop's lists."""
    as_of: str = ""
    champion: int | None = None
    counts: dict[str, int]
    shelf: dict[str, Any] = field(default_factory=dict)
    """How many items may be recommended, and how many each rule keeps off."""
    warnings: list[str] = field(default_factory=list)
    """Rules of the lists that change nothing."""


def run(
    as_of: Instant | None,
    *,
    shop: Shop,
    open_spark: Callable[[], SparkSession],
    lake: Lake,
    registry: ModelRegistry,
    tracker: Tracker,
    addresses: Addresses,
    open_store: Callable[[], ObjectStore],
) -> Receipt:
    """Score everybody as of *as_of*; *open_store* is called here and once in each Spark task."""
    champion = registry.champion()
    if champion is None:
        return Receipt(scored=False, counts={})
    as_of = landed_as_of(as_of, lake, shop)
    if datetime.fromisoformat(champion.cutoff) > as_of:
        raise ConfigurationError(
            f"the champion (version {champion.version}) has seen data up to {champion.cutoff[:10]}, which is after "
            f"as_of={as_of.date()}; lists for that date would know their future; give a later as_of"
        )
    model = load_verified(tracker, champion)
    spark = open_spark()
    stocked = shelf_as_of(spark, lake, shop, model, as_of)
    run_date = as_of.date().isoformat()
    prefix = addresses.batch(run_date, uuid4().hex[:12])
    events = sum(day.rows for day in days_before(lake, as_of))
    records = score(
        # Tuning may have found another half-life and other weights than shop.toml has.
        everybody_as_of(spark, lake, shop_of(model, shop), as_of),
        model,
        stocked.shelf,
        shop.lists,
        Batch(prefix, champion.version, run_date),
        open_store=open_store,
        parts=max(spark.sparkContext.defaultParallelism, math.ceil(events / _EVENTS_PER_PART)),
    )
    counts = sum_counts([record.pop("counts") for record in records])
    facts = {"run_date": run_date, "as_of": as_of.isoformat(), "k": shop.lists.k, "counts": counts}
    shelf = stocked.as_record()
    write_commit(open_store(), prefix, champion=champion, parts=records, shelf=shelf, **facts)
    return Receipt(
        scored=True,
        batch=prefix,
        as_of=as_of.isoformat(),
        champion=champion.version,
        counts=counts,
        shelf=shelf,
        warnings=list(stocked.warnings),
    )


def main(as_of: Instant | None = None) -> dict[str, Any]:
    """Score with the real collaborators."""
    receipt = run(
        as_of,
        shop=wiring.shop(),
        open_spark=partial(wiring.spark, "score_users"),
        lake=wiring.lake(),
        registry=wiring.registry(),
        tracker=wiring.tracker(),
        addresses=wiring.addresses(),
        open_store=wiring.lists_opener(),
    )
    return asdict(receipt)
