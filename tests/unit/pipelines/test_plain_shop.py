"""What is made of a shop's raw events, judged from outside: pairs and people are computed again in plain Python."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from support.plain_shop import (
    AGREED,
    DAY,
    END,
    EVENTS,
    HOLDOUT,
    LATER,
    NOON,
    RECENT,
    SETTINGS,
    START,
    WINDOW,
    WITHDRAWN,
    Pairs,
    known,
    pairs_of,
    raw_events,
    wanted_of,
)
from support.tea_shop import TeaShop

from pipelines import build_training_set
from pipelines.addresses import Addresses
from refit.adapters.implicit import ImplicitLibrary
from refit.adapters.optuna import OptunaProposer
from refit.backtest.lake_history import LakeHistory
from refit.backtest.replay import BacktestStep
from refit.candidates.as_of import recent_interactions_as_of
from refit.config import Shop, load_shop
from refit.drift.collection import current_days, day_number, sample
from refit.drift.profiles import Profile
from refit.lake.as_of import days_before, everybody_as_of
from refit.training.training_set import Recipe, Written, load_manifest
from refit.tuning import Folds
from refit.tuning.folds import LocalFold, SpreadFold

ShopWriter = Callable[..., Path]
RAW = raw_events(11)
CUTOFF = END - HOLDOUT
STAYED = set(AGREED) - WITHDRAWN
PLACES = Addresses("corner", "lake", "refit")
NOTHING = Written(counts={}, asked={}, content={})


@pytest.fixture(scope="module")
def told(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> TeaShop:
    """Give the shop in which everybody agrees, four people withdraw during the holdout, and one more after the end."""
    shop = TeaShop.empty(spark, tmp_path_factory.mktemp("plain"))
    shop.tell(RAW)
    shop.stock({f"i{number}": ("tea", 4.0, True) for number in range(9)}, END)
    shop.agree([(person, True) for person in AGREED], START)
    answers: list[tuple[str, bool | None]] = [(person, True) for person in sorted(STAYED)]
    shop.agree([*answers, ("p05", False), ("p06", None), ("p07", True), ("p07", False), ("new", True)], LATER)
    shop.agree([answer for answer in answers if answer[0] != "p08"], END + DAY)
    return shop


@pytest.fixture
def shop(write_shop: ShopWriter) -> Callable[..., Shop]:
    def make(als: str = "rank = 2") -> Shop:
        replace = {**EVENTS, "[als]\n": f"[als]\n{als}\n"}
        return load_shop(write_shop(replace=replace, append=SETTINGS), "corner")

    return make


@pytest.fixture
def built(spark: SparkSession, told: TeaShop, shop: Callable[..., Shop]) -> dict[str, Any]:
    """Give the manifest of the set whose holdout ends with the shop; it is built once."""
    receipt = build_training_set.run(END, shop=shop(), spark=spark, lake=told.lake, addresses=PLACES)
    return load_manifest(told.lake, PLACES.training_set(receipt.training_set))


def expected(cutoff: datetime, until: datetime, people: set[str]) -> tuple[Pairs, dict[str, list[str]]]:
    """Return pairs at *cutoff* and what people came to want before *until*, for a window that ends at *until*."""
    pairs = pairs_of(known(RAW, cutoff, people), since=until - WINDOW, as_of=cutoff)
    return pairs, wanted_of(known(RAW, until, people), pairs, cutoff=cutoff)


def same(found: dict[tuple[str, str], Any], pairs: dict[tuple[str, str], Any]) -> None:
    """Assert that both hold the same keys, which says more where it fails, and values that differ by rounding only."""
    assert sorted(found) == sorted(pairs)
    assert np.array([found[pair] for pair in pairs]) == pytest.approx(np.array([pairs[pair] for pair in pairs]))


def test_the_raw_events_are_of_every_kind() -> None:
    """A world in which nothing is returned, missing, withdrawn or only looked at would prove nothing."""
    kinds = Counter(event.kind for event in RAW)
    assert min(kinds[kind] for kind in ("view", "cart", "purchase", "return")) > 150
    assert all(Counter(event.kind for event in RAW if event.value is None)[kind] > 10 for kind in kinds)
    kept = known(RAW, END)
    assert len({event.person for event in kept if event.kind == "view"}) == 30
    assert 0.5 < sum(event.kind == "purchase" for event in kept) / kinds["purchase"] < 0.9
    assert {event.person for event in kept if event.time < CUTOFF} >= WITHDRAWN | {"p08"}
    assert WITHDRAWN & set(expected(CUTOFF, END, set(AGREED))[1])


def test_a_training_set_holds_every_event_type_of_people_who_consent_and_no_order_that_was_taken_back(
    spark: SparkSession, told: TeaShop, built: dict[str, Any]
) -> None:
    """Who withdrew during the holdout neither teaches what happened before it nor judges what happened in it."""
    pairs, wanted = expected(CUTOFF, END, STAYED)
    place = told.lake.path(PLACES.training_set(built["digest"]))
    rows = spark.read.parquet(f"{place}/pairs").collect()
    same({(row["user_id"], row["item_id"]): (row["confidence"], row["bought"]) for row in rows}, pairs)
    judges = spark.read.parquet(f"{place}/holdout").collect()
    assert {row["user_id"]: row["relevant"] for row in judges} == wanted
    assert (built["counts"]["people"], built["counts"]["judges"]) == (len(STAYED), len(wanted))


def test_the_history_of_a_set_ends_at_its_cutoff(spark: SparkSession, told: TeaShop, built: dict[str, Any]) -> None:
    """Baselines, cohorts and other half-lives are made from it; a return after the cutoff is not known there."""
    found = Recipe.from_manifest(built).history(spark, told.lake).collect()
    assert Counter(
        (row["user_id"], row["item_id"], row["event_type"], row["event_time"].astimezone(UTC), row["value"])
        for row in found
    ) == Counter(tuple(event) for event in known(RAW, CUTOFF, STAYED))


def test_a_set_whose_people_changed_their_minds_is_another_set(told: TeaShop, shop: Callable[..., Shop]) -> None:
    """The manifest says which snapshot was obeyed; a shop without a users table has none, and says nothing."""
    days = days_before(told.lake, END)
    recipes = [Recipe.of(shop(), END, days, told.lake.snapshot("users", at)) for at in (LATER - DAY, END, END + DAY)]
    nobody = Recipe.of(shop(), END, days, None)
    assert len({each.digest for each in (*recipes, nobody)}) == 4
    assert [Recipe.from_manifest(each.manifest(NOTHING)) for each in (*recipes, nobody)] == [*recipes, nobody]
    assert "users" not in nobody.manifest(NOTHING)


@pytest.mark.parametrize("engine", ["implicit", "mllib"])
def test_folds_of_tuning_learn_and_judge_as_training_does(
    spark: SparkSession,
    told: TeaShop,
    shop: Callable[..., Shop],
    built: dict[str, Any],
    tmp_path: Path,
    engine: str,
) -> None:
    """Both kinds of fold; each as of its own cut-off, before which later returns are not known."""
    corner = shop(f'engine = "{engine}"')
    recipe = Recipe.from_manifest(built)
    made = Folds(corner, CUTOFF, ImplicitLibrary(), str(tmp_path)).make(recipe.events_before(spark, told.lake, CUTOFF))
    assert [fold.cutoff for fold in made] == [CUTOFF - HOLDOUT, CUTOFF - 2 * HOLDOUT]
    for fold in made:
        pairs, wanted = expected(fold.cutoff, fold.cutoff + HOLDOUT, STAYED)
        assert isinstance(fold, LocalFold | SpreadFold)
        assert (fold.span.since, fold.span.cutoff) == (fold.cutoff + HOLDOUT - WINDOW, fold.cutoff)
        taught = {pair: confidence for pair, (confidence, _) in pairs.items() if confidence > 0}
        if engine == "implicit":
            assert isinstance(fold, LocalFold)
            span, book = fold.span, fold.journal
            values = book.confidences(
                since=span.since, as_of=span.cutoff, weights=corner.events.weights, confidence=corner.confidence
            )
            matrix = book.matrix(values).tocoo()
            people, items = book.people.take(pa.array(matrix.row)), book.items.take(pa.array(matrix.col))
            names = zip(people.to_pylist(), items.to_pylist(), strict=True)
            same(dict(zip(names, matrix.data.tolist(), strict=True)), taught)
            assert book.people.take(pa.array(fold.rows)).to_pylist() == sorted(wanted)
            assert fold.judges.wanted.tolist() == [len(wanted[person]) for person in sorted(wanted)]
        else:
            assert isinstance(fold, SpreadFold)
            assert {(row["user_id"], row["item_id"]) for row in fold.events.collect()} == set(pairs)
            asked = zip(*(fold.asked[name].to_pylist() for name in ("user_id", "relevant")), strict=True)
            assert dict(asked) == wanted


def test_lists_know_the_whole_history_of_everybody_who_consents(
    spark: SparkSession, told: TeaShop, shop: Callable[..., Shop]
) -> None:
    """
    As of an older instant the answers of that time count: the same people, and nobody who came later.

    What neither teaches nor was bought is left out.
    """
    for as_of, people in ((NOON, STAYED), (LATER - DAY / 2, set(AGREED))):
        rows = everybody_as_of(spark, told.lake, shop(), as_of).collect()
        found = {
            (row["user_id"], item): (confidence, bought)
            for row in rows
            for item, confidence, bought in zip(row["items"], row["confidences"], row["bought"], strict=True)
        }
        pairs = pairs_of(known(RAW, as_of, people), since=as_of - WINDOW, as_of=as_of)
        same(found, {pair: told for pair, told in pairs.items() if told[0] > 0 or told[1]})
        assert {row["user_id"] for row in rows} == (people | {"new"} if as_of == NOON else people)


def test_what_is_popular_counts_who_looked_and_not_who_sent_it_back_or_withdrew(
    spark: SparkSession, told: TeaShop, shop: Callable[..., Shop]
) -> None:
    touches = recent_interactions_as_of(spark, told.lake, shop(), NOON)
    recent = [event for event in known(RAW, NOON, STAYED) if event.time >= NOON - RECENT]
    touched = Counter(item for _, item in {(event.person, event.item) for event in recent})
    bought = {(event.person, event.item) for event in recent if event.kind == "purchase"}
    wanted = Counter(item for _, item in bought)
    assert dict(zip(touches.items.to_pylist(), touches.touched.tolist(), strict=True)) == touched
    assert dict(zip(touches.items.to_pylist(), touches.wanted.tolist(), strict=True)) == {
        item: wanted[item] for item in touched
    }
    assert list(touches.people.values()) == [len({person for person, _ in bought})]


def test_drift_is_measured_over_people_who_consent(
    spark: SparkSession, told: TeaShop, shop: Callable[..., Shop], built: dict[str, Any]
) -> None:
    """Events of every type, returns among them: in the profile of the set, in the days after it, and in samples."""
    folder = Path(told.lake.path(PLACES.training_set(built["digest"])))
    (stored,) = folder.glob("profile-*.json")
    profile = Profile.from_json(json.loads(stored.read_bytes()))

    def told_between(since: datetime, until: datetime) -> int:
        return sum(since <= event.time < until and event.person in STAYED for event in RAW)

    kinds = profile.counts["event_type"].values()
    assert sum(count for bins in kinds for count in bins.values()) == told_between(CUTOFF - 7 * DAY, CUTOFF)
    days, items = days_before(told.lake, END), spark.createDataFrame([("i0",)], "item_id string")
    daily = current_days(
        spark, told.lake, shop(), profile, days=days, since=CUTOFF.date(), as_of=END, people=None, items=items
    )
    assert {day: sum(found["event_type"].values()) for day, found in daily.items()} == {
        day_number((CUTOFF + n * DAY).date()): told_between(CUTOFF + n * DAY, CUTOFF + (n + 1) * DAY) for n in range(4)
    }
    users = told.lake.snapshot("users", END)
    rows = sample(spark, told.lake, shop(), days, CUTOFF.date(), END, 10_000, users=users)
    assert len(rows) == told_between(CUTOFF, END)


def test_a_replay_trains_on_what_training_would_have_had(
    spark: SparkSession, told: TeaShop, shop: Callable[..., Shop], tmp_path: Path
) -> None:
    """A model knows each item with the number of people who taught it; consent is that of its own moment."""
    corner, moments = shop(), [BacktestStep(CUTOFF, CUTOFF - HOLDOUT), BacktestStep(END, CUTOFF)]
    past = LakeHistory(spark, told.lake, corner, moments, "replays/plain", ImplicitLibrary(), OptunaProposer())
    for step, (moment, people) in enumerate(zip(moments, (set(AGREED), STAYED), strict=True)):
        pairs, _ = expected(moment.cutoff, moment.as_of, people)
        teachers = Counter(item for (_, item), (confidence, _) in pairs.items() if confidence > 0)
        model = past.model(step)
        assert dict(zip(model.items.to_pylist(), np.asarray(model.people).tolist(), strict=True)) == teachers
