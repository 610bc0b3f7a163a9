"""The shelf of a day: the model's items, then new ones, with an account of what is kept off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from refit.candidates.build import BuiltCandidates, build_candidates
from refit.candidates.candidate_set import EVERYBODY
from refit.candidates.eligibility import ALLOWED, RULES, EligibleCatalogue
from refit.candidates.popularity import RecentInteractions
from refit.config import Lists
from refit.errors import ListsRefusedError
from refit.model.item_factors import ItemFactors


@pytest.fixture
def model() -> ItemFactors:
    return ItemFactors(
        items=pa.array(["b", "d", "f", "h"]),
        factors=np.ones((4, 2), dtype=np.float32),
        people=np.array([4, 3, 2, 1]),
        alpha=1.0,
        regularisation=0.1,
        facts={},
    )


def assortment(rules: dict[str, str | None], warnings: tuple[str, ...] = ()) -> EligibleCatalogue:
    """Return a catalogue of items -> rule that keeps them off; the n-th is boosted by n + 1, every other is even."""
    items = sorted(rules)
    return EligibleCatalogue(
        items=pa.array(items),
        categories=pa.array(["even" if n % 2 == 0 else None for n in range(len(items))], pa.string()),
        kept_off=np.array([RULES.index(rule) if (rule := rules[item]) else ALLOWED for item in items], dtype=np.int8),
        boosts=np.arange(1, len(items) + 1, dtype=np.float32),
        warnings=warnings,
    )


def touches(people: dict[str, int], **segments: int) -> RecentInteractions:
    """Return recent people of each item, all of no segment, of ten."""
    numbers = np.array(list(people.values()), dtype=np.int64)
    items = pa.array(list(people), pa.string())
    return RecentInteractions(pa.array([EVERYBODY] * len(people)), items, numbers, numbers, {EVERYBODY: 10, **segments})


def test_the_items_of_the_model_come_first_then_the_new_ones(model: ItemFactors) -> None:
    """a and g are new; c has too few people, e is not allowed, and h has left the catalogue."""
    catalogue = assortment({"a": None, "b": None, "c": None, "d": "deny", "e": "where", "f": None, "g": None})
    stocked = build_candidates(
        model,
        catalogue,
        touches({"a": 5, "c": 4, "e": 9, "g": 6, "b": 1}),
        Lists(new_items=2, min_new_people=5, cap_per_category=7),
    )
    candidate_set = stocked.candidate_set
    assert candidate_set.items.to_pylist() == ["b", "d", "f", "h", "a", "g"]
    assert candidate_set.allowed.tolist() == [True, False, True, False, True, True]
    assert candidate_set.boosts.tolist() == [2.0, 4.0, 6.0, 1.0, 1.0, 7.0]
    assert candidate_set.groups.tolist() == [-1, -1, -1, -1, 0, 0]
    assert (candidate_set.cap, candidate_set.new_per_list) == (7, 2)
    assert candidate_set.popular[EVERYBODY].positions.tolist() == [5, 4, 0]
    assert np.round(candidate_set.popular[EVERYBODY].scores.astype(float), 6).tolist() == [0.6, 0.5, 0.1]
    assert stocked.as_record() == {
        "items": 4,
        "allowed": 2,
        "kept_off": {**dict.fromkeys(RULES, 0), "withdrawn": 1, "deny": 1},
        "new": 2,
        "recent_people": 10,
        "segments": 0,
    }


def test_a_shop_that_asks_for_no_new_items_gets_none(model: ItemFactors) -> None:
    catalogue = assortment({"a": None, "b": None, "d": None, "f": None, "h": None})
    stocked = build_candidates(model, catalogue, touches({"a": 10}), Lists(min_new_people=1))
    assert (stocked.candidate_set.items.to_pylist(), stocked.new) == (["b", "d", "f", "h"], 0)
    assert stocked.candidate_set.popular == {}


NOTHING_LEFT: dict[str, tuple[dict[str, str | None], str]] = {
    "a condition": (
        dict.fromkeys("bdfh", "where"),
        "of the model's 4 items lists.where keeps off 4",
    ),
    "several rules": (
        {"b": "unavailable", "d": "unlisted", "f": "min_price", "a": None},
        "of the model's 4 items 1 are not in the catalogue, 1 are not available, 1 are not listed yet, "
        "lists.min_price keeps off 1",
    ),
    "an allow list of unknown ids": (
        {**dict.fromkeys("bdf", "allow"), "h": "deny"},
        "of the model's 4 items lists.deny keeps off 1, lists.allow keeps off 3",
    ),
    "a catalogue of other items": ({"x": None}, "of the model's 4 items 4 are not in the catalogue"),
}


@pytest.mark.parametrize("name", NOTHING_LEFT)
def test_rules_that_leave_nothing_are_refused_with_their_counts(
    model: ItemFactors, name: str, tell: Callable[[str, str], None]
) -> None:
    rules, sentence = NOTHING_LEFT[name]
    with pytest.raises(ListsRefusedError) as refusal:
        build_candidates(model, assortment(rules), touches({}), Lists())
    assert str(refusal.value) == (
        f"there is nothing to recommend: {sentence}; nothing was written and the last good batch stays live; "
        "correct [lists] of shop.toml or the catalogue"
    )
    tell(f"nothing to recommend because of {name}", str(refusal.value))


def test_one_item_that_may_be_shown_is_enough(model: ItemFactors) -> None:
    stocked = build_candidates(
        model, assortment({"b": "deny", "d": "deny", "f": "deny", "h": None}), touches({}), Lists(k=50)
    )
    assert np.flatnonzero(stocked.candidate_set.allowed).tolist() == [3]


def _segments(settings: dict[str, Any], model: ItemFactors, **people: int) -> BuiltCandidates:
    catalogue = assortment(dict.fromkeys("bdfh"), warnings=("first",))
    return build_candidates(model, catalogue, touches({"b": 1}, **people), Lists.model_validate(settings))


def test_a_segment_column_without_a_segment_that_is_large_enough_is_told(model: ItemFactors) -> None:
    lonely = _segments({"segment": "country", "min_segment_people": 8}, model)
    assert lonely.warnings == (
        "first",
        "lists.segment = 'country' changes nothing: no value of it has lists.min_segment_people = 8 people who wanted "
        "anything in the last 28 days, of 10 in all",
    )
    assert _segments({}, model).warnings == ("first",)
    large = _segments({"segment": "country", "min_segment_people": 8}, model, FR=9)
    assert large.warnings == ("first",)
    assert large.as_record()["segments"] == 1
