"""
Step: build the training set and the holdout that judges it.

Reads:  every landed day before `as_of`.
Writes: person-item pairs before the cutoff, the holdout after it, and a manifest that names each landed version used.
Re-run: safe; the same landed days and settings give the same digest, and a set that exists is not built again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from pyspark.sql import SparkSession

from pipelines import wiring
from pipelines.addresses import Addresses
from pipelines.instants import Instant, landed_as_of
from refit.as_of import days_before
from refit.columns import Columns
from refit.config import Shop
from refit.digests import canonical_json, digest_of
from refit.histories import person_item_pairs
from refit.lake import Lake
from refit.training_sets import count_pairs, holdout, require_enough


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    training_set: str
    """Digest of everything that went in; the name of the set."""
    as_of: str
    cutoff: str
    days: int
    missing_days: int
    """Open days of the window that are not landed."""
    pairs: int
    people: int
    items: int
    judges: int
    """People in the holdout."""
    built: bool
    """False when the set existed."""


def run(as_of: Instant | None, *, shop: Shop, spark: SparkSession, lake: Lake, addresses: Addresses) -> Receipt:
    """Build the set whose holdout ends at *as_of*."""
    as_of = landed_as_of(as_of, lake, shop)
    cutoff = as_of - timedelta(days=shop.training.holdout_days)
    since = as_of - timedelta(days=shop.training.window_days)
    days = days_before(lake, as_of)
    ingredients = {
        "shop": shop.name,
        "since": since.isoformat(),
        "cutoff": cutoff.isoformat(),
        "as_of": as_of.isoformat(),
        "events": shop.events.model_dump(mode="json"),
        "confidence": shop.confidence.model_dump(mode="json"),
        "days": [[day.day, day.rows, day.digest] for day in days],
    }
    digest = digest_of(ingredients)
    place = addresses.training_set(digest)
    manifest = lake.store.get(f"{place}/manifest.json")
    built = manifest is None
    if manifest is None:
        events = lake.read(spark, "interactions", days)
        until_cutoff = events.where(f"{Columns.EVENT_TIME} < timestamp'{cutoff.isoformat()}'")
        pairs = person_item_pairs(
            until_cutoff, since=since, as_of=cutoff, events=shop.events, confidence=shop.confidence
        )
        pairs.write.mode("overwrite").parquet(lake.path(f"{place}/pairs"))
        written = spark.read.parquet(lake.path(f"{place}/pairs"))
        judges = holdout(events, written, cutoff=cutoff, as_of=as_of, events=shop.events)
        judges.write.mode("overwrite").parquet(lake.path(f"{place}/holdout"))
        counts = count_pairs(written, spark.read.parquet(lake.path(f"{place}/holdout")))
        require_enough(counts, shop.training)
        used = [asdict(day) for day in days]
        # The manifest is written last: a set without one was never finished and is built again.
        lake.store.create(
            f"{place}/manifest.json",
            canonical_json({"digest": digest, "ingredients": ingredients, "counts": counts, "used": used}),
        )
    else:
        counts = json.loads(manifest.content)["counts"]
    landed = {day.day for day in days}
    expected = shop.calendar.open_days(max(since.date(), shop.calendar.first_day), as_of.date())
    return Receipt(
        training_set=digest,
        as_of=as_of.isoformat(),
        cutoff=cutoff.isoformat(),
        days=len(days),
        missing_days=sum(day.isoformat() not in landed for day in expected),
        built=built,
        **counts,
    )


def main(as_of: Instant | None = None) -> dict[str, Any]:
    """Build with the real collaborators."""
    spark = wiring.spark("build_training_set")
    return asdict(run(as_of, shop=wiring.shop(), spark=spark, lake=wiring.lake(), addresses=wiring.addresses()))
