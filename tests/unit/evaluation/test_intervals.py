"""Bootstrap intervals against the laws that they estimate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from refit.evaluation.intervals import Interval, bootstrap, interval_of, resampled_sums


def interval(values: np.ndarray, *, resamples: int = 1_000, level: float = 0.95, seed: int = 1) -> Interval:
    """Return the interval of one column."""
    return bootstrap(values[:, None], resamples=resamples, level=level, seed=seed)[0]


def test_the_interval_of_a_constant_difference_is_that_difference() -> None:
    found = interval(np.linspace(0.25, 1, 50) - (np.linspace(0.25, 1, 50) - 0.25))
    assert (found.mean, found.low, found.high) == pytest.approx((0.25, 0.25, 0.25))


def test_the_interval_is_that_of_the_normal_law_when_people_are_many() -> None:
    """Mean plus and minus 1.96 standard errors, to within the error of a thousand resamples."""
    generator = np.random.default_rng(3)
    differences = generator.random(2_000) - generator.random(2_000) + 0.05
    low, high = stats.norm.interval(0.95, differences.mean(), stats.sem(differences))

    found = interval(differences)
    assert found.mean == pytest.approx(differences.mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.1 * (high - low))
    assert found.above_zero
    assert not found.below_zero


def test_nineteen_of_twenty_intervals_cover_the_truth() -> None:
    """200 samples of 100 people with mean 0.2: between 90 and 99 percent of the intervals hold it."""
    samples = np.random.default_rng(5).normal(0.2, 1, (100, 200))
    found = bootstrap(samples, resamples=400, level=0.95, seed=6)
    assert 180 <= sum(each.low <= 0.2 <= each.high for each in found) <= 198


@pytest.mark.parametrize("telling", [2, 5, 40])
def test_the_width_is_that_of_the_people_who_tell_two_models_apart(telling: int) -> None:
    """Of 400 people all but a few agree: Student's quantile has the few, not the 400, behind it."""
    values = np.zeros(400)
    values[:telling] = np.linspace(0.1, 1.0, telling)
    found = interval(values)
    drawn = resampled_sums(values[:, None], resamples=1_000, seed=1)[:, 0] / 400
    tail = np.quantile(drawn, [0.025, 0.975]) - values.mean()
    wider = stats.t.ppf(0.975, telling - 1) / stats.norm.ppf(0.975)
    assert found.telling == telling
    assert (found.low, found.high) == pytest.approx(values.mean() + tail * wider, rel=1e-5)


def test_a_higher_level_gives_a_wider_interval() -> None:
    values = np.random.default_rng(1).random(100)
    usual, stricter = interval(values), interval(values, level=0.995)
    assert stricter.low < usual.low < usual.mean < usual.high < stricter.high


def test_people_are_drawn_and_not_values() -> None:
    """Two columns of the same people rise and fall together, so their difference is known exactly."""
    base = np.random.default_rng(4).random(100) * 100
    first, second, difference = bootstrap(
        np.stack([base + 0.01, base, np.full(100, 0.01)], axis=1), resamples=500, level=0.95, seed=2
    )
    assert first.low - second.low == pytest.approx(0.01, abs=1e-4)
    assert (difference.low, difference.high) == pytest.approx((0.01, 0.01))


def test_the_same_seed_gives_the_same_interval_whatever_stands_beside_it() -> None:
    values = np.random.default_rng(7).random((60, 3))
    together = bootstrap(values, resamples=200, level=0.9, seed=8)
    for column in range(3):
        alone = interval(values[:, column], resamples=200, level=0.9, seed=8)
        assert (alone.low, alone.high) == pytest.approx((together[column].low, together[column].high), abs=1e-6)
    assert together == bootstrap(values, resamples=200, level=0.9, seed=8)
    assert together != bootstrap(values, resamples=200, level=0.9, seed=9)


def test_blocks_do_not_change_how_often_people_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for one resample at a time the draws are the same, one after the other."""
    values = np.random.default_rng(1).random(40)
    whole = interval(values)
    monkeypatch.setattr("refit.evaluation.intervals._ENTRIES", 1)
    pieces = interval(values)
    assert (pieces.low, pieces.high) == pytest.approx((whole.low, whole.high), abs=1e-6)
    assert pieces.mean == whole.mean


@pytest.mark.parametrize(
    ("low", "high", "above", "below"),
    [(0.0, 0.1, False, False), (0.01, 0.1, True, False), (-0.1, 0.0, False, False), (-0.1, -0.01, False, True)],
)
def test_an_end_at_0_shows_nothing(low: float, high: float, above: bool, below: bool) -> None:
    found = Interval(low, low, high, telling=20)
    assert (found.above_zero, found.below_zero) == (above, below)


@pytest.mark.parametrize("level", [0.9, 0.99])
def test_what_is_made_of_sums_has_the_interval_that_its_mean_would_have(level: float) -> None:
    values = np.where(np.arange(80) < 12, np.random.default_rng(2).normal(0.3, 1, 80), 0.0)
    drawn = resampled_sums(values[:, None], resamples=500, seed=4)[:, 0] / 80
    found = interval_of(drawn, float(values.mean()), telling=12, level=level)
    mean = interval(values, resamples=500, level=level, seed=4)
    assert (found.mean, found.telling) == (pytest.approx(mean.mean), mean.telling)
    assert (found.low, found.high) == pytest.approx((mean.low, mean.high), abs=1e-6)


def test_nobody_and_nothing() -> None:
    with pytest.raises(ValueError, match="nobody"):
        bootstrap(np.empty((0, 2)), resamples=100, level=0.95, seed=1)
    assert bootstrap(np.empty((3, 0)), resamples=100, level=0.95, seed=1) == []
    assert interval(np.array([0.5])) == Interval(0.5, 0.5, 0.5, telling=1)
