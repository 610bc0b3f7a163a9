"""How much a day holds beside what is usual, told only where chance alone does not explain the difference."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.special import gammaincinv

FEWEST_WEEKS = 3
"""A median of fewer weeks says nothing about what is usual."""
_TAIL = 0.01
"""Chance of a count that lies beyond a limit, on each side."""
_RARE = 1e-3
"""Chance below which a silence is no accident."""


def likely(count: int) -> tuple[float, float]:
    """
    Return the least and the largest mean of which *count* events are a likely outcome, 99 % on each side.

    They are the exact limits of a Poisson law (Garwood 1936).

    >>> [round(limit, 1) for limit in likely(10)], [round(limit) for limit in likely(10_000)]
    ([4.1, 20.1], [9769, 10235])
    """
    low = float(gammaincinv(count, _TAIL)) if count else 0.0
    return low, float(gammaincinv(count + 1, 1 - _TAIL))


def silent_share(hours: Sequence[int], usual: Sequence[Sequence[int]]) -> float | None:
    """
    Return the share of a day that usually comes after the hour of its last event; *hours* has the events of each hour.

    It is the least share among the *usual* days, so a day that ends early is no surprise in a shop that closes early at
    times; 0 where so few events would be missing that one day in a thousand lacks them by chance; None for a day
    without events, or with fewer than three *usual* ones.
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
