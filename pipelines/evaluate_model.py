"""
Step: compare challenger, champion and popularity on the holdout.

Reads:  the training set with its holdout; the files of challenger and champion.
Writes: metrics and the promotion verdict into the challenger's MLflow run.
Re-run: safe; the same models on the same holdout give the same numbers.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pyspark.sql import SparkSession

from pipelines import wiring
from pipelines.addresses import VERDICT_FILE, Addresses
from refit.config import Shop
from refit.digests import canonical_json
from refit.evaluation import judge_people
from refit.factors import load_verified, verified
from refit.histories import histories
from refit.interfaces import ModelRegistry, Tracker
from refit.lake import Lake
from refit.promotion import judge_promotion
from refit.training_sets import load_manifest


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    proposed: bool
    """Whether the challenger may be put before a person."""
    reasons: list[str]
    metrics: dict[str, dict[str, float]]
    """Model -> metric -> mean over the judged people."""
    judged: int
    k: int
    champion: int | None
    """Version of the champion that the challenger was compared with."""


def run(
    training_set: str,
    run_id: str,
    model_id: str,
    digest: str,
    *,
    shop: Shop,
    spark: SparkSession,
    lake: Lake,
    addresses: Addresses,
    tracker: Tracker,
    registry: ModelRegistry,
) -> Receipt:
    """Judge the challenger *model_id* with *digest* on the holdout of *training_set*."""
    place = addresses.training_set(training_set)
    load_manifest(lake, place)
    models = {"challenger": verified(tracker.model_files(model_id), digest, f"challenger {model_id}")}
    champion = registry.champion()
    if champion is not None:
        models["champion"] = load_verified(tracker, champion)
    judged = judge_people(
        histories(spark.read.parquet(lake.path(f"{place}/pairs"))),
        spark.read.parquet(lake.path(f"{place}/holdout")),
        models,
        shop.evaluation,
    )
    verdict = judge_promotion(judged, shop.promotion, shop.evaluation)
    means = judged.means()
    k = shop.evaluation.k
    metrics = {f"{model}.{name}_at_{k}": value for model, row in means.items() for name, value in row.items()}
    metrics |= {f"{model}.coverage": count / judged.catalogue for model, count in judged.recommended.items()}
    record = {**verdict.as_record(), "metrics": means, "champion": champion.version if champion else None}
    tracker.add_to_run(run_id, metrics=metrics, files={VERDICT_FILE: canonical_json(record)})
    return Receipt(
        proposed=verdict.decision == "propose",
        reasons=list(verdict.reasons),
        metrics=means,
        judged=judged.people,
        k=k,
        champion=champion.version if champion else None,
    )


def main(training_set: str, run_id: str, model_id: str, digest: str) -> dict[str, Any]:
    """Judge with the real collaborators."""
    receipt = run(
        training_set,
        run_id,
        model_id,
        digest,
        shop=wiring.shop(),
        spark=wiring.spark("evaluate_model"),
        lake=wiring.lake(),
        addresses=wiring.addresses(),
        tracker=wiring.tracker(),
        registry=wiring.registry(),
    )
    return asdict(receipt)
