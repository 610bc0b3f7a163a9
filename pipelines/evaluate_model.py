"""
Step: compare challenger, champion and baselines on the holdout.

Reads:  the training set with its holdout; the events and the catalogue before its cutoff; both models' files.
Writes: metrics, the promotion verdict with all intervals, and the dossier, into the challenger's MLflow run; with
        `export=true` every judged list, too.
Re-run: safe; the same models on the same holdout give the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from pyspark.sql import SparkSession

from pipelines import wiring
from pipelines.addresses import VERDICT_FILE, Addresses
from pipelines.parameters import Drift, Export, ModelDigest, ModelId, RunId, ShownSettings, TrainingSet
from refit.config import ModelSettings, Shop
from refit.digests import canonical_json
from refit.evaluation.anchors import find_anchor, next_anchor
from refit.evaluation.dossier import metrics_of, page_of, record_of
from refit.evaluation.dossier_page import DOSSIER_FILE
from refit.evaluation.evaluate import holdout_of, judge_challenger, stopped_early, trials_beside
from refit.evaluation.exports import LISTS_FILE, export_lists
from refit.evaluation.fair_champion import find_fair_champion
from refit.evaluation.promotion_gate import judge_promotion
from refit.governance.audit_log import AuditLog
from refit.governance.champions import active_champion
from refit.governance.experiments import experiment, refuse_experiment
from refit.interfaces import Factoriser, ModelRegistry, Tracker
from refit.lake.lake import Lake
from refit.model.item_factors import ItemFactors, load_verified, verified
from refit.training.holdout_coverage import describe_coverage
from refit.training.recipes import train_on_set
from refit.training.training_set import Recipe, load_manifest
from refit.verdicts import Verdict


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    run_id: str
    """Run with the verdict and the dossier."""
    as_of: str
    """End of the holdout."""
    proposed: bool
    """Whether the challenger may be submitted for approval."""
    reasons: list[str]
    metrics: dict[str, dict[str, float]]
    """Model -> metric -> mean over the judged people."""
    judged: int
    k: int
    champion: int | None
    """Version of the champion that the challenger was compared with."""
    dossier: str
    """Name of the page among the files of the run."""
    anchor: str
    """Settings of the anchor, as JSON, against which later losses count once this is the champion."""
    left_out: str
    """Sentence on people in the holdout period who cannot be judged; empty if the training set does not count them."""
    everybody: dict[str, dict[str, float]]
    """Model -> metric -> mean over all people of the holdout period; items that no model knows count as missed."""
    exported: str
    """Name of the file with the judged lists among the files of the run; empty unless requested."""


def run(
    training_set: str,
    run_id: str,
    model_id: str,
    digest: str,
    settings: str = "",
    drift: Mapping[str, Any] | None = None,
    export: bool = False,
    *,
    shop: Shop,
    spark: SparkSession,
    lake: Lake,
    addresses: Addresses,
    tracker: Tracker,
    registry: ModelRegistry,
    log: AuditLog,
    factoriser: Factoriser,
) -> Receipt:
    """
    Judge a model; the trials beside *settings* (a tuning file) and *drift* (a receipt) are only displayed.

    With *export* every judged list is stored beside the verdict, for evaluations outside Refit.
    """
    set_folder = addresses.training_set(training_set)
    manifest = load_manifest(lake, set_folder)
    recipe = Recipe.from_manifest(manifest)
    models = {"challenger": verified(tracker.model_files(model_id), digest, f"challenger {model_id}")}
    champion = active_champion(registry, log)
    if champion is not None:
        models["champion"] = load_verified(tracker, champion)

    def train(settings: ModelSettings) -> ItemFactors:
        return train_on_set(settings, lambda: spark, lake, shop, set_folder, manifest, factoriser=factoriser)

    fair = find_fair_champion(champion, models, as_of=recipe.as_of, refits=shop.refit, train=train)
    models |= fair.contender
    anchor = find_anchor(champion, models, train)
    found = judge_challenger(
        spark, lake, shop, set_folder, manifest, models | anchor.contender, wanted_since=fair.since
    )
    verdict = judge_promotion(found.compared, shop.promotion, same_recipe=fair.same_recipe)
    verdict = refuse_experiment(verdict, experiment(champion, recipe.as_of if shop.refit else recipe.cutoff))
    notes = (*([fair.note] if fair.note else []), *anchor.notes)
    verdict = replace(verdict, reasons=(*verdict.reasons, *notes))
    version = champion.version if champion else None
    shown = {"counts": manifest["counts"], "champion": version, "drift": drift or {}}
    shown |= {"trials": trials_beside(lake.store, settings), "stopped": stopped_early(lake.store, settings)}
    shown |= {"offered": _offered(shop, recipe, verdict)}
    files = {
        VERDICT_FILE: canonical_json(record_of(verdict, found.compared, version, champion_judged_by=fair.judged_by)),
        DOSSIER_FILE: page_of(verdict, found, models, shop, **shown),
    }
    if export:
        files[LISTS_FILE] = export_lists(found.judged, holdout_of(spark, lake, set_folder))
    tracker.add_to_run(run_id, metrics=metrics_of(found.compared), files=files)
    everybody = found.compared.everybody
    return Receipt(
        run_id=run_id,
        as_of=recipe.as_of.isoformat(),
        proposed=verdict.decision == "propose",
        reasons=list(verdict.reasons),
        metrics=found.compared.means(),
        judged=found.compared.people,
        k=found.compared.k,
        champion=version,
        dossier=DOSSIER_FILE,
        anchor=next_anchor(anchor, found.compared, models["challenger"], shop.promotion.metric),
        left_out=describe_coverage(everybody.asked, everybody.judges) if everybody else "",
        everybody=everybody.means(found.compared.k) if everybody else {},
        exported=LISTS_FILE if export else "",
    )


def _offered(shop: Shop, recipe: Recipe, verdict: Verdict) -> str:
    if not shop.refit or verdict.decision != "propose":
        return ""
    return (
        f"This is the judged twin of the model that is offered for approval: the same recipe trained again on every "
        f"day before {recipe.as_of.date()}, unless it breaks one of its guards; the question says so then."
    )


def main(
    training_set: TrainingSet,
    run_id: RunId,
    model_id: ModelId,
    digest: ModelDigest,
    settings: ShownSettings = "",
    drift: Drift = None,
    export: Export = False,
) -> dict[str, Any]:
    """Judge with the real collaborators."""
    receipt = run(
        training_set,
        run_id,
        model_id,
        digest,
        settings,
        drift,
        export,
        shop=wiring.shop(),
        spark=wiring.spark("evaluate_model"),
        lake=wiring.lake(),
        addresses=wiring.addresses(),
        tracker=wiring.tracker(),
        registry=wiring.registry(),
        log=wiring.audit(),
        factoriser=wiring.factoriser(),
    )
    return asdict(receipt)
