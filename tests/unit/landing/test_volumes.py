"""Volumes are judged only where chance alone does not explain them, and a day that ends early by its usual hours."""

from __future__ import annotations

import pytest
from scipy.stats import poisson

from refit.landing.volumes import last_hour, likely, silent_share

EVEN = [10] * 24
OFFICE = [0] * 8 + [100] * 10 + [0] * 6
"""A shop that sells from eight to six."""


@pytest.mark.parametrize("count", [0, 1, 4, 12, 60, 1_000, 250_000])
def test_the_limits_of_a_count_are_those_of_the_poisson_law(count: int) -> None:
    """A mean at either limit brings this count, or one further away, once in a hundred times."""
    low, high = likely(count)
    assert poisson.cdf(count, high) == pytest.approx(0.01, abs=0.001)
    assert low == 0.0 if count == 0 else poisson.sf(count - 1, low) == pytest.approx(0.01, abs=0.001)


def test_a_day_that_ends_early_lacks_what_usually_comes_later() -> None:
    """Half of an even day, 120 events, lacks the other half; a whole one lacks nothing."""
    assert silent_share([10] * 12 + [0] * 12, [EVEN] * 3) == 0.5
    assert silent_share(EVEN, [EVEN] * 3) == 0.0
    assert silent_share([*OFFICE[:14], *[0] * 10], [OFFICE] * 8) == 0.4


def test_a_day_with_events_only_before_the_shop_usually_opens_lacks_everything() -> None:
    assert silent_share([1] + [0] * 23, [OFFICE] * 3) == 1.0


def test_chance_explains_the_silence_of_a_small_shop() -> None:
    """Six events in the first half of a day: that no seventh comes happens more than once in a thousand days."""
    few = [0] * 6 + [1] * 6 + [0] * 12
    assert silent_share(few, [EVEN] * 5) == 0.0
    assert silent_share([2 * count for count in few], [EVEN] * 5) == 0.5


def test_a_shop_that_closes_early_at_times_may_do_so_again() -> None:
    """The least share of the weeks before counts; fewer than three of them, or a day without events, say nothing."""
    early = [*OFFICE[:14], *[0] * 10]
    assert silent_share(early, [OFFICE, OFFICE, early]) == 0.0
    assert silent_share(early, [OFFICE, OFFICE]) is None
    assert silent_share([0] * 24, [OFFICE] * 3) is None
    assert silent_share([], [OFFICE] * 3) is None
    assert (last_hour(early), last_hour([])) == (13, -1)
