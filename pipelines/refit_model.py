"""
Step: train a proposed challenger again, with the same settings, on every day before `as_of`.

Reads:  the judged model (the twin) and its training set, whose landed versions it names; the receipt of the judgement.
Writes: a training set without a holdout; an MLflow run with the guards' verdict and, within all limits, the refitted
        model. It is then what a person is asked about; outside a limit, or with `refit = false`, that is the twin.
Re-run: safe; the same twin gives the same digest in a new run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from pyspark.sql import SparkSession

from pipelines import wiring
from pipelines.addresses import PROFILE_FILE, REFIT_VERDICT_FILE, Addresses
from pipelines.parameters import Evaluation, ModelDigest, ModelId, RunId, TrainingSet
from refit.config import ModelSettings, Shop
from refit.digests import canonical_json, digest_of_files
from refit.drift.profile_store import stored_profile
from refit.errors import NotEnoughDataError
from refit.evaluation.evaluate import judge_refitted
from refit.evaluation.refit_guards import OFFER
from refit.interfaces import Factoriser, Tracker
from refit.lake.lake import Lake
from refit.model.item_factors import ItemFactors, verified
from refit.training.model_settings import settings_of
from refit.training.recipes import train_on_set
from refit.training.training_set import Recipe, load_manifest


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step offers; run, model, digest and training set are those of the offered model."""

    refitted: bool
    """Whether the offered model was trained again; False: it is the judged model itself."""
    offered: str
    """Sentence for the approver; empty if the shop does not refit, or nothing is proposed."""
    run_id: str
    model_id: str
    digest: str
    training_set: str
    twin: str
    """Digest of the judged model."""
    reasons: list[str]
    """What the guards say."""
    measures: dict[str, float | None]
    """Guard -> number."""
    address: str
    """URL of the page of the offered model's run."""


def run(
    training_set: str,
    run_id: str,
    model_id: str,
    digest: str,
    evaluation: Mapping[str, Any],
    *,
    shop: Shop,
    open_spark: Callable[[], SparkSession],
    lake: Lake,
    addresses: Addresses,
    tracker: Tracker,
    factoriser: Factoriser,
) -> Receipt:
    """Refit the model *model_id* if *evaluation*, the receipt of its judgement, proposes it."""
    itself = Receipt(
        refitted=False,
        offered="",
        run_id=run_id,
        model_id=model_id,
        digest=digest,
        training_set=training_set,
        twin=digest,
        reasons=[],
        measures={},
        address=tracker.run_address(run_id),
    )
    if not shop.refit or not evaluation["proposed"]:
        return itself
    twin = verified(tracker.model_files(model_id), digest, f"challenger {model_id}")
    set_folder = addresses.training_set(training_set)
    manifest = load_manifest(lake, set_folder)
    recipe, settings = Recipe.from_manifest(manifest).whole(), settings_of(twin)
    again = f"trained again on every day before {recipe.as_of.date()}"
    keeping = f"the judged model itself, trained on data before {str(twin.facts['cutoff'])[:10]}: {again}"
    if settings is None:
        return replace(itself, offered=f"{keeping} it may be another model, for its settings are not stored with it")
    try:
        files, whole = _refit(settings, recipe, shop, open_spark, lake, addresses, factoriser)
    except NotEnoughDataError as error:
        return replace(itself, offered=f"{keeping}, it does not fit ({error})", reasons=[str(error)])
    model = ItemFactors.from_files(files)
    verdict = judge_refitted(open_spark(), lake, shop, set_folder, manifest, twin, model)
    measures = {measure.name: measure.value for measure in verdict.measures}
    shown = settings.parameters()
    own_run = tracker.log_run(
        f"refit {recipe.as_of.date()}: {verdict.decision}",
        params={**shown, "training_set": whole["digest"], "cutoff": recipe.cutoff.isoformat(), "twin": digest},
        metrics={name: value for name, value in measures.items() if value is not None},
        tags={"step": "refit_model", "decision": verdict.decision},
        files={REFIT_VERDICT_FILE: canonical_json(verdict.as_record()), "manifest.json": canonical_json(whole)},
        parent=run_id,
    )
    reasons = list(verdict.reasons)
    guarded = replace(itself, reasons=reasons, measures=measures, address=tracker.run_address(own_run))
    if verdict.decision != OFFER:
        return replace(guarded, offered=f"{keeping}, {'; '.join(reasons)}")
    return replace(
        guarded,
        refitted=True,
        offered=f"the judged model {again}, with the same settings; {'; '.join(reasons)}",
        run_id=own_run,
        model_id=tracker.log_model(own_run, files, params=shown),
        digest=digest_of_files(files),
        training_set=whole["digest"],
    )


def _refit(
    settings: ModelSettings,
    recipe: Recipe,
    shop: Shop,
    open_spark: Callable[[], SparkSession],
    lake: Lake,
    addresses: Addresses,
    factoriser: Factoriser,
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Return the files of the refitted model and the manifest of its training set."""
    set_folder = addresses.training_set(recipe.digest)
    recipe.store(open_spark(), lake, set_folder, lambda _: stored_profile(open_spark, lake, shop, recipe, set_folder))
    manifest = load_manifest(lake, set_folder)
    model = train_on_set(settings, open_spark, lake, shop, set_folder, manifest, factoriser=factoriser)
    profile = stored_profile(open_spark, lake, shop, recipe, set_folder)
    return {**model.to_files(), PROFILE_FILE: profile}, manifest


def main(
    training_set: TrainingSet, run_id: RunId, model_id: ModelId, digest: ModelDigest, evaluation: Evaluation
) -> dict[str, Any]:
    """Refit with the real collaborators."""
    receipt = run(
        training_set,
        run_id,
        model_id,
        digest,
        evaluation,
        shop=wiring.shop(),
        open_spark=partial(wiring.spark, "refit_model"),
        lake=wiring.lake(),
        addresses=wiring.addresses(),
        tracker=wiring.tracker(),
        factoriser=wiring.factoriser(),
    )
    return asdict(receipt)
