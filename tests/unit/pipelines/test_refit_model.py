"""The step that trains a proposed challenger again: on which days, within which limits, and what is offered else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyspark.sql import SparkSession
from support.tea_shop import TeaShop

from pipelines import build_training_set, rebuild_training_set, refit_model, register_model, train_model
from pipelines.addresses import PROFILE_FILE, REFIT_VERDICT_FILE, Addresses
from refit.adapters.implicit import ImplicitLibrary
from refit.config import Shop, load_shop
from refit.digests import digest_of_files
from refit.errors import ModelDamagedError
from refit.model.item_factors import ItemFactors
from refit.testing import FakeRegistry, FakeTracker

AS_OF = datetime(2026, 2, 1, tzinfo=UTC)
CUTOFF = AS_OF - timedelta(days=14)
ITEMS = [f"{letter}{n}" for letter in "ab" for n in range(8)]
SETTINGS = """
[training]
holdout_days = 14
min_interactions = 10
min_people = 10
min_items = 2
[promotion]
min_people = 10
"""


def events() -> list[tuple[str, str, datetime]]:
    """Return what 60 people of two tastes bought; c0 is sold after the cutoff only, d0 on the day of `as_of`."""
    found = []
    for person in range(60):
        name, letter = f"p{person:02d}", "ab"[person % 2]
        order = np.random.default_rng(person).permutation(8)
        found += [(name, f"{letter}{item}", CUTOFF - timedelta(days=40 - n)) for n, item in enumerate(order[:5])]
        found += [(name, f"{letter}{item}", CUTOFF + timedelta(days=n)) for n, item in enumerate(order[5:7])]
        found += [(name, "c0", CUTOFF + timedelta(days=9))] * (person < 20)
        found += [(name, "d0", AS_OF)] * (person < 30)
    return found


@dataclass(frozen=True)
class World:
    """A challenger that was trained by the steps."""

    shop: Shop
    spark: SparkSession
    tea: TeaShop
    addresses: Addresses
    tracker: FakeTracker
    twin: dict[str, str]

    def refit(self, *, proposed: bool = True, **changes: Any) -> refit_model.Receipt:
        return refit_model.run(
            **self.twin,
            evaluation={"proposed": proposed},
            shop=self.shop.model_copy(update=changes),
            open_spark=lambda: self.spark,
            lake=self.tea.lake,
            addresses=self.addresses,
            tracker=self.tracker,
            factoriser=ImplicitLibrary(1),
        )

    def model(self, model_id: str) -> ItemFactors:
        return ItemFactors.from_files(self.tracker.model_files(model_id))


@pytest.fixture(scope="module")
def landed(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> TeaShop:
    tea = TeaShop.empty(spark, tmp_path_factory.mktemp("refit") / "lake" / "corner")
    tea.sell(events())
    tea.stock({name: ("tea", 4.0, True) for name in [*ITEMS, "c0", "d0"]}, CUTOFF - timedelta(days=1))
    return tea


@pytest.fixture
def world(spark: SparkSession, landed: TeaShop, write_shop: Callable[..., Path]) -> World:
    shop = load_shop(
        write_shop(replace={"[evaluation]\nseed = 1": "[evaluation]\nseed = 1\nk = 3"}, append=SETTINGS), "corner"
    )
    shop = shop.model_copy(update={"als": shop.als.model_copy(update={"rank": 2, "regularisation": 0.1})})
    addresses = Addresses(shop="corner", lake=str(Path(landed.lake.root).parent), bucket="refit")
    built = build_training_set.run(AS_OF, shop=shop, spark=spark, lake=landed.lake, addresses=addresses)
    tracker = FakeTracker()
    trained = train_model.run(
        built.training_set,
        shop=shop,
        open_spark=lambda: spark,
        lake=landed.lake,
        addresses=addresses,
        tracker=tracker,
        factoriser=ImplicitLibrary(1),
    )
    named = {key: getattr(trained, key) for key in ("training_set", "run_id", "model_id", "digest")}
    return World(shop, spark, landed, addresses, tracker, named)


def test_what_is_offered_has_learnt_from_every_day_before_as_of_and_from_none_after_it(world: World) -> None:
    """How many people touched each item is counted here from the raw events."""
    receipt = world.refit()
    assert receipt.refitted, receipt.offered
    model = world.model(receipt.model_id)
    bought: dict[str, set[str]] = {}
    for name, item, at in events():
        if at < AS_OF:
            bought.setdefault(item, set()).add(name)
    counted = dict(zip(model.items.to_pylist(), model.people.tolist(), strict=True))
    assert counted == {item: len(people) for item, people in bought.items()}
    assert counted["c0"] == 20
    assert "d0" not in counted
    twin = world.model(world.twin["model_id"])
    assert "c0" not in twin.items.to_pylist()
    assert (model.facts["cutoff"], twin.facts["cutoff"]) == (AS_OF.isoformat(), CUTOFF.isoformat())
    assert model.facts["since"] == twin.facts["since"]
    assert model.facts["settings"] == twin.facts["settings"]
    assert (receipt.twin, model.facts["training_set"]) == (world.twin["digest"], receipt.training_set)
    files = world.tracker.model_files(receipt.model_id)
    assert receipt.digest == digest_of_files(files)
    profile = json.loads(files[PROFILE_FILE])
    assert profile != json.loads(world.tracker.model_files(world.twin["model_id"])[PROFILE_FILE])
    assert f"every day before {AS_OF.date()}, with the same settings; the lists of 60 people share" in receipt.offered
    run = world.tracker.runs[receipt.run_id]
    assert run.params["twin"] == world.twin["digest"]
    assert json.loads(run.files[REFIT_VERDICT_FILE])["decision"] == "offer"
    assert receipt.measures["items"] == 17
    assert run.metrics["overlap"] == receipt.measures["overlap"]


def test_again_it_is_the_same_digest_and_its_training_set_can_be_built_again(world: World) -> None:
    first, second = world.refit(), world.refit()
    assert (first.digest, first.training_set) == (second.digest, second.training_set)
    assert first.training_set != world.twin["training_set"]
    again = rebuild_training_set.run(
        first.training_set, spark=world.spark, lake=world.tea.lake, addresses=world.addresses
    )
    assert (again.restored, again.changed) == (False, [])


@pytest.mark.parametrize(("changes", "proposed"), [({"refit": False}, True), ({}, False)])
def test_without_refitting_or_a_proposal_the_judged_model_is_offered_and_nothing_is_made(
    world: World, changes: dict[str, Any], proposed: bool
) -> None:
    def never() -> SparkSession:
        raise AssertionError("nothing is to be computed")

    runs = len(world.tracker.runs)
    receipt = refit_model.run(
        **world.twin,
        evaluation={"proposed": proposed},
        shop=world.shop.model_copy(update=changes),
        open_spark=never,
        lake=world.tea.lake,
        addresses=world.addresses,
        tracker=world.tracker,
        factoriser=ImplicitLibrary(1),
    )
    assert {key: getattr(receipt, key) for key in world.twin} == world.twin
    assert (receipt.refitted, receipt.offered, receipt.measures) == (False, "", {})
    assert len(world.tracker.runs) == runs


def test_outside_a_limit_the_twin_is_offered_and_the_person_reads_why(world: World) -> None:
    narrow = world.shop.refit_guards.model_copy(update={"max_norm_ratio": 1.01})
    receipt = world.refit(refit_guards=narrow)
    assert not receipt.refitted
    assert {key: getattr(receipt, key) for key in world.twin} == world.twin
    assert receipt.offered.startswith(
        "the judged model itself, trained on data before 2026-01-18: trained again on every day before 2026-02-01, the "
        "root mean square of all factors is 1.0"
    )
    assert receipt.offered.endswith("times that of the twin; at most 1.01 either way is asked for")
    guarded = next(run for run in world.tracker.runs.values() if run.tags.get("step") == "refit_model")
    assert guarded.tags["decision"] == "keep twin"
    assert json.loads(guarded.files[REFIT_VERDICT_FILE])["reasons"] == receipt.reasons

    evaluation = {
        **{"run_id": world.twin["run_id"], "as_of": AS_OF.isoformat(), "proposed": True, "reasons": ["better"]},
        **{"judged": 60, "k": 20, "champion": None, "dossier": "dossier.html"},
        "metrics": {"challenger": dict.fromkeys(("recall", "capped_recall", "ndcg", "hit_rate"), 0.5)},
    }
    registry = FakeRegistry()
    asked = register_model.run(
        **world.twin,
        evaluation=evaluation,
        refitted=asdict(receipt),
        code="commit 1",
        now=AS_OF,
        registry=registry,
        tracker=world.tracker,
    )
    assert "Offered is the judged model itself, trained on data before 2026" in asked.summary
    assert registry.challenger(asked.version).digest == world.twin["digest"]
    assert registry.challenger(asked.version).cutoff == CUTOFF.isoformat()


def test_a_set_that_no_longer_fits_leaves_the_twin(world: World) -> None:
    """Seventeen items do not support two hundred factors; nor would sixteen, but the twin is there already."""
    twin = world.model(world.twin["model_id"])
    settings = {**twin.facts["settings"], "als": {**twin.facts["settings"]["als"], "rank": 200}}
    files = replace(twin, facts={**twin.facts, "settings": settings}).to_files()
    run_id = world.tracker.log_run("train", params={}, metrics={}, tags={}, files={})
    model_id = world.tracker.log_model(run_id, files, params={})
    named = {**world.twin, "run_id": run_id, "model_id": model_id, "digest": digest_of_files(files)}
    receipt = replace(world, twin=named).refit()
    assert (receipt.refitted, receipt.digest) == (False, named["digest"])
    assert "it does not fit (" in receipt.offered


def test_a_model_without_its_settings_is_not_trained_again_with_others(world: World) -> None:
    twin = world.model(world.twin["model_id"])
    facts = {name: value for name, value in twin.facts.items() if name != "settings"}
    files = replace(twin, facts=facts).to_files()
    run_id = world.tracker.log_run("train", params={}, metrics={}, tags={}, files={})
    model_id = world.tracker.log_model(run_id, files, params={})
    receipt = replace(
        world, twin={**world.twin, "run_id": run_id, "model_id": model_id, "digest": digest_of_files(files)}
    ).refit()
    assert (receipt.refitted, receipt.model_id) == (False, model_id)
    assert receipt.offered.endswith("its settings are not stored with it")


def test_a_twin_of_other_bytes_is_not_refitted(world: World) -> None:
    with pytest.raises(ModelDamagedError):
        replace(world, twin={**world.twin, "digest": "0" * 64}).refit()
