"""
Step: decide whether retraining is worth it.

Reads:  clean data since the champion's training cutoff; the profile stored with the champion.
Writes: an MLflow run with the verdict, its page, and Evidently's report of two samples beside it.
Re-run: safe; the same data and champion give the same verdict.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any

from pyspark.sql import SparkSession

from pipelines import wiring
from pipelines.addresses import PROFILE_FILE, Addresses
from pipelines.instants import Instant, landed_as_of
from pipelines.parameters import AsOf, Force, ForceReason, RequestedBy
from refit.config import Shop
from refit.digests import canonical_json
from refit.drift.check import check_champion
from refit.drift.policy import first_training, forced_by, forced_training, nothing_new, statistics_of
from refit.errors import NotEnoughDataError
from refit.governance.audit_log import AuditLog
from refit.governance.champions import active_champion
from refit.governance.experiments import describe_experiment, experiment
from refit.interfaces import DriftReporter, ModelRegistry, Tracker
from refit.lake.lake import Lake
from refit.model.item_factors import verified


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step decided."""

    as_of: str
    decision: str
    """`retrain` or `skip`; `refuse` raises and gives no receipt."""
    retrain: bool
    reasons: list[str]
    champion: int | None
    statistics: dict[str, float | None]
    address: str
    """URL of the verdict's page."""


def run(
    as_of: Instant | None,
    force: bool,
    reason: str,
    requested_by: str,
    *,
    shop: Shop,
    open_spark: Callable[[], SparkSession],
    lake: Lake,
    addresses: Addresses,
    tracker: Tracker,
    registry: ModelRegistry,
    log: AuditLog,
    open_reporter: Callable[[], DriftReporter],
) -> Receipt:
    """Decide as of *as_of*; *force* needs a *reason*. Spark is opened only if there is a champion to compare with."""
    forced = forced_by(force, reason, requested_by)
    as_of = landed_as_of(as_of, lake, shop)
    champion = active_champion(registry, log)
    pages: dict[str, bytes] = {}
    if champion is None:
        verdict = first_training(forced)
    elif forced and datetime.fromisoformat(champion.cutoff) >= as_of:
        verdict = forced_training(forced)
    elif datetime.fromisoformat(champion.cutoff) == as_of:
        verdict = nothing_new(as_of)
    else:
        files = tracker.model_files(champion.model_id)
        model = verified(files, champion.digest, f"champion version {champion.version}")
        set_folder = addresses.training_set(model.facts["training_set"])
        check = check_champion(open_spark, lake, shop, champion, model, files[PROFILE_FILE], set_folder, as_of)
        verdict = check.judge(forced)
        pages = check.pages(verdict, open_reporter)
    if verdict.decision == "retrain":
        learnt = as_of if shop.refit else shop.calendar.clock.back(as_of, shop.training.holdout_days)
        verdict = describe_experiment(verdict, experiment(champion, learnt))
    statistics = statistics_of(verdict)
    run_id = tracker.log_run(
        f"drift {as_of.date()}: {verdict.decision}",
        params={"as_of": as_of.isoformat(), "champion": champion.version if champion else "none"},
        metrics={name: value for name, value in statistics.items() if value is not None},
        tags={"step": "check_drift", "decision": verdict.decision},
        files={"drift_verdict.json": canonical_json(verdict.as_record()), **pages},
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


def main(
    as_of: AsOf = None, force: Force = False, reason: ForceReason = "", requested_by: RequestedBy = ""
) -> dict[str, Any]:
    """Decide with the real collaborators."""
    receipt = run(
        as_of,
        force,
        reason,
        requested_by,
        shop=wiring.shop(),
        open_spark=partial(wiring.spark, "check_drift"),
        lake=wiring.lake(),
        addresses=wiring.addresses(),
        tracker=wiring.tracker(),
        registry=wiring.registry(),
        log=wiring.audit(),
        open_reporter=wiring.drift_reporter,
    )
    return asdict(receipt)
