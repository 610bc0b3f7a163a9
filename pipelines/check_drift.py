"""
Step: decide whether retraining is worth it.

Reads:  clean data since the champion's training cutoff; the profile stored with the champion.
Writes: the verdict as an MLflow run.
Re-run: safe; the same data and champion give the same verdict.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any

from pyspark.sql import SparkSession

from pipelines import wiring
from pipelines.addresses import PROFILE_FILE
from pipelines.instants import Instant, landed_as_of
from refit.as_of import catalogue_as_of
from refit.config import Shop
from refit.digests import canonical_json
from refit.drift import compare, first_training, forced_by, judge_drift, statistics_of
from refit.errors import ConfigurationError, NotEnoughDataError
from refit.factors import verified
from refit.interfaces import ModelRegistry, Tracker
from refit.lake import Lake
from refit.profiles import Profile, current_profile


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step decided."""

    as_of: str
    decision: str
    """retrain or skip; `refuse` is an error and gives no receipt."""
    retrain: bool
    reasons: list[str]
    champion: int | None
    statistics: dict[str, float | None]
    address: str
    """Page of the verdict."""


def run(
    as_of: Instant | None,
    force: bool,
    reason: str,
    requested_by: str,
    *,
    shop: Shop,
    open_spark: Callable[[], SparkSession],
    lake: Lake,
    tracker: Tracker,
    registry: ModelRegistry,
) -> Receipt:
    """Decide at *as_of*; *force* needs a *reason*, and only a champion to compare with opens Spark."""
    forced = forced_by(force, reason, requested_by)
    as_of = landed_as_of(as_of, lake, shop)
    champion = registry.champion()
    if champion is None:
        verdict = first_training(forced)
    else:
        cutoff = datetime.fromisoformat(champion.cutoff)
        if cutoff >= as_of:
            raise ConfigurationError(
                f"the champion (version {champion.version}) was trained on data before {cutoff.date()}, which is not "
                f"before as_of={as_of.date()}; there is nothing new to compare; give a later as_of"
            )
        files = tracker.model_files(champion.model_id)
        verified(files, champion.digest, f"champion version {champion.version}")
        reference = Profile.from_json(json.loads(files[PROFILE_FILE]))
        spark = open_spark()
        current = current_profile(
            lake.read(spark, "interactions", lake.days("interactions", cutoff, as_of)),
            catalogue_as_of(spark, lake, as_of),
            shop.drift,
            reference,
        )
        verdict = judge_drift(compare(reference, current), shop.drift, cutoff=cutoff, as_of=as_of, forced=forced)
    statistics = statistics_of(verdict)
    run_id = tracker.log_run(
        f"drift {as_of.date()}: {verdict.decision}",
        params={"as_of": as_of.isoformat(), "champion": champion.version if champion else "none"},
        metrics={name: value for name, value in statistics.items() if value is not None},
        tags={"step": "check_drift", "decision": verdict.decision},
        files={"drift_verdict.json": canonical_json(verdict.as_record())},
    )
    if verdict.decision == "refuse":
        raise NotEnoughDataError(f"drift at {as_of.date()} cannot be judged: {'; '.join(verdict.reasons)}")
    return Receipt(
        as_of=as_of.isoformat(),
        decision=verdict.decision,
        retrain=verdict.decision == "retrain",
        reasons=list(verdict.reasons),
        champion=champion.version if champion else None,
        statistics=statistics,
        address=tracker.run_address(run_id),
    )


def main(as_of: Instant | None = None, force: bool = False, reason: str = "", requested_by: str = "") -> dict[str, Any]:
    """Decide with the real collaborators."""
    receipt = run(
        as_of,
        force,
        reason,
        requested_by,
        shop=wiring.shop(),
        open_spark=partial(wiring.spark, "check_drift"),
        lake=wiring.lake(),
        tracker=wiring.tracker(),
        registry=wiring.registry(),
    )
    return asdict(receipt)
