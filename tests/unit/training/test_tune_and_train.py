"""The two steps together: tuning hands its settings to training, and a champion hands its own to the next tuning."""

from __future__ import annotations

import json

import pytest
from pyspark.sql import SparkSession
from support.corner import Corner, day

from pipelines import build_training_set, train_model, tune_model
from pipelines.addresses import Addresses
from refit.adapters.implicit import ImplicitLibrary
from refit.adapters.optuna import OptunaProposer
from refit.config import Shop
from refit.errors import ModelDamagedError, NotFoundError
from refit.governance.audit_log import AuditLog
from refit.lake.lake import Lake
from refit.model.item_factors import ItemFactors
from refit.testing import FakeObjectStore, FakeRegistry, FakeTracker, crown
from refit.training.model_settings import load_settings, pairs_of, read_settings, settings_of, shop_of
from refit.training.training_set import load_manifest

TUNED = """
[training]
holdout_days = 3
min_interactions = 1
min_people = 2
min_items = 2

[confidence]
half_life_days = 4

[models]
candidates = ["als", "neighbours"]

[lists]
rebuy = true

[tuning]
trials = 2
folds = 1
seed = 2

[tuning.space.confidence]
half_life_days = { choices = [2.5, 5.5] }
"""
PLACES = Addresses("corner", "lake", "refit")
ITEMS = ("tea", "mug", "pot", "tin")


def tune(shop: Shop, training_set: str, spark: SparkSession, lake: Lake, **more: object) -> tune_model.Receipt:
    return tune_model.run(
        training_set,
        shop=shop,
        open_spark=lambda: spark,
        lake=lake,
        addresses=PLACES,
        factoriser=ImplicitLibrary(1),
        proposer=OptunaProposer(),
        **more,
    )


def unopened() -> SparkSession:
    raise AssertionError("Spark was opened")


def test_tuning_finds_settings_that_training_uses_and_the_next_tuning_begins_with(
    spark: SparkSession, lake: Lake, corner: Corner
) -> None:
    """
    Six people buy their half of four items in turn, for ten days; three are the holdout, three the one fold.

    Training with the settings of the set itself finds everything beside it and opens no Spark.
    """
    stock = "sku,name,price\n" + "".join(f"{item},{item},1\n" for item in ITEMS)
    shop = corner.shop(
        TUNED, replace={"seed = 1\n\n[evaluation]": "seed = 1\nrank = 2\niterations = 2\n\n[evaluation]"}
    )
    for number in (5, 6, 7, 8, 9, 10, 12, 13, 14, 15):
        lines = [f"u{n},{ITEMS[n % 2 + 2 * (number // 2 % 2)]},2026-01-{number:02d} 10:{n:02d}:00,1" for n in range(6)]
        corner.write(f"2026-01-{number:02d}", lines)
    corner.land(day(5), day(16), shop=shop, stock=stock)
    built = build_training_set.run(day(16), shop=shop, spark=spark, lake=lake, addresses=PLACES)
    tracker, registry, log = FakeTracker(), FakeRegistry(), AuditLog(FakeObjectStore())

    found = tune(shop, built.training_set, spark, lake, tracker=tracker, registry=registry, log=log)
    assert found.folds == ["2026-01-10T00:00:00+00:00"]
    assert (found.trials, found.metric) == (4, "ndcg_at_20")
    assert 0 < (found.score or 0) <= 1
    assert list(found.values) == ["confidence.half_life_days"]
    runs = len(tracker.runs)
    assert tune(shop, built.training_set, spark, lake, tracker=tracker, registry=registry, log=log) == found
    assert len(tracker.runs) == runs

    made = train_model.run(
        found.training_set,
        found.settings,
        shop=shop,
        open_spark=lambda: spark,
        lake=lake,
        addresses=PLACES,
        tracker=tracker,
        factoriser=ImplicitLibrary(1),
    )
    model = ItemFactors.from_files(tracker.model_files(made.model_id))
    chosen = settings_of(model)
    assert chosen is not None
    assert chosen.value_of("confidence.half_life_days") == found.values["confidence.half_life_days"]
    assert (made.kind, made.settings) == (found.kind, found.settings) == (model.facts["kind"], made.settings)
    assert made.items == 4
    assert shop_of(model, shop).confidence == chosen.confidence

    plain = train_model.run(
        found.training_set,
        shop=shop,
        open_spark=unopened,
        lake=lake,
        addresses=PLACES,
        tracker=tracker,
        factoriser=ImplicitLibrary(1),
    )
    files = tracker.model_files(plain.model_id)
    assert files["profile.json"] == tracker.model_files(made.model_id)["profile.json"]
    assert len(ItemFactors.from_files(files).facts["learning"]) == 2

    place = PLACES.training_set(built.training_set)
    manifest = load_manifest(lake, place)
    as_written = pairs_of(None, spark, lake, place, manifest).agg({"confidence": "sum"}).collect()[0][0]
    for half_life, sum_of_all in ((None, 42.0), (1.0, 6 * sum(0.5 ** (n + 14 / 24) for n in (0, 2, 3, 4, 5, 6, 7)))):
        other = chosen.with_values({"confidence.half_life_days": half_life})
        pairs = pairs_of(other, spark, lake, place, manifest).agg({"confidence": "sum"})
        assert pairs.collect()[0][0] == pytest.approx(sum_of_all, rel=0.01)
        assert as_written != sum_of_all

    registered = registry.register(model_id=made.model_id, run_id=made.run_id, tags={"digest": made.digest})
    crown(registry, registered, log)
    again = tune(shop, built.training_set, spark, lake, tracker=tracker, registry=registry, log=log)
    first = json.loads(tracker.runs[again.address.rsplit("/", 1)[1]].files["trials.json"])
    starts = {trial["kind"]: trial["values"]["confidence.half_life_days"] for trial in first[:2]}
    loser = "neighbours" if made.kind == "als" else "als"
    assert starts == {made.kind: chosen.confidence.half_life_days, loser: 4.0}


def test_settings_that_are_missing_or_damaged_are_one_sentence(lake: Lake) -> None:
    with pytest.raises(NotFoundError, match="holds no settings; run tune_model first"):
        load_settings(lake, "training_sets/x/settings.json")
    with pytest.raises(ModelDamagedError, match=r"the settings of the model cannot be read: kind is missing"):
        read_settings({}, "the model")
