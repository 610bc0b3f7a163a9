"""
Every model and baseline of `online_retail`, tuned before 2011-11-01 and judged by the 28 days after it.

Identified purchases of positive quantity and price and five-digit product codes, people and items known before that
day. First with new items only, then with all items, where rebuying is allowed and
habit counts. Tuning reads nothing at or after 2011-11-01. BENCH_TRIALS= and BENCH_SECONDS= change its budget.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pyspark.sql import SparkSession

from bench.harness.places import real_days, session
from pipelines import build_training_set, land_interactions, train_model, tune_model
from pipelines.addresses import LAKE_CATALOG, Addresses
from pipelines.settings import REPOSITORY
from refit.adapters.expectations import GreatExpectations
from refit.adapters.folder import FolderObjectStore
from refit.adapters.implicit import ImplicitLibrary
from refit.adapters.optuna import OptunaProposer
from refit.config import Cleaning, Models, Range, Shop, load_shop
from refit.digests import canonical_json
from refit.evaluation.evaluate import judge_challenger, trials_beside
from refit.evaluation.holdout_lists import CHALLENGER
from refit.evaluation.metrics import METRICS
from refit.governance.audit_log import AuditLog
from refit.lake.lake import Lake
from refit.lake.pseudonyms import PseudonymKey
from refit.model.item_factors import verified
from refit.sources import Warehouse
from refit.testing import FakeObjectStore, FakeRegistry, FakeTracker
from refit.training.model_settings import load_settings
from refit.training.training_set import load_manifest
from refit.tuning.folds import mean
from refit.tuning.study import DONE, Trial, space_of

_AS_OF = datetime(2011, 11, 1, tzinfo=UTC)
JUDGED_UNTIL = _AS_OF + timedelta(days=28)


def measure() -> None:
    """Print one table for new items, one for all."""
    as_it_is = load_shop(REPOSITORY / "shops", "online_retail")
    shop = as_published(as_it_is)
    budget = {
        "trials": int(os.environ.get("BENCH_TRIALS", shop.tuning.trials)),
        "seconds": float(os.environ.get("BENCH_SECONDS", shop.tuning.seconds)),
    }
    shop = shop.model_copy(update={"tuning": shop.tuning.model_copy(update=budget)})
    spark = session("bench quality")
    with tempfile.TemporaryDirectory(prefix="refit-bench-") as folder:
        places = Addresses("online_retail", os.environ.get("BENCH_LAKE", folder), "")
        root = Path(places.lake_root)
        lake = Lake(places.lake_root, LAKE_CATALOG, FolderObjectStore(root), shop.calendar.clock)
        if not lake.days("interactions", _AS_OF, JUDGED_UNTIL):
            land(as_it_is.model_copy(update={"cleaning": Cleaning()}), spark, lake)
        _judge("new items only", shop, spark, lake, places)
        _judge("all items, rebuying allowed", with_rebuying(shop), spark, lake, places)
    spark.stop()


def as_published(shop: Shop) -> Shop:
    """Return *shop* with purchases as they were made, whether they were taken back or not, as it is published."""
    return shop.model_copy(update={"events": shop.events.model_copy(update={"cancellation": None, "cancels": ()})})


def with_rebuying(shop: Shop) -> Shop:
    """Return *shop* with lists that may hold what was bought before, and with the worth of habit among the settings."""
    space = {**shop.tuning.space, "habit.weight": Range(low=1.0, high=50.0, log=True)}
    kinds = tuple(kind for kind in shop.models.candidates if kind != "als")
    changes = {
        "lists": shop.lists.model_copy(update={"rebuy": True}),
        "habit": shop.habit.model_copy(update={"weight": 10.0}),
        "tuning": shop.tuning.model_copy(update={"space": space}),
        "models": Models(candidates=kinds or shop.models.candidates),
    }
    return shop.model_copy(update=changes)


def land(shop: Shop, spark: SparkSession, lake: Lake) -> None:
    """Land every day of the real shop before `JUDGED_UNTIL`."""
    land_interactions.run(
        shop.calendar.start_of(shop.calendar.first_day),
        JUDGED_UNTIL,
        shop=shop,
        warehouse=Warehouse(spark, shop, str(real_days())),
        key=PseudonymKey(b"a key for a bench only", "k1"),
        suites=REPOSITORY / "expectations",
        spark=spark,
        lake=lake,
        validator=GreatExpectations(),
    )


def _judge(title: str, shop: Shop, spark: SparkSession, lake: Lake, places: Addresses) -> None:
    tracker, library = FakeTracker(), ImplicitLibrary()
    built = build_training_set.run(JUDGED_UNTIL, shop=shop, spark=spark, lake=lake, addresses=places)
    began = time.monotonic()
    tuned = tune_model.run(
        built.training_set,
        shop=shop,
        open_spark=lambda: spark,
        lake=lake,
        addresses=places,
        tracker=tracker,
        registry=FakeRegistry(),
        log=AuditLog(FakeObjectStore()),
        factoriser=library,
        proposer=OptunaProposer(),
    )
    seconds = time.monotonic() - began
    print(f"\n{title}: {built.judges:,} people, k = {shop.evaluation.k}, trained before {built.cutoff[:10]}")
    print(f"tuned in {seconds:.0f} s, {tuned.trials} trials on folds from {', '.join(day[:10] for day in tuned.folds)}")
    models = {}
    for name, kind, score, key in _best_of_each_kind(tuned, shop, lake):
        made = train_model.run(
            built.training_set,
            key,
            shop=shop,
            open_spark=lambda: spark,
            lake=lake,
            addresses=places,
            tracker=tracker,
            factoriser=library,
        )
        models[name] = verified(tracker.model_files(made.model_id), made.digest, name)
        settings = load_settings(lake, key)
        values = {each: settings.value_of(each) for each in space_of(settings.kind, shop.tuning)}
        print(f"{name}: {kind}, {tuned.metric} {score:.4f} on the folds, {json.dumps(values)}")
    place = places.training_set(built.training_set)
    found = judge_challenger(spark, lake, shop, place, load_manifest(lake, place), models).compared
    print(f"means over people and their {found.level:.0%} intervals; whatever is asked is asked of every model")
    print(f"{'model':<20}" + "".join(f"{name:>24}" for name in METRICS))
    for name, row in found.metrics.items():
        cells = (row[f"{metric}@{found.k}"] for metric in METRICS)
        print(f"{name:<20}" + "".join(f"{each.mean:9.4f} ({each.low:.3f} {each.high:.3f})" for each in cells))


def _best_of_each_kind(tuned: tune_model.Receipt, shop: Shop, lake: Lake) -> Iterator[tuple[str, str, float, str]]:
    """Yield name, kind, score and stored settings of the winner, then of the best trial of each other kind."""
    yield CHALLENGER, tuned.kind, tuned.score or 0.0, tuned.settings
    trials = [Trial(**each) for each in trials_beside(lake.store, tuned.settings)]
    for kind in shop.models.candidates:
        done = [trial for trial in trials if trial.kind == kind and trial.state == DONE]
        if kind == tuned.kind or not done:
            continue
        best = max(done, key=lambda trial: mean(trial.scores))
        settings = shop.model_settings(kind).with_values(best.values)
        key = f"{tuned.settings.rpartition('/')[0]}/best-{kind}.json"
        lake.store.create(key, canonical_json({"settings": settings.model_dump(mode="json")}))
        yield kind, kind, mean(best.scores), key
