"""The guards of a refitted model: each number against a calculation by hand, at its limit and just beyond it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refit.config import RefitGuards
from refit.evaluation.cohorts import Described
from refit.evaluation.holdout_lists import CHALLENGER, Judged
from refit.evaluation.refit_guards import KEEP_TWIN, OFFER, REFITTED, judge_refit, overlap
from refit.model.item_factors import ItemFactors
from refit.model.item_links import ItemItemWeights

ITEMS = [f"i{n}" for n in range(10)]
COUNTS = {"pairs": 1_000, "people": 100, "items": 10}


def model(scale: float = 1.0, *, links: float | None = None, **counts: int) -> ItemFactors:
    """Return a model of ten items with factors of one size and, if asked, one link of the size *links*."""
    linked = None
    if links is not None:
        starts = np.array([0, 1, *[1] * 9], np.int64)
        linked = ItemItemWeights(starts, np.array([1], np.int32), np.array([links], np.float32))
    return ItemFactors(
        items=pa.array(ITEMS),
        factors=np.full((10, 2), scale, np.float32),
        people=np.full(10, 19),
        alpha=1.0,
        regularisation=0.1,
        facts={**COUNTS, **counts},
        links=linked,
    )


def judged(twin: list[list[int]], refitted: list[list[int]], *, relevant: int = 0, k: int = 2) -> Judged:
    """Return lists of positions; the item *relevant* is what everybody wanted."""
    lists = {CHALLENGER: np.array(twin, np.int32), REFITTED: np.array(refitted, np.int32)}
    return Judged(
        k=k,
        lengths=(k,),
        users=pa.array([f"u{n}" for n in range(len(twin))]),
        items=pa.array(ITEMS),
        relevant=np.ones(len(twin), np.int64),
        lists=lists,
        hits={name: each == relevant for name, each in lists.items()},
        described=Described(np.zeros(len(twin), int)),
        past=np.zeros(len(twin)),
    )


SAME = judged([[0, 1], [2, 3]], [[0, 1], [2, 3]])


def verdict(lists: Judged = SAME, refitted: ItemFactors | None = None, **limits: Any) -> Any:
    return judge_refit(lists, model(), refitted or model(), RefitGuards(**limits), metric="recall")


def test_a_model_like_its_twin_is_offered_with_every_number_and_its_limit() -> None:
    found = verdict()
    assert found.decision == OFFER
    assert [(each.name, each.value, each.limit) for each in found.measures] == [
        ("overlap", 1.0, 0.3),
        ("recall_on_seen_days", 0.5, 0.49),
        ("coverage", 0.4, pytest.approx(0.32)),
        ("factors_norm_ratio", 1.0, 2.0),
        ("pairs", 1_000, 980),
        ("people", 100, 98),
        ("items", 10, pytest.approx(9.8)),
    ]
    assert found.reasons == (
        "the lists of 2 people share 100% with those of the twin",
        "recall@2 on the holdout, which only the twin has not seen, is 0.5000 against 0.5000",
    )


@pytest.mark.parametrize(
    ("lists", "refitted", "limits", "broken", "said"),
    [
        (judged([[0, 1], [2, 3]], [[0, 4], [2, 5]]), model(), {"min_overlap": 0.51}, "overlap", "share 50%"),
        (judged([[0, 1], [0, 3]], [[0, 1], [1, 3]]), model(), {}, "recall_on_seen_days", "is 0.5000 against 1.0000"),
        (judged([[0, 1], [2, 3]], [[0, 1], [0, 1]]), model(), {}, "coverage", "20.0% of the twin's items"),
        (SAME, model(2.01), {}, "factors_norm_ratio", "2.01 times"),
        (SAME, model(0.49), {}, "factors_norm_ratio", "0.49 times"),
        (SAME, model(float("nan")), {}, "factors_norm_ratio", "nan times"),
        (SAME, model(pairs=979), {}, "pairs", "trained on 979 pairs, the twin on 1,000"),
        (SAME, model(people=97), {}, "people", "97 people"),
        (SAME, model(items=9), {}, "items", "9 items"),
    ],
)
def test_beyond_one_limit_the_twin_is_kept_and_the_reason_names_it(
    lists: Judged, refitted: ItemFactors, limits: dict[str, float], broken: str, said: str
) -> None:
    found = verdict(lists, refitted, **limits)
    assert found.decision == KEEP_TWIN
    assert [each.name for each in found.measures if not each.passed] == [broken]
    assert len(found.reasons) == 1
    assert said in found.reasons[0]
    assert "is asked for" in found.reasons[0]


@pytest.mark.parametrize(
    ("lists", "refitted", "limits"),
    [
        (judged([[0, 1], [2, 3]], [[0, 4], [2, 5]]), model(), {"min_overlap": 0.5}),
        (judged([[0, 1], [2, 3]], [[0, 1], [2, 0]]), model(), {"max_narrowing": 0.2501}),
        (SAME, model(2.0), {}),
        (SAME, model(0.5), {}),
        (SAME, model(pairs=980, people=98), {}),
    ],
)
def test_at_its_limit_a_number_is_within(lists: Judged, refitted: ItemFactors, limits: dict[str, float]) -> None:
    assert verdict(lists, refitted, **limits).decision == OFFER


def test_links_are_measured_too_and_a_part_that_vanishes_is_noticed() -> None:
    twin, limits = model(links=1.0), RefitGuards()
    grown = judge_refit(SAME, twin, model(links=3.0), limits, metric="recall")
    assert [each.name for each in grown.measures if not each.passed] == ["links_norm_ratio"]
    gone = judge_refit(SAME, twin, model(), limits, metric="recall")
    assert [(each.name, each.value) for each in gone.measures if not each.passed] == [("links_norm_ratio", None)]
    unlinked = replace(model(links=1.0), factors=np.empty((10, 0), np.float32))
    alone = judge_refit(SAME, unlinked, unlinked, limits, metric="recall")
    assert "factors_norm_ratio" not in {each.name for each in alone.measures}
    assert alone.decision == OFFER


def test_a_reason_says_what_is_asked_for_and_in_which_direction() -> None:
    lists = judged([[0, 1], [2, 3]], [[0, 4], [2, 5]])
    assert verdict(lists, min_overlap=0.51).reasons == (
        "the lists of 2 people share 50% with those of the twin; at least 0.51 is asked for",
    )
    assert verdict(SAME, model(3.0)).reasons == (
        "the root mean square of all factors is 3 times that of the twin; at most 2 either way is asked for",
    )


@pytest.mark.parametrize(
    ("scale", "twin_scale", "ratio", "decision"),
    [
        (3.0, 2.0, 1.5, OFFER),
        (2.0, 3.0, pytest.approx(2 / 3), OFFER),
        (0.0, 2.0, 0.0, KEEP_TWIN),
        (2.0, 0.0, None, KEEP_TWIN),
        (float("inf"), 2.0, None, KEEP_TWIN),
    ],
)
def test_norms_are_compared_as_a_ratio_and_nothing_is_no_norm(
    scale: float, twin_scale: float, ratio: Any, decision: str
) -> None:
    found = judge_refit(SAME, model(twin_scale), model(scale), RefitGuards(), metric="recall")
    assert {each.name: each.value for each in found.measures}["factors_norm_ratio"] == ratio
    assert found.decision == decision


def test_new_items_take_places_from_the_overlap() -> None:
    """A position of -1 is an item that only the refitted model knows."""
    found = verdict(judged([[0, 1], [0, 1]], [[-1, 0], [0, -1]]))
    assert found.measures[0].value == 0.5


def test_nobody_to_judge_is_no_reason_to_offer() -> None:
    nobody = judged([], [])
    nobody = replace(nobody, lists={name: np.empty((0, 2), np.int32) for name in nobody.lists})
    nobody = replace(nobody, hits={name: np.empty((0, 2), np.bool_) for name in nobody.lists})
    assert verdict(nobody).decision == KEEP_TWIN


@given(st.lists(st.tuples(st.sets(st.integers(0, 9), max_size=5), st.sets(st.integers(0, 9), max_size=5)), max_size=6))
def test_overlap_is_that_of_sets(rows: list[tuple[set[int], set[int]]]) -> None:
    left, right = (
        np.array([[*sorted(row[side]), *[-1] * (5 - len(row[side]))] for row in rows], np.int32).reshape(-1, 5)
        for side in (0, 1)
    )
    filled = [(one, other) for one, other in rows if one]
    expected = sum(len(one & other) / len(one) for one, other in filled) / len(filled) if filled else 0.0
    assert overlap(left, right) == pytest.approx(expected)
