"""
Step: train a challenger.

Reads:  a training set, the settings that tuning found; the landed days before its cutoff for the drift profile.
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
from refit.config import Shop
from refit.digests import canonical_json, digest_of_files
from refit.interfaces import Factoriser, Tracker
from refit.lake import Lake, Landed
from refit.training import train
from refit.training.settings import load_settings, pairs_of, shop_with, training_facts
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
    kind: str
    settings: str
    """What it was trained with: a file, relative to the lake root; empty for those of shop.toml."""
    engine: str
    why: str
    """Why this engine."""
    items: int
    rank: int
    address: str
    """Page of the run."""


def run(
    training_set: str,
    settings: str = "",
    *,
    shop: Shop,
    spark: SparkSession,
    lake: Lake,
    addresses: Addresses,
    tracker: Tracker,
    factoriser: Factoriser,
) -> Receipt:
    """Train on the set with digest *training_set*; without *settings* the shop's first candidate as it stands."""
    place = addresses.training_set(training_set)
    manifest = load_manifest(lake, place)
    ingredients = manifest["ingredients"]
    cutoff = datetime.fromisoformat(ingredients["cutoff"])
    chosen = load_settings(lake, settings) if settings else shop.model_settings(shop.models.candidates[0])
    model = train(
        pairs_of(chosen, spark, lake, place, manifest),
        chosen,
        training_facts(manifest, shop_with(chosen, shop)),
        factoriser=factoriser,
        checkpoints=lake.path(f"{place}/checkpoints"),
    )

    used = [day for entry in manifest["used"] if (day := Landed(**entry)).day <= cutoff.date().isoformat()]
    profile = reference_profile(spark, lake, shop, used, cutoff)
    changed = changed_days(lake, [Landed(**entry) for entry in manifest["used"]])
    files = {**model.to_files(), PROFILE_FILE: canonical_json(profile.to_json())}
    digest = digest_of_files(files)
    shown = chosen.parameters()
    run_id = tracker.log_run(
        f"train {ingredients['as_of'][:10]}",
        params={**shown, "training_set": manifest["digest"], "cutoff": ingredients["cutoff"]},
        metrics={name: float(value) for name, value in manifest["counts"].items()},
        tags={"step": "train_model", "digest": digest},
        files={"manifest.json": canonical_json(manifest)},
    )
    return Receipt(
        run_id=run_id,
        model_id=tracker.log_model(run_id, files, params=shown),
        digest=digest,
        training_set=manifest["digest"],
        changed=changed,
        cutoff=ingredients["cutoff"],
        kind=chosen.kind,
        settings=settings,
        engine=model.facts["engine"]["name"],
        why=model.facts["engine"]["why"],
        items=len(model.items),
        rank=model.rank,
        address=tracker.run_address(run_id),
    )


def main(training_set: str, settings: str = "") -> dict[str, Any]:
    """Train with the real collaborators."""
    receipt = run(
        training_set,
        settings,
        shop=wiring.shop(),
        spark=wiring.spark("train_model"),
        lake=wiring.lake(),
        addresses=wiring.addresses(),
        tracker=wiring.tracker(),
        factoriser=wiring.factoriser(),
    )
    return asdict(receipt)
