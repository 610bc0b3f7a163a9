"""Distances between counts, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from refit.config import Drift
from refit.drift.policy import judged
from refit.drift.profiles import MISSING, Binning, Profile
from refit.drift.statistics import (
    FeatureDrift,
    compare,
    deciles,
    effective_size,
    kolmogorov_smirnov,
    newcomers,
    population_stability,
    shares,
    sides,
)

MONDAY = 4
TUESDAY = 5
WEEK = 7


def reference(**counts: dict[int, dict[int, int]]) -> Profile:
    """Return a profile of features that are categories a and b; feature -> weekday -> bin -> rows."""
    ruler = Binning(names={name: ("a", "b") for name in counts if name != "weekday"})
    return Profile(ruler=ruler, days={0: 4, 1: 4}, counts=counts, tenure={}, history=0)


def one(profile: Profile, window: dict[int, dict[str, dict[int, int]]], feature: str = "c") -> FeatureDrift:
    return compare(profile, window, [feature], cutoff=0)[0]


def test_distances_of_counts_by_hand() -> None:
    """Shares 1/2 1/4 1/4 against 1/4 1/4 1/2: cumulated they differ by 1/4; the index is 2 * 1/4 * ln 2."""
    assert kolmogorov_smirnov([2, 1, 1], [25, 25, 50]) == pytest.approx(0.25)
    assert population_stability([2, 1, 1], [25, 25, 50]) == pytest.approx(0.5 * math.log(2))
    assert kolmogorov_smirnov([1, 0], [0, 1]) == 1.0


def test_each_weekday_of_the_reference_weighs_as_much_as_in_the_window() -> None:
    """
    Mondays are all a and Tuesdays all b; three Mondays and a Tuesday of that kind have as good as not moved.

    As many rows of both that weigh 3 to 1 are worth 1 / (0.75^2 + 0.25^2) = 1.6 times those of one.
    """
    known = reference(c={0: {1: 4_000_000}, 1: {2: 4_000_000}})
    window = {MONDAY + WEEK * n: {"c": {1: 10}} for n in range(3)} | {TUESDAY: {"c": {2: 10}}}
    found = one(known, window)
    assert found.psi == pytest.approx(0.0, abs=1e-8)
    assert found.new == pytest.approx(0.0, abs=1e-8)
    assert found.n_reference == pytest.approx(6_400_000, rel=1e-4)
    assert (found.n_current, found.groups, found.ks, found.missing) == (40, 2, None, 0.0)


def test_a_weekday_that_the_reference_lacks_is_compared_with_all_of_its_days() -> None:
    """Wednesday half a and half b, as Monday and Tuesday together."""
    known = reference(c={0: {1: 40}, 1: {2: 40}})
    found = one(known, {MONDAY + 2: {"c": {1: 5, 2: 5}}})
    assert (found.psi, found.n_reference) == (0.0, 80)


def test_only_the_weekdays_of_the_window_stand_behind_the_number() -> None:
    known = reference(c={0: {1: 4_000_000}, 1: {2: 6_000_000}})
    assert one(known, {MONDAY: {"c": {1: 9}}}).n_reference == pytest.approx(4_000_000, rel=1e-3)


def test_weekdays_are_compared_by_the_events_of_each_of_their_days() -> None:
    """
    Four Mondays had a million events each, four Tuesdays three: of two Mondays and a Tuesday 2 to 3 is expected.

    Found are 30 and 20: the index is 2 * 0.2 * ln 1.5. As many Mondays as Tuesdays would be drift to a plain count.
    """
    known = reference(weekday={0: {0: 4_000_000}, 1: {0: 12_000_000}})
    as_usual = {MONDAY: {"weekday": {0: 10}}, MONDAY + WEEK: {"weekday": {0: 10}}, TUESDAY: {"weekday": {0: 30}}}
    assert one(known, as_usual, "weekday").psi == pytest.approx(0.0, abs=1e-8)
    other = {MONDAY: {"weekday": {0: 15}}, MONDAY + WEEK: {"weekday": {0: 15}}, TUESDAY: {"weekday": {0: 20}}}
    assert one(known, other, "weekday").psi == pytest.approx(0.4 * math.log(1.5), rel=1e-4)


def test_what_has_no_row_on_a_side_has_no_number() -> None:
    known = reference(c={0: {1: 40}})
    assert one(known, {MONDAY: {"c": {}}}) == FeatureDrift(name="c")
    assert one(reference(c={}), {MONDAY: {"c": {1: 3}}}) == FeatureDrift(name="c")
    assert one(known, {MONDAY: {}}, "unknown") == FeatureDrift(name="unknown")
    assert one(known, {MONDAY: {"c": {1: 0}}}) == FeatureDrift(name="c")
    assert one(reference(c={0: {1: 0}}), {MONDAY: {"c": {1: 3}}}) == FeatureDrift(name="c")
    nothing = FeatureDrift(name="c")
    assert (nothing.n_reference, nothing.n_current, nothing.groups) == (0, 0, 1)


def tenures(history: int = 100) -> Profile:
    """Return a profile in which of 100 days of people 10 were first days, 20 second to tenth, 70 older."""
    tenure = {"new_people": {0: 10, 5: 20, 50: 70}}
    return Profile(ruler=Binning(), days={}, counts={}, tenure=tenure, history=history)


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
    # After 50 days of history somebody may be 50 days old and have been there before it.
    edge = newcomers(tenures(history=50), {1_060: {"new_people": {0: 1}}}, "new_people", cutoff=1_000)
    assert edge is not None
    assert edge.reference[1] == pytest.approx(0.3)
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


def numbers(counts: dict[int, dict[int, int]], days: dict[int, int] | None = None) -> Profile:
    """Return a profile of a number x with nine quantiles, each of its 19 bins a value; weekday -> bin -> rows."""
    ruler = Binning(edges={"x": tuple(float(n) for n in range(9))})
    return Profile(ruler=ruler, days=days or {}, counts={"x": counts}, tenure={}, history=0)


def test_one_row_of_a_weekday_does_not_speak_for_that_weekday() -> None:
    """
    The days of a week are alike; only Sunday has a single row in the reference, and a whole day in the window.

    Taken at its word that row would be a seventh of what is expected: KS 0.14 and an index of 0.6.
    """
    alike = {place: 100 for place in range(19)}
    known = numbers({weekday: alike for weekday in range(6)} | {6: {3: 1}})
    window = {MONDAY + n: {"x": {place: 10 for place in range(19)}} for n in range(7)}
    found = one(known, window, "x")
    assert found.ks is not None
    assert found.psi is not None
    assert found.ks < 0.002
    assert found.psi < 0.001
    assert found.n_reference > 10_000


@pytest.mark.parametrize("rows", [1, 10, 100, 1_000, 100_000])
def test_a_weekday_speaks_for_itself_as_far_as_it_has_rows(rows: int) -> None:
    """
    Mondays are all a, the other days all b, and the window is a Monday of which half is a.

    A hundred rows of all days stand beside those of Monday: of the rows that are expected n / (n + 100) are like those
    of Monday and the rest like those of all days.
    """
    known = reference(c={0: {1: rows}, 1: {2: 1_000}})
    both = sides(known, {MONDAY: {"c": {1: 50, 2: 50}}}, "c")
    assert both is not None
    own = rows / (rows + 100)
    expected = own + (1 - own) * rows / (rows + 1_000)
    assert both.reference[0] == pytest.approx(expected)
    # 1 / sum(w^2 / n) of the two weights.
    assert both.n_reference == round(1 / (expected**2 / rows + (1 - expected) ** 2 / 1_000))


def test_a_feature_is_judged_by_how_much_its_unequal_weekdays_can_tell() -> None:
    """
    40 rows of Monday make half of what is expected, 4,000 of Tuesday the other half: that is worth few rows, not 4,040.

    Equal weights would be worth all of them.
    """
    lopsided = reference(c={0: {1: 20, 2: 20}, 1: {1: 2_000, 2: 2_000}})
    both = sides(lopsided, {MONDAY: {"c": {1: 50}}, TUESDAY: {"c": {2: 50}}}, "c")
    own, other = 40 / 140, 4_000 / 4_100
    left = 1 - (own + other) / 2
    weights = (own / 2 + left * 40 / 4_040, other / 2 + left * 4_000 / 4_040)
    assert both is not None
    assert both.n_reference == round(1 / (weights[0] ** 2 / 40 + weights[1] ** 2 / 4_000))
    assert both.n_reference < 2_000
    even = sides(reference(c={0: {1: 40}, 1: {1: 40}}), {MONDAY: {"c": {1: 5}}, TUESDAY: {"c": {1: 5}}}, "c")
    assert even is not None
    assert even.n_reference == 80


def test_the_weekdays_themselves_are_read_from_all_days_where_they_have_few_rows() -> None:
    """
    Six days of a week have 1,000 rows each of their four times; Sunday was open once, with one row.

    In the window Sunday has 95: as many as one row and a hundred of all days promise (24,001 rows in 25 days).
    """
    counts = {weekday: {0: 4_000} for weekday in range(6)} | {6: {0: 1}}
    ruler, days = Binning(), {weekday: 4 for weekday in range(6)} | {6: 1}
    known = Profile(ruler=ruler, days=days, counts={"weekday": counts}, tenure={}, history=0)
    window = {MONDAY + n: {"weekday": {0: 1_000 if n < 6 else 95}} for n in range(7)}
    both = sides(known, window, "weekday")
    assert both is not None
    mean = 24_001 / 25
    own = 1 / (1 + 100 / mean)
    sunday = own * 1 + (1 - own) * mean
    assert sunday == pytest.approx(91.4, abs=0.1)
    assert both.reference[6] / both.reference[0] == pytest.approx(sunday / 1_000, rel=0.002)
    # Nearly all of it rests on the six days, whose rows weigh alike.
    assert both.n_reference == pytest.approx(24_000, rel=0.02)
    assert one(known, window, "weekday").psi == pytest.approx(0.0, abs=0.001)


def test_a_weekday_that_was_never_open_is_expected_to_be_like_all_days() -> None:
    known = Profile(
        ruler=Binning(), days={0: 4, 1: 4}, counts={"weekday": {0: {0: 40_000}, 1: {0: 40_000}}}, tenure={}, history=0
    )
    found = one(known, {MONDAY + n: {"weekday": {0: 10_000}} for n in range(3)}, "weekday")
    assert found.psi == pytest.approx(0.0, abs=1e-12)
    assert found.n_reference == 80_000


def test_few_effective_rows_are_not_judged_however_many_rows_there_are() -> None:
    """Sundays make nearly all of the window and have 60 rows in the reference, the other days 10,000."""
    known = reference(c={6: {1: 60}, 0: {1: 10_000}})
    feature = one(known, {MONDAY + 6: {"c": {1: 5_000}}})
    # Sunday 60 / 160 of the weight and a little more.
    assert feature.n_reference < 450
    assert judged(feature, Drift(min_rows=400))
    assert not judged(feature, Drift(min_rows=450))


def test_missing_values_are_no_part_of_the_distance_of_numbers() -> None:
    """
    Known values are half low and half high on both sides; a fifth, then three fifths are missing.

    Counted as a bin at either end they would be a distance of 0.4 or of 0.2.
    """
    known = numbers({0: {1: 400, 17: 400, -1: 200}})
    found = one(known, {MONDAY: {"x": {1: 20, 17: 20, -1: 60}}}, "x")
    assert found.ks == pytest.approx(0.0, abs=1e-12)
    assert found.missing == pytest.approx(0.4)
    assert found.psi is not None
    assert found.psi > 0.2
    moved = one(known, {MONDAY: {"x": {1: 30, 17: 10, -1: 60}}}, "x")
    assert moved.ks == pytest.approx(0.25)


def test_an_empty_bin_counts_as_a_ten_thousandth() -> None:
    """Otherwise its logarithm would be infinite; a bin that is empty on both sides counts nothing."""
    assert population_stability([1, 0, 0], [0, 1, 0]) == pytest.approx(2 * (1 - 1e-4) * math.log(1e4))
    assert population_stability([3, 0], [5, 0]) == 0.0


def test_no_rows_have_no_shares() -> None:
    assert shares([0, 0]).tolist() == [0.0, 0.0]
    assert shares([1, 3]).tolist() == [0.25, 0.75]


def test_fine_bins_are_grouped_to_tenths_of_the_reference_and_missing_values_apart() -> None:
    """
    Twenty bins of a twentieth each make ten groups of two. A bin belongs where its middle lies.

    Missing values have a group of their own and no share in the tenths, however many they are.
    """
    even = np.full(20, 0.05)
    assert deciles(range(20), even).tolist() == [n // 2 for n in range(20)]
    with_missing = deciles([*range(20), MISSING], np.append(even / 2, 0.5))
    assert with_missing.tolist() == [*[n // 2 for n in range(20)], 10]
    # Middles 0.45, 0.925 and 0.975.
    assert deciles([0, 1, 2], np.array([0.9, 0.05, 0.05])).tolist() == [4, 9, 9]
    # A bin of the window alone, beyond all of the reference, is in the last tenth and in no eleventh.
    assert deciles([0, 1], np.array([1.0, 0.0])).tolist() == [5, 9]


def test_the_index_of_a_number_is_that_of_tenths() -> None:
    """
    Of twenty values equally often the lower ten are twice as often in the window as the upper: five tenths each.

    The index is 5 * (1/15 - 1/10) ln(2/3) + 5 * (2/15 - 1/10) ln(4/3), and the distance (2/3 - 1/2).
    """
    ruler = Binning(edges={"x": tuple(float(n) for n in range(20))})
    known = Profile(
        ruler=ruler, days={}, counts={"x": {0: {2 * n + 1: 1_000 for n in range(20)}}}, tenure={}, history=0
    )
    found = one(known, {MONDAY: {"x": {2 * n + 1: 20 if n < 10 else 10 for n in range(20)}}}, "x")
    expected = 5 * (1 / 15 - 1 / 10) * math.log(2 / 3) + 5 * (2 / 15 - 1 / 10) * math.log(4 / 3)
    assert found.psi == pytest.approx(expected)
    assert found.ks == pytest.approx(2 / 3 - 1 / 2)
    assert (found.groups, found.missing, found.new, found.n_current) == (10, 0.0, None, 300)


@pytest.mark.parametrize(("before", "after"), [({-1: 400}, {1: 40}), ({1: 400}, {-1: 40})])
def test_without_a_known_value_on_a_side_there_is_no_distance_but_a_share_of_missing_ones(
    before: dict[int, int], after: dict[int, int]
) -> None:
    found = one(numbers({0: before}), {MONDAY: {"x": after}}, "x")
    assert (found.ks, found.missing, found.groups) == (None, 1.0, 2)
    assert found.psi is not None


def test_missing_values_may_become_fewer() -> None:
    """A change is a change in either direction; weekdays and newcomers cannot be missing."""
    known = reference(c={0: {1: 600, -1: 400}}, weekday={0: {0: 1_000}})
    found, weekdays = compare(known, {MONDAY: {"c": {1: 100}, "weekday": {0: 100}}}, ["c", "weekday"], cutoff=0)
    assert found.missing == pytest.approx(0.4)
    assert (weekdays.missing, weekdays.ks, weekdays.new) == (None, None, None)


def test_what_is_outside_of_the_reference_may_grow_and_shrink() -> None:
    known = reference(c={0: {1: 500, 0: 500}})
    assert one(known, {MONDAY: {"c": {1: 1, 0: 3}}}).new == pytest.approx(0.25)
    assert one(known, {MONDAY: {"c": {1: 3, 0: 1}}}).new == pytest.approx(-0.25)


def test_the_groups_of_a_category_are_those_of_either_side() -> None:
    known = reference(c={0: {1: 500}})
    assert one(known, {MONDAY: {"c": {1: 5, 2: 5, 0: 5, -1: 5}}}).groups == 4
    assert one(known, {MONDAY: {"c": {2: 5}}}).groups == 2


def test_weekdays_without_days_or_rows_are_not_compared() -> None:
    window = {MONDAY: {"weekday": {0: 5}}}
    empty = Profile(ruler=Binning(), days={0: 4}, counts={"weekday": {0: {}}}, tenure={}, history=0)
    assert one(empty, window, "weekday") == FeatureDrift(name="weekday")
    dayless = Profile(ruler=Binning(), days={}, counts={"weekday": {0: {0: 5}}}, tenure={}, history=0)
    assert one(dayless, window, "weekday") == FeatureDrift(name="weekday")
    known = Profile(ruler=Binning(), days={0: 4}, counts={"weekday": {0: {0: 40}}}, tenure={}, history=0)
    assert one(known, {MONDAY: {"weekday": {}}}, "weekday") == FeatureDrift(name="weekday")


def test_several_days_of_one_weekday_are_expected_to_have_as_many_times_its_events() -> None:
    """Mondays 1,000 and Tuesdays 3,000 a day: three Mondays and two Tuesdays have a third and two thirds."""
    known = Profile(
        ruler=Binning(),
        days={0: 2, 1: 4},
        counts={"weekday": {0: {0: 2_000_000}, 1: {0: 12_000_000}}},
        tenure={},
        history=0,
    )
    window = {MONDAY + WEEK * n: {"weekday": {0: 7}} for n in range(3)}
    window |= {TUESDAY + WEEK * n: {"weekday": {0: 9}} for n in range(2)}
    both = sides(known, window, "weekday")
    assert both is not None
    np.testing.assert_allclose(both.reference, [1 / 3, 2 / 3], rtol=1e-3)
    np.testing.assert_allclose(both.current, [21 / 39, 18 / 39])
    assert (both.places, both.n_current) == ((0, 1), 39)
    # A third from 2 million rows and two thirds from 12 million.
    assert both.n_reference == pytest.approx(1 / ((1 / 9) / 2e6 + (4 / 9) / 12e6), rel=1e-3)


def test_what_weighs_nothing_is_worth_no_rows() -> None:
    assert effective_size([0.5, 0.5, 0.0], [100, 300, 0]) == 300
    assert effective_size([1.0], [7]) == 7


def test_nobody_is_expected_to_be_new_where_nothing_tells_and_no_rows_are_no_answer() -> None:
    assert newcomers(tenures(), {1_000: {"new_people": {}}}, "new_people", cutoff=1_000) is None
    without = Profile(ruler=Binning(), days={}, counts={}, tenure={}, history=100)
    assert newcomers(without, {1_000: {"new_people": {0: 4, 1: 6}}}, "new_people", cutoff=1_000) is None
    assert compare(without, {1_000: {"new_people": {1: 6}}}, ["new_people"], cutoff=1_000) == [
        FeatureDrift(name="new_people")
    ]
    # A history of a day tells of those who came on that day.
    both = newcomers(tenures(history=1), {1_030: {"new_people": {0: 1}}}, "new_people", cutoff=1_000)
    assert both is not None
    assert (both.reference[1], both.current[1], both.places) == (pytest.approx(0.1), 0.0, (0, 1))
