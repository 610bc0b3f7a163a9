"""
Step: find the settings of the challenger.

Reads:  the landed days that a training set names, before its cutoff; the champion's settings.
Writes: each trial, as it ends, and the best settings, beside the training set; a run with a child run per trial.
Re-run: safe; a killed study continues after its last trial, and a finished one is only read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from pyspark.sql import SparkSession

from pipelines import wiring
from pipelines.addresses import Addresses
from pipelines.parameters import TrainingSet
from refit.config import Shop
from refit.governance.audit_log import AuditLog
from refit.governance.champions import active_champion
from refit.interfaces import Factoriser, ModelRegistry, Proposer, Tracker
from refit.lake.lake import Lake
from refit.model.item_factors import load_verified
from refit.training.model_settings import settings_of
from refit.training.training_set import Recipe, load_manifest
from refit.tuning import Folds, StoredTrials, Study, study_digest, warm_starts


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    training_set: str
    settings: str
    """File with the best settings, relative to the lake root."""
    kind: str
    values: dict[str, Any]
    """The searched settings of the winner."""
    metric: str
    score: float | None
    """Mean score of the winner over the folds; null if there was nothing to choose from."""
    trials: int
    pruned: int
    stopped: str
    """Sentence on trials that the time budget left out; empty if all were run."""
    folds: list[str]
    """Cut-offs of the folds."""
    address: str
    """URL of the run's page."""


def run(
    training_set: str,
    *,
    shop: Shop,
    open_spark: Callable[[], SparkSession],
    lake: Lake,
    addresses: Addresses,
    tracker: Tracker,
    registry: ModelRegistry,
    log: AuditLog,
    factoriser: Factoriser,
    proposer: Proposer,
) -> Receipt:
    """Tune on the set with digest *training_set*; Spark is opened only if a trial must be run."""
    set_folder = addresses.training_set(training_set)
    manifest = load_manifest(lake, set_folder)
    recipe = Recipe.from_manifest(manifest)
    champion = active_champion(registry, log)
    initial = warm_starts(shop, settings_of(load_verified(tracker, champion)) if champion else None)
    study = study_digest(shop, initial, manifest["digest"])
    folder = addresses.tuning(training_set, study)
    folds = Folds(shop, recipe.cutoff, factoriser, lake.path(f"{folder}/checkpoints"))
    stored_trials = StoredTrials.open(
        lake.store,
        folder,
        tracker,
        name=f"tune {recipe.as_of.date()}",
        params={"training_set": manifest["digest"], "study": study, **shop.tuning.model_dump(exclude={"space"})},
        metric=f"{shop.promotion.metric}_at_{shop.evaluation.k}",
    )
    tuned = Study(
        starts=initial,
        tuning=shop.tuning,
        folds=lambda: folds.make(recipe.events_before(open_spark(), lake, recipe.cutoff)),
        proposer=proposer,
    ).run(stored_trials)
    found = stored_trials.keep(tuned)
    return Receipt(
        training_set=manifest["digest"],
        settings=found,
        kind=tuned.settings.kind,
        values={name: tuned.settings.value_of(name) for name in tuned.searched},
        metric=stored_trials.metric,
        score=tuned.score,
        trials=len(tuned.trials),
        pruned=sum(trial.state == "pruned" for trial in tuned.trials),
        stopped=tuned.stopped,
        folds=[cutoff.isoformat() for cutoff in folds.cutoffs()],
        address=tracker.run_address(stored_trials.run_id),
    )


def main(training_set: TrainingSet) -> dict[str, Any]:
    """Tune with the real collaborators."""
    receipt = run(
        training_set,
        shop=wiring.shop(),
        open_spark=partial(wiring.spark, "tune_model"),
        lake=wiring.lake(),
        addresses=wiring.addresses(),
        tracker=wiring.tracker(),
        registry=wiring.registry(),
        log=wiring.audit(),
        factoriser=wiring.factoriser(),
        proposer=wiring.proposer(),
    )
    return asdict(receipt)
