"""What lists are like, on lists whose answer is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from refit.evaluation.beyond_accuracy import coverage, diversity, gini, novelty, popularity_lift, shown

EVERYBODY = 16
KNOWN = np.array([8, 4, 2, 1])


def test_what_is_shown_is_counted_and_short_lists_count_less() -> None:
    lists = np.array([[0, 1, -1], [0, 3, 1], [-1, -1, -1]])
    assert shown(lists, 5).tolist() == [2, 2, 0, 1, 0]
    assert coverage(shown(lists, 5)) == 0.6


def test_gini_of_one_item_shown_always_is_nearly_1_and_of_all_alike_0() -> None:
    assert gini(np.array([0, 0, 0, 9])) == pytest.approx(1 - 1 / 4)
    assert gini(np.full(7, 3)) == pytest.approx(0)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30).filter(any))
@settings(max_examples=60)
def test_gini_is_half_the_mean_difference_over_the_mean(counts: list[int]) -> None:
    """The definition that needs no order: sum |x - y| / (2 n^2 mean)."""
    found = np.array(counts)
    apart = sum(abs(a - b) for a, b in itertools.product(counts, counts))
    assert gini(found) == pytest.approx(apart / (2 * len(counts) ** 2 * found.mean()), abs=1e-12)


def test_novelty_by_hand() -> None:
    """8, 4, 2 and 1 of 16 people know the items: 1, 2, 3 and 4 bits; an item that nobody knows counts as one person."""
    assert novelty(np.array([[0, 1], [2, 3]]), KNOWN, EVERYBODY) == 2.5
    assert novelty(np.array([[0, -1]]), KNOWN, EVERYBODY) == 1.0
    assert novelty(np.array([[0]]), np.array([0]), EVERYBODY) == 4.0


def test_popularity_lift_compares_people_with_themselves() -> None:
    """Lists of 6 and of 1.5 people on average, after pasts of 3 and 2: (6 + 1.5) / (3 + 2)."""
    lists = np.array([[0, 1], [2, 3], [-1, -1]])
    assert popularity_lift(lists, KNOWN, np.array([3.0, 2.0, 100.0])) == pytest.approx(7.5 / 5)


def test_lists_of_nothing_have_no_measures() -> None:
    nothing = np.full((2, 3), -1)
    touched = sparse.csr_matrix(np.ones((2, 4)))
    assert shown(nothing, 4).tolist() == [0, 0, 0, 0]
    assert (gini(np.zeros(4, dtype=int)), novelty(nothing, KNOWN, EVERYBODY)) == (0.0, 0.0)
    assert (popularity_lift(nothing, KNOWN, np.ones(2)), diversity(nothing, touched)) == (0.0, 0.0)


def test_diversity_is_the_mean_over_all_pairs_written_out() -> None:
    generator = np.random.default_rng(2)
    values = (generator.random((30, 12)) < 0.4) * generator.random((30, 12))
    lists = np.array([generator.permutation(12)[:5] for _ in range(9)])
    lists[0, 3:] = -1
    lists[1, 1:] = -1  # one item alone is left out
    sets = [set(np.flatnonzero(values[:, item])) for item in range(12)]
    expected = []
    for row in lists:
        pairs = list(itertools.combinations([item for item in row if item >= 0], 2))
        alike = [len(sets[a] & sets[b]) / np.sqrt(len(sets[a]) * len(sets[b])) for a, b in pairs]
        expected += [1 - sum(alike) / len(alike)] if alike else []
    assert len(expected) == 8
    assert diversity(lists, sparse.csr_matrix(values)) == pytest.approx(np.mean(expected), abs=1e-12)


def test_items_that_the_sample_does_not_have_are_unlike_everything() -> None:
    touched = sparse.csr_matrix(np.array([[1, 1, 0, 0], [1, 1, 0, 0]]))
    assert diversity(np.array([[2, 3]]), touched) == 1.0
    assert diversity(np.array([[0, 1]]), touched) == pytest.approx(0.0)
