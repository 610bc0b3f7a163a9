"""What is made of a shop's raw events, judged from outside: pairs and people are computed again in plain Python."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plain_shop import (
    END,
    EVENTS,
    HOLDOUT,
    RECENT,
    SETTINGS,
    START,
    WINDOW,
    Pairs,
    known,
    pairs_of,
    raw_events,
    wanted_of,
)
from pyspark.sql import SparkSession
from tea_shop import TeaShop

from refit.adapters.implicit import ImplicitLibrary
from refit.as_of import days_before, everybody_as_of, touches_as_of
from refit.config import Shop, load_shop
from refit.past import Past
from refit.replays import Moment
from refit.training_sets import Recipe
from refit.tuning import Folds
from refit.tuning.folds import LocalFold, SpreadFold

ShopWriter = Callable[..., Path]
RAW = raw_events(11)
CUTOFF = END - HOLDOUT


@pytest.fixture(scope="module")
def told(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> TeaShop:
    shop = TeaShop.empty(spark, tmp_path_factory.mktemp("plain"))
    shop.tell(RAW)
    return shop


@pytest.fixture
def shop(write_shop: ShopWriter) -> Callable[..., Shop]:
    def make(als: str = "rank = 2") -> Shop:
        replace = {**EVENTS, "[als]\n": f"[als]\n{als}\n"}
        return load_shop(write_shop(replace=replace, append=SETTINGS), "corner")

    return make


def expected(cutoff: datetime, until: datetime, people: set[str] | None = None) -> tuple[Pairs, dict[str, list[str]]]:
    """Return pairs at *cutoff* and what people came to want before *until*, for a window that ends at *until*."""
    pairs = pairs_of(known(RAW, cutoff, people), since=until - WINDOW, as_of=cutoff)
    return pairs, wanted_of(known(RAW, until, people), pairs, cutoff=cutoff)


def same(found: dict[tuple[str, str], Any], pairs: dict[tuple[str, str], Any]) -> None:
    """Assert that both hold the same keys, which says more where it fails, and values that differ by rounding only."""
    assert sorted(found) == sorted(pairs)
    assert np.array([found[pair] for pair in pairs]) == pytest.approx(np.array([pairs[pair] for pair in pairs]))


def test_the_raw_events_are_of_every_kind() -> None:
    """A world in which nothing is returned, missing or only looked at would prove nothing."""
    kinds = Counter(event.kind for event in RAW)
    assert min(kinds[kind] for kind in ("view", "cart", "purchase", "return")) > 150
    assert all(Counter(event.kind for event in RAW if event.value is None)[kind] > 10 for kind in kinds)
    kept = known(RAW, END)
    assert len({event.person for event in kept if event.kind == "view"}) == 30
    assert 0.5 < sum(event.kind == "purchase" for event in kept) / kinds["purchase"] < 0.9


def test_a_training_set_holds_every_event_type_and_no_order_that_was_taken_back(
    spark: SparkSession, told: TeaShop, shop: Callable[..., Shop]
) -> None:
    corner = shop()
    recipe = Recipe(
        shop="corner",
        since=END - WINDOW,
        cutoff=CUTOFF,
        as_of=END,
        events=corner.serving_events,
        confidence=corner.confidence,
        days=days_before(told.lake, END),
    )
    counts, _ = recipe.write(spark, told.lake, "sets/plain")
    pairs, wanted = expected(CUTOFF, END)
    rows = spark.read.parquet(told.lake.path("sets/plain/pairs")).collect()
    same({(row["user_id"], row["item_id"]): (row["confidence"], row["bought"]) for row in rows}, pairs)
    judges = spark.read.parquet(told.lake.path("sets/plain/holdout")).collect()
    assert {row["user_id"]: row["relevant"] for row in judges} == wanted
    assert (counts["people"], counts["judges"]) == (30, len(wanted))


@pytest.mark.parametrize("engine", ["implicit", "mllib"])
def test_folds_of_tuning_learn_and_judge_as_training_does(
    spark: SparkSession, told: TeaShop, shop: Callable[..., Shop], tmp_path: Path, engine: str
) -> None:
    """Both kinds of fold; each as of its own cut-off, before which later returns are not known."""
    corner = shop(f'engine = "{engine}"')
    folds = Folds(corner, CUTOFF, ImplicitLibrary(), str(tmp_path))
    made = folds.make(told.lake.read(spark, "interactions", days_before(told.lake, END)))
    assert [fold.cutoff for fold in made] == [CUTOFF - HOLDOUT, CUTOFF - 2 * HOLDOUT]
    for fold in made:
        pairs, wanted = expected(fold.cutoff, fold.cutoff + HOLDOUT)
        taught = {pair: confidence for pair, (confidence, _) in pairs.items() if confidence > 0}
        if engine == "implicit":
            assert isinstance(fold, LocalFold)
            span, book = fold.span, fold.journal
            values = book.confidences(
                since=span.since, as_of=span.cutoff, weights=corner.events.weights, confidence=corner.confidence
            )
            matrix = book.matrix(values).tocoo()
            names = zip(book.people.take(matrix.row).to_pylist(), book.items.take(matrix.col).to_pylist(), strict=True)
            same(dict(zip(names, matrix.data.tolist(), strict=True)), taught)
            assert book.people.take(fold.rows).to_pylist() == sorted(wanted)
            assert fold.judges.wanted.tolist() == [len(wanted[person]) for person in sorted(wanted)]
        else:
            assert isinstance(fold, SpreadFold)
            found = {(row["user_id"], row["item_id"]) for row in fold.events.collect()}
            assert found == set(pairs)
            assert dict(zip(*(fold.asked[name].to_pylist() for name in ("user_id", "relevant")), strict=True)) == wanted


def test_lists_know_the_whole_history_of_everybody(
    spark: SparkSession, told: TeaShop, shop: Callable[..., Shop]
) -> None:
    rows = everybody_as_of(spark, told.lake, shop(), END).collect()
    found = {
        (row["user_id"], item): (confidence, bought)
        for row in rows
        for item, confidence, bought in zip(row["items"], row["confidences"], row["bought"], strict=True)
    }
    same(found, pairs_of(known(RAW, END), since=END - WINDOW, as_of=END))


def test_what_is_popular_counts_who_looked_and_not_who_sent_it_back(
    spark: SparkSession, told: TeaShop, shop: Callable[..., Shop]
) -> None:
    touches = touches_as_of(spark, told.lake, shop(), END)
    recent = [event for event in known(RAW, END) if event.time >= END - RECENT]
    touched = Counter(item for _, item in {(event.person, event.item) for event in recent})
    bought = {(event.person, event.item) for event in recent if event.kind == "purchase"}
    wanted = Counter(item for _, item in bought)
    assert dict(zip(touches.items.to_pylist(), touches.touched.tolist(), strict=True)) == touched
    assert dict(zip(touches.items.to_pylist(), touches.wanted.tolist(), strict=True)) == {
        item: wanted[item] for item in touched
    }
    assert list(touches.people.values()) == [len({person for person, _ in bought})]


def test_a_replay_trains_on_what_training_would_have_had(
    spark: SparkSession, told: TeaShop, shop: Callable[..., Shop], tmp_path: Path
) -> None:
    """A model knows each item with the number of people who taught it."""
    corner, moments = shop(), [Moment(CUTOFF, CUTOFF - HOLDOUT), Moment(END, CUTOFF)]
    past = Past(spark, told.lake, corner, moments, str(tmp_path), ImplicitLibrary())
    for step, moment in enumerate(moments):
        pairs, _ = expected(moment.cutoff, moment.as_of)
        people = Counter(item for (_, item), (confidence, _) in pairs.items() if confidence > 0)
        model = past.model(step)
        assert dict(zip(model.items.to_pylist(), np.asarray(model.people).tolist(), strict=True)) == people
        assert moment.cutoff > START
