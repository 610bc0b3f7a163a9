"""
Step: build the training set and its holdout.

Reads:  every landed day before `as_of`; the newest users snapshot not after it, for consent.
Writes: person-item pairs before the cutoff, the drift profile of their days, the holdout after the cutoff, and a
        manifest that names each landed version used.
Re-run: safe; the same landed days and settings give the same digest, and an existing set is not built again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pyspark.sql import SparkSession

from pipelines import wiring
from pipelines.addresses import Addresses
from pipelines.instants import Instant, landed_as_of
from pipelines.parameters import AsOf
from refit.config import Shop
from refit.drift.profile_store import stored_profile
from refit.lake.as_of import days_before
from refit.lake.lake import Lake
from refit.training.training_set import Recipe, Written, load_manifest, require_enough


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    training_set: str
    """Digest of all inputs, which names the set."""
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
    asked: dict[str, int]
    """Counts of people and items in the holdout period and of those left out; empty for sets in the old format."""
    built: bool
    """False if the set already existed."""


def run(as_of: Instant | None, *, shop: Shop, spark: SparkSession, lake: Lake, addresses: Addresses) -> Receipt:
    """Build the set whose holdout ends at *as_of*."""
    as_of = landed_as_of(as_of, lake, shop)
    days = days_before(lake, as_of)
    recipe = Recipe.of(shop, as_of, days, lake.snapshot("users", as_of))
    digest = recipe.digest
    set_folder = addresses.training_set(digest)

    def complete(written: Written) -> None:
        require_enough(written.counts, shop.training)
        stored_profile(lambda: spark, lake, shop, recipe, set_folder)

    built = recipe.store(spark, lake, set_folder, complete)
    made = load_manifest(lake, set_folder)
    landed = {day.day for day in days}
    calendar = shop.calendar
    expected = calendar.open_days(max(calendar.day_of(recipe.since), calendar.first_day), calendar.day_of(as_of))
    return Receipt(
        training_set=digest,
        as_of=as_of.isoformat(),
        cutoff=recipe.cutoff.isoformat(),
        days=len(days),
        missing_days=sum(day.isoformat() not in landed for day in expected),
        built=built,
        asked=made.get("asked", {}),
        **made["counts"],
    )


def main(as_of: AsOf = None) -> dict[str, Any]:
    """Build with the real collaborators."""
    spark = wiring.spark("build_training_set")
    return asdict(run(as_of, shop=wiring.shop(), spark=spark, lake=wiring.lake(), addresses=wiring.addresses()))
