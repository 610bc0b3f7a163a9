"""Compares the volume of a day with what is usual; reports a difference only if chance does not explain it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.special import gammaincinv

FEWEST_WEEKS = 3
"""Fewest weeks whose median says what is usual."""
_TAIL = 0.01
"""Probability of a count beyond a limit, on each side."""
_RARE = 1e-3
"""Probability below which missing events are not explained by chance."""


def likely(count: int) -> tuple[float, float]:
    """
    Return the smallest and largest Poisson mean for which *count* events are likely, at 99 % on each side.

    These are the exact limits of Garwood (1936).

    >>> [round(limit, 1) for limit in likely(10)], [round(limit) for limit in likely(10_000)]
    ([4.1, 20.1], [9769, 10235])
    """
    low = float(gammaincinv(count, _TAIL)) if count else 0.0
    return low, float(gammaincinv(count + 1, 1 - _TAIL))


def silent_share(hours: Sequence[int], usual: Sequence[Sequence[int]]) -> float | None:
    """
    Return the usual share of a day's events after the hour of its last event; *hours* has the events of each hour.

    The smallest share among the *usual* days is taken, so that an early end is not reported in a shop that sometimes
    closes early. It is 0 if so few events would be missing that one day in a thousand lacks them by chance, and None
    for a day without events or with fewer than three *usual* days.
    """
    events, days = sum(hours), [day for day in usual if sum(day)]
    if not events or len(days) < FEWEST_WEEKS:
        return None
    last = last_hour(hours)
    share = min(sum(day[last + 1 :]) / sum(day) for day in days)
    missing = math.inf if share == 1 else events * share / (1 - share)
    return share if math.exp(-missing) < _RARE else 0.0


def last_hour(hours: Sequence[int]) -> int:
    """Return the last hour with an event; -1 without any."""
    return max((hour for hour, count in enumerate(hours) if count), default=-1)
