"""Exact top-k against sorting everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refit.ranking import top_k

TIED = st.sampled_from([-2.5, -1.0, 0.0, 0.25, 0.5, 3.0])
ANY = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=300, deadline=None)
@given(
    scores=st.one_of(st.lists(TIED, max_size=30), st.lists(ANY, max_size=30)),
    forbidden=st.sets(st.integers(0, 29)),
    k=st.integers(1, 35),
)
def test_it_equals_sorting_all_allowed_scores_in_double_precision(
    scores: list[float], forbidden: set[int], k: int
) -> None:
    """Ties go to the smaller position; when fewer than k are allowed, all of them come."""
    allowed = np.array([place not in forbidden for place in range(len(scores))], dtype=np.bool_)
    ranked = sorted((-float(score), place) for place, score in enumerate(scores) if place not in forbidden)

    found = top_k(np.array(scores, dtype=np.float32), allowed, k)

    assert found.tolist() == [place for _, place in ranked][:k]


def test_nobody_allowed_gives_an_empty_list() -> None:
    assert top_k(np.ones(3, dtype=np.float32), np.zeros(3, dtype=np.bool_), 2).tolist() == []


@pytest.mark.parametrize("k", [1, 499, 500, 501])
def test_a_thousand_equal_scores_come_in_the_order_of_positions(k: int) -> None:
    allowed = np.arange(1_000) % 2 == 1
    assert top_k(np.full(1_000, 0.5, dtype=np.float32), allowed, k).tolist() == list(range(1, 1_000, 2))[:k]


def test_what_was_passed_in_is_left_as_it_was() -> None:
    scores, allowed = np.array([3, 1, 2], dtype=np.float32), np.ones(3, dtype=np.bool_)
    top_k(scores, allowed, 2)
    assert scores.tolist() == [3, 1, 2]
    assert allowed.all()
