"""A shop whose customers give stars: landed, trained by MLlib, folded in, and judged by the ratings that followed."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import numpy as np
import pytest
from pyspark.sql import SparkSession
from support.corner import Corner, day
from support.tea_shop import TeaShop

from pipelines import build_training_set, evaluate_model, rebuild_training_set, refit_model, train_model
from pipelines.addresses import VERDICT_FILE, Addresses
from refit.adapters.implicit import ImplicitLibrary
from refit.config import Shop
from refit.governance.audit_log import AuditLog
from refit.lake.lake import Lake
from refit.model.item_factors import ItemFactors
from refit.testing import FakeObjectStore, FakeRegistry, FakeTracker
from refit.training.training_set import Recipe, load_manifest
from refit.tuning.folds import Folds, SpreadFold

PEOPLE, ITEMS = 24, 12
STARS = """
[training]
holdout_days = 1
min_interactions = 1
min_people = 2
min_items = 2

[confidence]
value = "linear"
combine = "latest"

[lists]
rebuy = true

[tuning]
folds = 1
seed = 1
"""
EXPLICIT = {
    "seed = 1\n\n[evaluation]\nseed = 1": (
        'seed = 1\npreferences = "explicit"\nrank = 2\niterations = 8\nregularisation = 0.01\n\n'
        "[evaluation]\nseed = 1\nk = 3\nks = [1]"
    )
}
PLACES = Addresses("corner", "lake", "refit")


def stars(person: int, item: int) -> int:
    """Return what somebody gives an item: five stars of their taste, one of the other, an item in six a star less."""
    return (5 if person % 2 == item % 2 else 2) - (item % 6 == 0)


ORDERS = {person: np.random.default_rng(person).permutation(ITEMS).tolist() for person in range(PEOPLE)}
"""The items of each person in the order in which they are rated."""


def rated(number: int, first: int, last: int) -> list[tuple[str, str, datetime, float | None]]:
    """Return what everybody gave the items from *first* to before *last* of their order on a day of January."""
    return [
        (
            f"u{person:02d}",
            f"i{item:02d}",
            day(number) + timedelta(hours=10, minutes=person),
            float(stars(person, item)),
        )
        for person, order in ORDERS.items()
        for item in order[first:last]
    ]


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """
    Give two days of ratings and a third that is the holdout, on which everybody rates two more items.

    Somebody changes their mind on the third day, and touches an item without giving it a star.
    """
    tea = TeaShop.empty(spark, tmp_path_factory.mktemp("stars") / "lake" / "corner")
    tea.rate([*rated(5, 0, 5), *rated(6, 5, 9)])
    later = day(7) + timedelta(hours=12)
    second, bare = (f"i{ORDERS[0][place]:02d}" for place in (9, 11))
    tea.rate([*rated(7, 9, 11), ("u00", second, later, 3.0), ("u00", bare, later, None)])
    tea.stock({f"i{n:02d}": (None, 1.0, True) for n in range(ITEMS)}, day(6))
    return tea.lake


@pytest.fixture
def shop(corner: Corner) -> Shop:
    """Give the shop of explicit preferences."""
    return corner.shop(STARS, replace=EXPLICIT)


def test_ratings_are_learnt_predicted_and_compared(spark: SparkSession, lake: Lake, shop: Shop) -> None:
    built = build_training_set.run(day(8), shop=shop, spark=spark, lake=lake, addresses=PLACES)
    place = PLACES.training_set(built.training_set)
    holdout = {row[0]: row for row in spark.read.parquet(lake.path(f"{place}/holdout")).collect()}
    mine = holdout["u01"]
    assert mine["relevant"] == [f"i{item:02d}" for item in sorted(ORDERS[1][9:11])]
    assert mine["ratings"] == [stars(1, item) for item in sorted(ORDERS[1][9:11])]
    changed = holdout["u00"]
    given = dict(zip(changed["relevant"], changed["ratings"], strict=True))
    assert given[f"i{ORDERS[0][9]:02d}"] == 3
    assert given[f"i{ORDERS[0][10]:02d}"] == stars(0, ORDERS[0][10])
    assert np.isnan(given[f"i{ORDERS[0][11]:02d}"])

    tracker = FakeTracker()
    made = train_model.run(
        built.training_set,
        shop=shop,
        open_spark=lambda: spark,
        lake=lake,
        addresses=PLACES,
        tracker=tracker,
        factoriser=ImplicitLibrary(1),
    )
    assert (made.engine, made.why) == ("mllib", "only MLlib has explicit preferences")
    assert not ItemFactors.from_files(tracker.model_files(made.model_id)).implicit
    registry = FakeRegistry()
    judged = evaluate_model.run(
        built.training_set,
        made.run_id,
        made.model_id,
        made.digest,
        shop=shop,
        spark=spark,
        lake=lake,
        addresses=PLACES,
        tracker=tracker,
        registry=registry,
        log=AuditLog(FakeObjectStore()),
        factoriser=ImplicitLibrary(1),
    )
    run = tracker.runs[made.run_id]
    measured = json.loads(run.files[VERDICT_FILE])["measured"]["ratings"]
    # Two items of each of 24 people; the one without stars is no rating.
    assert (measured["ratings"], measured["people"]) == (2 * PEOPLE, PEOPLE)
    assert set(measured["errors"]) == {"challenger", "item_mean"}
    ours, theirs = measured["errors"]["challenger"], measured["errors"]["item_mean"]
    # The mean of an item lies between its two stars, so it is wrong by about half of three; the tastes are learnt.
    assert theirs["mae"]["mean"] == pytest.approx(1.5, abs=0.3)
    assert ours["mae"]["mean"] < 0.5
    assert ours["rmse"]["low"] < ours["rmse"]["mean"] < ours["rmse"]["high"]
    assert measured["against"]["item_mean"]["rmse"]["high"] < 0
    assert run.metrics["challenger.rmse"] == ours["rmse"]["mean"]
    assert run.metrics["item_mean.mae"] == theirs["mae"]["mean"]
    page = run.files[judged.dossier].decode()
    assert f"{2 * PEOPLE} ratings by {PEOPLE} people" in page

    offered = refit_model.run(
        *(made.training_set, made.run_id, made.model_id, made.digest),
        {"proposed": True},
        shop=shop,
        open_spark=lambda: spark,
        lake=lake,
        addresses=PLACES,
        tracker=tracker,
        factoriser=ImplicitLibrary(1),
    )
    assert offered.refitted, offered.offered
    refitted = ItemFactors.from_files(tracker.model_files(offered.model_id))
    assert (refitted.implicit, refitted.facts["engine"]["name"]) == (False, "mllib")
    assert refitted.people.sum() > ItemFactors.from_files(tracker.model_files(made.model_id)).people.sum()

    again = rebuild_training_set.run(built.training_set, spark=spark, lake=lake, addresses=PLACES)
    assert not again.restored
    recipe = Recipe.from_manifest(load_manifest(lake, place))
    assert (recipe.rated, recipe.digest) == (True, built.training_set)


def test_ratings_are_tuned_by_the_engine_that_knows_them(spark: SparkSession, lake: Lake, shop: Shop) -> None:
    """They would fit the memory, but the library for it learns preferences and no ratings."""
    folds = Folds(shop, day(8), ImplicitLibrary(1), lake.path("checkpoints"))
    events = lake.read(spark, "interactions", lake.days("interactions", day(5), day(8)))
    assert [type(fold) for fold in folds.make(events)] == [SpreadFold]


def test_a_shop_without_ratings_names_its_sets_as_before(
    spark: SparkSession, lake: Lake, corner: Corner, shop: Shop
) -> None:
    implicit = corner.shop(STARS)
    built = build_training_set.run(day(8), shop=implicit, spark=spark, lake=lake, addresses=PLACES)
    place = PLACES.training_set(built.training_set)
    assert "rated" not in load_manifest(lake, place)["ingredients"]
    assert spark.read.parquet(lake.path(f"{place}/holdout")).columns == ["user_id", "relevant"]
    asked = build_training_set.run(day(8), shop=shop, spark=spark, lake=lake, addresses=PLACES)
    assert asked.training_set != built.training_set
