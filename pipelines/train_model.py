"""
Step: train a challenger.

Reads:  a training set; the landed days before its cutoff for the drift profile.
Writes: an MLflow run with the item factors and the profile as one model of plain data.
Re-run: safe; the same training set and settings give the same model digest in a new run.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pyspark.sql import SparkSession

from pipelines import wiring
from pipelines.addresses import PROFILE_FILE, Addresses
from refit.als import train_als
from refit.config import Shop
from refit.digests import canonical_json, digest_of_files
from refit.interfaces import Tracker
from refit.lake import Lake, Landed
from refit.training_sets import changed_days, load_manifest
from refit.watching import reference_profile


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    run_id: str
    model_id: str
    digest: str
    """Over every file of the model."""
    training_set: str
    changed: list[str]
    """Days that were landed with other content since the set was built; it was trained on what they were."""
    cutoff: str
    items: int
    rank: int
    address: str
    """Page of the run."""


def run(
    training_set: str, *, shop: Shop, spark: SparkSession, lake: Lake, addresses: Addresses, tracker: Tracker
) -> Receipt:
    """Train on the set with digest *training_set*."""
    place = addresses.training_set(training_set)
    manifest = load_manifest(lake, place)
    ingredients = manifest["ingredients"]
    cutoff = datetime.fromisoformat(ingredients["cutoff"])
    facts = {
        "shop": shop.name,
        "training_set": manifest["digest"],
        "since": ingredients["since"],
        "cutoff": ingredients["cutoff"],
        "as_of": ingredients["as_of"],
        "als": shop.als.model_dump(),
        "confidence": shop.confidence.model_dump(),
        "events": shop.events.model_dump(mode="json"),
        "window_days": shop.training.window_days,
        **manifest["counts"],
    }
    pairs = spark.read.parquet(lake.path(f"{place}/pairs"))
    model = train_als(pairs, shop.als, facts, checkpoints=lake.path(f"{place}/checkpoints"))

    used = [day for entry in manifest["used"] if (day := Landed(**entry)).day <= cutoff.date().isoformat()]
    profile = reference_profile(spark, lake, shop, used, cutoff)
    changed = changed_days(lake, [Landed(**entry) for entry in manifest["used"]])
    files = {**model.to_files(), PROFILE_FILE: canonical_json(profile.to_json())}
    digest = digest_of_files(files)
    settings = {**shop.als.model_dump(), "half_life_days": shop.confidence.half_life_days}
    run_id = tracker.log_run(
        f"train {ingredients['as_of'][:10]}",
        params={**settings, "training_set": manifest["digest"], "cutoff": ingredients["cutoff"]},
        metrics={name: float(value) for name, value in manifest["counts"].items()},
        tags={"step": "train_model", "digest": digest},
        files={"manifest.json": canonical_json(manifest)},
    )
    return Receipt(
        run_id=run_id,
        model_id=tracker.log_model(run_id, files, params=settings),
        digest=digest,
        training_set=manifest["digest"],
        changed=changed,
        cutoff=ingredients["cutoff"],
        items=len(model.items),
        rank=model.rank,
        address=tracker.run_address(run_id),
    )


def main(training_set: str) -> dict[str, Any]:
    """Train with the real collaborators."""
    receipt = run(
        training_set,
        shop=wiring.shop(),
        spark=wiring.spark("train_model"),
        lake=wiring.lake(),
        addresses=wiring.addresses(),
        tracker=wiring.tracker(),
    )
    return asdict(receipt)
