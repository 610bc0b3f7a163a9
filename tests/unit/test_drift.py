"""Distances between counts, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from refit.drift import FeatureDrift, compare, kolmogorov_smirnov, newcomers, population_stability, sides
from refit.profiles import Profile, Ruler

MONDAY = 4
TUESDAY = 5
WEEK = 7


def reference(**counts: dict[int, dict[int, int]]) -> Profile:
    """Return a profile of features that are categories a and b; feature -> weekday -> bin -> rows."""
    ruler = Ruler(names={name: ("a", "b") for name in counts if name != "weekday"})
    return Profile(ruler=ruler, days={0: 4, 1: 4}, counts=counts, tenure={}, history=0)


def one(profile: Profile, window: dict[int, dict[str, dict[int, int]]], feature: str = "c") -> FeatureDrift:
    return compare(profile, window, [feature], cutoff=0)[0]


def test_distances_of_counts_by_hand() -> None:
    """Shares 1/2 1/4 1/4 against 1/4 1/4 1/2: cumulated they differ by 1/4; the index is 2 * 1/4 * ln 2."""
    assert kolmogorov_smirnov([2, 1, 1], [25, 25, 50]) == pytest.approx(0.25)
    assert population_stability([2, 1, 1], [25, 25, 50]) == pytest.approx(0.5 * math.log(2))
    assert kolmogorov_smirnov([1, 0], [0, 1]) == 1.0


def test_each_weekday_of_the_reference_weighs_as_much_as_in_the_window() -> None:
    """Mondays are all a and Tuesdays all b; three Mondays and a Tuesday of that kind have not moved at all."""
    known = reference(c={0: {1: 40}, 1: {2: 40}})
    window = {MONDAY + WEEK * n: {"c": {1: 10}} for n in range(3)} | {TUESDAY: {"c": {2: 10}}}
    assert one(known, window) == FeatureDrift(
        name="c", n_reference=80, n_current=40, groups=2, psi=0.0, missing=0.0, new=0.0
    )


def test_a_weekday_that_the_reference_lacks_is_compared_with_all_of_its_days() -> None:
    """Wednesday half a and half b, as Monday and Tuesday together."""
    known = reference(c={0: {1: 40}, 1: {2: 40}})
    found = one(known, {MONDAY + 2: {"c": {1: 5, 2: 5}}})
    assert (found.psi, found.n_reference) == (0.0, 80)


def test_only_the_weekdays_of_the_window_stand_behind_the_number() -> None:
    known = reference(c={0: {1: 40}, 1: {2: 60}})
    assert one(known, {MONDAY: {"c": {1: 9}}}).n_reference == 40


def test_weekdays_are_compared_by_the_events_of_each_of_their_days() -> None:
    """
    Four Mondays had 10 events each, four Tuesdays 30 each: of two Mondays and a Tuesday 20 to 30 is expected.

    Found are 30 and 20: the index is 2 * 0.2 * ln 1.5. As many Mondays as Tuesdays would be drift to a plain count.
    """
    known = reference(weekday={0: {0: 40}, 1: {0: 120}})
    as_usual = {MONDAY: {"weekday": {0: 10}}, MONDAY + WEEK: {"weekday": {0: 10}}, TUESDAY: {"weekday": {0: 30}}}
    assert one(known, as_usual, "weekday").psi == 0.0
    other = {MONDAY: {"weekday": {0: 15}}, MONDAY + WEEK: {"weekday": {0: 15}}, TUESDAY: {"weekday": {0: 20}}}
    assert one(known, other, "weekday").psi == pytest.approx(0.4 * math.log(1.5))


def test_what_has_no_row_on_a_side_has_no_number() -> None:
    known = reference(c={0: {1: 40}})
    assert one(known, {MONDAY: {"c": {}}}) == FeatureDrift(name="c")
    assert one(reference(c={}), {MONDAY: {"c": {1: 3}}}) == FeatureDrift(name="c")
    assert one(known, {MONDAY: {}}, "unknown") == FeatureDrift(name="unknown")


def tenures(history: int = 100) -> Profile:
    """Return a profile in which of 100 days of people 10 were first days, 20 second to tenth, 70 older."""
    tenure = {"new_people": {0: 10, 5: 20, 50: 70}}
    return Profile(ruler=Ruler(), days={}, counts={}, tenure=tenure, history=history)


@pytest.mark.parametrize(("age", "expected"), [(0, 0.1), (4, 0.1), (5, 0.3), (49, 0.3), (50, 1.0)])
def test_as_many_newcomers_are_expected_as_were_as_young_in_the_reference(age: int, expected: float) -> None:
    """So a shop that grows as it always has never drifts, however old its model is."""
    both = newcomers(tenures(), {1_000 + age: {"new_people": {0: 4, 1: 6}}}, "new_people", cutoff=1_000)
    assert both is not None
    np.testing.assert_allclose(both.reference, [1 - expected, expected], atol=1e-12)
    np.testing.assert_allclose(both.current, [0.4, 0.6])
    found = compare(tenures(), {1_000 + age: {"new_people": {0: 4, 1: 6}}}, ["new_people"], cutoff=1_000)[0]
    assert found.new == pytest.approx(0.6 - expected)
    assert (found.n_reference, found.n_current, found.psi, found.ks) == (100, 10, None, None)


def test_the_history_tells_of_newcomers_only_as_far_back_as_it_goes() -> None:
    """With 40 days of history a person who is 50 days old may be older, so age 60 is judged like age 39."""
    both = newcomers(tenures(history=40), {1_060: {"new_people": {0: 1}}}, "new_people", cutoff=1_000)
    assert both is not None
    assert both.reference[1] == pytest.approx(0.3)
    assert newcomers(tenures(history=0), {1_060: {"new_people": {0: 1}}}, "new_people", cutoff=1_000) is None


def test_days_of_different_ages_are_expected_each_by_its_own() -> None:
    """5 of 10 rows on the first day (0.1 expected), 5 on the sixth (0.3): 0.2."""
    window = {1_000: {"new_people": {0: 5}}, 1_005: {"new_people": {0: 5}}}
    both = newcomers(tenures(), window, "new_people", cutoff=1_000)
    assert both is not None
    assert both.reference[1] == pytest.approx(0.2)


def test_missing_is_the_last_bin_of_numbers_and_outside_the_last_but_one_of_categories() -> None:
    known = reference(c={0: {1: 1, 2: 1, 0: 1, -1: 1}})
    both = sides(known, {MONDAY: {"c": {-1: 1}}}, "c")
    assert both is not None
    assert both.places == (1, 2, 0, -1)
    np.testing.assert_allclose(both.current, [0, 0, 0, 1])
