"""
Step: rank for everybody with the champion, as of a date.

Reads:  the champion, verified; everyone's history before `as_of`; the catalogue and the people as of `as_of`.
Writes: part files under a batch prefix of their own, not yet visible, and the commit that names them.
Re-run: safe; each try writes a batch of its own, and a killed one leaves files that nothing points to.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

import numpy as np
from pyspark.sql import SparkSession

from pipelines import wiring
from pipelines.addresses import Addresses
from pipelines.instants import Instant, landed_as_of
from refit.config import Shop
from refit.errors import ConfigurationError
from refit.factors import verified
from refit.histories import histories, person_item_pairs
from refit.interfaces import ModelRegistry, ObjectStore, Tracker
from refit.items import allowed_positions
from refit.lake import Lake
from refit.lists import sum_counts
from refit.publication import write_commit
from refit.scoring import Batch, everybody, score

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EVENTS_PER_PART = 2_000_000
"""Bounds the memory of the task that makes one part file."""


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    scored: bool
    """False when the shop has no champion yet; then there is nothing to publish."""
    batch: str = ""
    """Prefix of the batch below the shop's lists."""
    as_of: str = ""
    run_date: str = ""
    champion: int | None = None
    people: int = 0
    parts: int = 0
    counts: dict[str, int]


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
    model = verified(tracker.model_files(champion.model_id), champion.digest, f"champion version {champion.version}")
    days = lake.days("interactions", _EPOCH, as_of)
    spark = open_spark()
    pairs = person_item_pairs(
        lake.read(spark, "interactions", days),
        since=as_of - shop.training.window,
        as_of=as_of,
        events=shop.events,
        confidence=shop.confidence,
    )
    people, catalogue = lake.snapshot("users", as_of), lake.snapshot("items", as_of)
    known = lake.read(spark, "users", [people]) if people else None
    allowed = allowed_positions(model, lake.read(spark, "items", [catalogue] if catalogue else []), as_of)
    run_date = as_of.date().isoformat()
    name = uuid4().hex[:12]
    prefix = addresses.batch(run_date, name)
    cores = spark.sparkContext.defaultParallelism
    records = score(
        everybody(histories(pairs), known),
        model,
        np.asarray(allowed),
        shop.lists,
        Batch(prefix, champion.version, run_date),
        open_store=open_store,
        parts=max(cores, math.ceil(sum(day.rows for day in days) / _EVENTS_PER_PART)),
    )
    counts = sum_counts([record.pop("counts") for record in records])
    commit = {
        "batch": name,
        "run_date": run_date,
        "as_of": as_of.isoformat(),
        "k": shop.lists.k,
        "model": {
            "name": champion.name,
            "version": champion.version,
            "digest": champion.digest,
            "cutoff": champion.cutoff,
        },
        "parts": records,
        "counts": counts,
    }
    write_commit(open_store(), prefix, commit)
    return Receipt(
        scored=True,
        batch=prefix,
        as_of=as_of.isoformat(),
        run_date=run_date,
        champion=champion.version,
        people=counts["people"],
        parts=len(records),
        counts=counts,
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
