"""Bootstrap intervals of means over people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

_ENTRIES = 4_000_000
"""Number of weights computed at once; bounds memory for any number of people."""


@dataclass(frozen=True)
class Interval:
    """A mean over people and its confidence interval."""

    mean: float
    low: float
    high: float
    telling: int
    """Number of people with a value other than 0; for a difference, those for whom the two models differ."""

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.low > 0

    @property
    def below_zero(self) -> bool:
        """Whether the whole interval lies below 0."""
        return self.high < 0

    def __str__(self) -> str:
        """Return the two ends, signed."""
        return f"{self.low:+.4f} to {self.high:+.4f}"


def bootstrap(values: NDArray[Any], *, resamples: int, level: float, seed: int) -> list[Interval]:
    """
    Return, for each column of *values* (people x columns), the mean and its expanded percentile interval.

    Whole rows are drawn with replacement (Efron 1979), so every column has the same people in each resample and a
    column of differences gets the interval of a paired comparison. The percentiles are moved away from the mean by the
    ratio of Student's quantile to the normal one (Hesterberg 2015), with one degree of freedom less than the number of
    values other than 0: if two models agree for nearly everybody, only the remaining people distinguish them. For C
    columns that must hold simultaneously, use the level 1 - (1 - level) / C (Bonferroni). The same seed gives the same
    intervals, regardless of the other columns.

    >>> bootstrap(np.array([[0.25, 1.0], [0.25, 1.0]]), resamples=100, level=0.95, seed=1)
    [Interval(mean=0.25, low=0.25, high=0.25, telling=2), Interval(mean=1.0, low=1.0, high=1.0, telling=2)]
    """
    people, columns = values.shape
    if not people:
        raise ValueError("there is nobody to draw from")
    if not columns:
        return []
    centres = values.mean(axis=0)
    # Single precision is enough for deviations from the mean, and twice as fast.
    around = (values - centres).astype(np.float32)
    means = np.concatenate([weights @ around for weights in _weights(people, resamples, seed)]) / people
    tail = (1 - level) / 2
    telling = np.count_nonzero(values, axis=0)
    wider = _wider(telling, tail)
    lows, highs = centres + np.quantile(means, [tail, 1 - tail], axis=0) * wider
    found = zip(centres.tolist(), lows.tolist(), highs.tolist(), telling.tolist(), strict=True)
    return [Interval(mean, low, high, people) for mean, low, high, people in found]


def resampled_sums(values: NDArray[np.float64], *, resamples: int, seed: int) -> NDArray[np.float64]:
    """
    Return resamples x columns: the column sums of *values* over the people drawn in each resample.

    People are drawn as in `bootstrap`. For a statistic of several sums, such as a ratio, use `interval_of`.
    """
    return np.concatenate([weights.astype(np.float64) @ values for weights in _weights(len(values), resamples, seed)])


def interval_of(drawn: NDArray[np.float64], value: float, *, telling: int, level: float) -> Interval:
    """Return the expanded percentile interval of *value*, as in `bootstrap`; *telling* counts the people behind it."""
    tail = (1 - level) / 2
    low, high = value + (np.quantile(drawn, [tail, 1 - tail]) - value) * float(_wider(telling, tail))
    return Interval(value, float(low), float(high), telling)


def _wider(telling: Any, tail: float) -> Any:
    return stdtrit(np.maximum(telling, 2) - 1, tail) / ndtri(tail)


def _weights(people: int, resamples: int, seed: int) -> Iterator[NDArray[np.float32]]:
    """Yield blocks of resamples x people: the number of times each person was drawn in each resample."""
    generator = np.random.default_rng(seed)
    left, max_block = resamples, max(1, _ENTRIES // people)
    while left:
        block = min(left, max_block)
        drawn = generator.integers(0, people, (block, people), dtype=np.int32)
        drawn += (np.arange(block, dtype=np.int32) * people)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=block * people)
        yield counts.reshape(block, people).astype(np.float32)
        left -= block
