"""
Step: train a challenger.

Reads:  a training set with its drift profile, the settings that tuning found; landed days if these need other pairs.
Writes: an MLflow run with the item factors and the profile as one model of plain data.
Re-run: safe; the same training set and settings give the same model digest in a new run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from pyspark.sql import SparkSession

from pipelines import wiring
from pipelines.addresses import PROFILE_FILE, Addresses
from pipelines.parameters import TrainingSet, TunedSettings
from refit.config import Shop
from refit.digests import canonical_json, digest_of_files
from refit.drift.profile_store import stored_profile
from refit.interfaces import Factoriser, Tracker
from refit.lake.lake import Lake
from refit.training.model_settings import load_settings
from refit.training.recipes import train_on_set
from refit.training.training_set import Recipe, changed_days, load_manifest


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    run_id: str
    model_id: str
    digest: str
    """Digest of all files of the model."""
    training_set: str
    changed: list[str]
    """Days that were landed with other content since the set was built; training used their earlier versions."""
    cutoff: str
    kind: str
    settings: str
    """File with the settings, relative to the lake root; empty for those of shop.toml."""
    engine: str
    why: str
    """Why this engine was chosen."""
    items: int
    rank: int
    address: str
    """URL of the run's page."""


def run(
    training_set: str,
    settings: str = "",
    *,
    shop: Shop,
    open_spark: Callable[[], SparkSession],
    lake: Lake,
    addresses: Addresses,
    tracker: Tracker,
    factoriser: Factoriser,
) -> Receipt:
    """
    Train on the set with digest *training_set*; without *settings* train the shop's first candidate unchanged.

    Spark is opened only for a set that needs the cluster engine, and for confidences or a profile that are not stored.
    """
    set_folder = addresses.training_set(training_set)
    manifest = load_manifest(lake, set_folder)
    recipe = Recipe.from_manifest(manifest)
    chosen = load_settings(lake, settings) if settings else shop.model_settings(shop.models.candidates[0])
    model = train_on_set(chosen, open_spark, lake, shop, set_folder, manifest, factoriser=factoriser)
    files = {**model.to_files(), PROFILE_FILE: stored_profile(open_spark, lake, shop, recipe, set_folder)}
    digest = digest_of_files(files)
    shown = chosen.parameters()
    run_id = tracker.log_run(
        f"train {recipe.as_of.date()}",
        params={**shown, "training_set": manifest["digest"], "cutoff": recipe.cutoff.isoformat()},
        metrics={name: float(value) for name, value in manifest["counts"].items()},
        tags={"step": "train_model", "digest": digest},
        files={"manifest.json": canonical_json(manifest)},
    )
    return Receipt(
        run_id=run_id,
        model_id=tracker.log_model(run_id, files, params=shown),
        digest=digest,
        training_set=manifest["digest"],
        changed=changed_days(lake, recipe.days),
        cutoff=recipe.cutoff.isoformat(),
        kind=chosen.kind,
        settings=settings,
        engine=model.facts["engine"]["name"],
        why=model.facts["engine"]["why"],
        items=len(model.items),
        rank=model.rank,
        address=tracker.run_address(run_id),
    )


def main(training_set: TrainingSet, settings: TunedSettings = "") -> dict[str, Any]:
    """Train with the real collaborators."""
    receipt = run(
        training_set,
        settings,
        shop=wiring.shop(),
        open_spark=partial(wiring.spark, "train_model"),
        lake=wiring.lake(),
        addresses=wiring.addresses(),
        tracker=wiring.tracker(),
        factoriser=wiring.factoriser(),
    )
    return asdict(receipt)
