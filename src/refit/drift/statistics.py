"""Drift: how far the days since a training cutoff are from the profile of the days before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refit.drift.features import NEW_ITEMS, NEW_PEOPLE, WEEKDAY
from refit.drift.profiles import MISSING, OUTSIDE, Counts, DailyCounts, Profile, by_weekday, weekday

_EMPTY = 1e-4
"""Share given to an empty bin, so that its logarithm is finite."""
DECILES = 10
_PRIOR = 100
"""Rows of all days that stand beside those of each weekday, so that a weekday with few rows is read from all days."""

Floats = NDArray[np.float64]


def kolmogorov_smirnov(reference: Sequence[float] | Floats, current: Sequence[float] | Floats) -> float:
    """
    Return the largest distance between the two cumulative distributions; both arguments count the same ordered bins.

    Half and half against a quarter and three quarters: |0.5 - 0.25|.

    >>> kolmogorov_smirnov([2, 2], [1, 3])
    0.25
    """
    return float(np.abs(np.cumsum(shares(reference)) - np.cumsum(shares(current))).max())


def population_stability(reference: Sequence[float] | Floats, current: Sequence[float] | Floats) -> float:
    """
    Return the population stability index, sum of (r - c) * ln(r / c) over shares r and c of the same bins.

    Half and half against a quarter and three quarters: 0.25 ln 2 - 0.25 ln(2/3) = 0.25 ln 3.

    >>> round(population_stability([2, 2], [1, 3]), 6)
    0.274653
    """
    r, c = np.maximum(shares(reference), _EMPTY), np.maximum(shares(current), _EMPTY)
    return float(((r - c) * np.log(r / c)).sum())


def effective_size(weights: Sequence[float] | Floats, rows: Sequence[float] | Floats) -> int:
    """
    Return how many rows of one kind tell as much as groups of *rows* rows whose shares are summed with *weights*.

    A share p of n rows has the variance p (1 - p) / n, so that of the sum is p (1 - p) times sum(w^2 / n). Weights sum
    to 1, and a group of no rows has none.

    >>> effective_size([0.5, 0.5], [100, 100]), effective_size([0.5, 0.5], [10, 1_000_000])
    (200, 40)
    """
    w, n = np.asarray(weights, dtype=np.float64), np.asarray(rows, dtype=np.float64)
    return round(1 / float((w[n > 0] ** 2 / n[n > 0]).sum()))


def shares(counts: Sequence[float] | Floats) -> Floats:
    """Return *counts* divided by their sum; zeros stay zeros."""
    values = np.asarray(counts, dtype=np.float64)
    total = values.sum()
    return values / total if total else values


@dataclass(frozen=True, kw_only=True)
class FeatureDrift:
    """How far one feature of a window is from the reference."""

    name: str
    n_reference: int = 0
    """Effective number of rows of the reference that stand behind it: of events, or of days of people."""
    n_current: int = 0
    groups: int = 1
    """Groups of which the index is made; the more there are, the more rows it takes."""
    ks: float | None = None
    """None for what has no order, and where a side has no known value."""
    psi: float | None = None
    """None where a side has no row, and for newcomers."""
    missing: float | None = None
    """Change of the share of missing values, up or down."""
    new: float | None = None
    """By how much more falls outside of what the model's data have; below 0 when less does. None for numbers."""


@dataclass(frozen=True)
class Sides:
    """One feature of the reference and of a window in the same bins."""

    places: tuple[int, ...]
    reference: Floats
    """Shares, in the weekdays of the window."""
    current: Floats
    """Shares."""
    n_reference: int
    """Effective: as many equally weighted rows tell as much; see `effective_size`."""
    n_current: int


def sides(reference: Profile, window: DailyCounts, feature: str) -> Sides | None:
    """
    Return both sides of a number, a category or an activity; None when one of them has no row.

    A window of a few days has other weekdays than the reference, so each weekday of the reference weighs as much as it
    does in the window, as far as it has rows to speak for itself: n of its rows count n / (n + 100), and the rest is
    read from all days of the reference. So are the days of a weekday that it lacks.
    """
    before = reference.counts.get(feature, {})
    after = by_weekday(window, (feature,))[feature]
    if feature == WEEKDAY:
        return _weekdays(reference, window, after)
    ruler = reference.ruler
    if not before or not after:
        return None
    # What lies outside and what is missing come last, so that numbers stay in their order.
    bins = range(ruler.bins(feature)) if feature in ruler.edges else range(1, ruler.bins(feature))
    places = (*bins, MISSING) if feature in ruler.edges else (*bins, OUTSIDE, MISSING)
    position = {place: n for n, place in enumerate(places)}
    old = {each: _row(counts, position) for each, counts in before.items()}
    new = {each: _row(counts, position) for each, counts in after.items()}
    rows = {each: float(row.sum()) for each, row in old.items() if row.sum()}
    asked = {each: float(row.sum()) for each, row in new.items()}
    n_current = int(sum(asked.values()))
    if not rows or not n_current:
        return None
    weights = _weights(rows, asked)
    expected = sum((weights[each] * shares(old[each]) for each in rows), np.zeros(len(places)))
    current = shares(sum(new.values(), np.zeros(len(places))))
    return Sides(places, shares(expected), current, effective_size([*weights.values()], [*rows.values()]), n_current)


def newcomers(reference: Profile, window: DailyCounts, feature: str, *, cutoff: int) -> Sides | None:
    """
    Return the shares of known and new, expected and found, of `new_people` or `new_items`; None without any row.

    New is what was first seen at or after *cutoff* (days since 1970-01-01), so its share grows with the age of the
    model in any shop. Expected is what was as young as that in the reference: of the rows of a day that is n days after
    the cutoff, the share whose person or item had been first seen at most n days earlier, as far back as the history
    before the reference tells.
    """
    tenure = reference.tenure.get(feature, {}) if reference.history > 0 else {}
    total = sum(tenure.values())
    if not total:
        return None
    expected = found = rows = 0.0
    for day, counted in window.items():
        bins = counted.get(feature, {})
        on_day = sum(bins.values())
        age = min(day - cutoff, reference.history - 1)
        young = sum(count for days, count in tenure.items() if days <= age)
        expected += on_day * young / total
        found += bins.get(1, 0)
        rows += on_day
    if not rows:
        return None
    left, right = np.array([rows - expected, expected]), np.array([rows - found, found])
    return Sides((0, 1), shares(left), shares(right), total, int(rows))


def compare(reference: Profile, window: DailyCounts, features: Sequence[str], *, cutoff: int) -> list[FeatureDrift]:
    """Return how far each of *features* of the days of *window* is from *reference*, whose days end before *cutoff*."""
    return [_moved(reference, window, name, cutoff) for name in features]


def deciles(places: Sequence[int], reference: Floats) -> NDArray[np.int64]:
    """Group fine bins to deciles of the reference by the middle of each bin's cumulative share; missing is the last."""
    known = np.where(np.asarray(places) == MISSING, 0.0, reference)
    middle = np.cumsum(shares(known)) - shares(known) / 2
    tenths = np.minimum((middle * DECILES).astype(np.int64), DECILES - 1)
    return np.where(np.asarray(places) == MISSING, DECILES, tenths)


def _moved(reference: Profile, window: DailyCounts, name: str, cutoff: int) -> FeatureDrift:
    if name in (NEW_PEOPLE, NEW_ITEMS):
        both = newcomers(reference, window, name, cutoff=cutoff)
        if both is None:
            return FeatureDrift(name=name)
        rise = float(both.current[1] - both.reference[1])
        return FeatureDrift(name=name, new=rise, n_reference=both.n_reference, n_current=both.n_current)
    both = sides(reference, window, name)
    if both is None:
        return FeatureDrift(name=name)
    before, after = both.reference, both.current
    ks = new = None
    if name in reference.ruler.edges:
        if before[:-1].sum() and after[:-1].sum():
            ks = kolmogorov_smirnov(before[:-1], after[:-1])
        group = deciles(both.places, before)
        before, after = (np.bincount(group, side).astype(np.float64) for side in (before, after))
    elif name in reference.ruler.names:
        new = float(after[-2] - before[-2])
    missing = None if name == WEEKDAY else float(abs(both.current[-1] - both.reference[-1]))
    return FeatureDrift(
        name=name,
        n_reference=both.n_reference,
        n_current=both.n_current,
        groups=int(((before > 0) | (after > 0)).sum()),
        ks=ks,
        psi=population_stability(before, after),
        missing=missing,
        new=new,
    )


def _weights(rows: Mapping[int, float], asked: Mapping[int, float]) -> dict[int, float]:
    """Return what the *rows* of each weekday of the reference weigh when a window has *asked* rows of each; sum 1."""
    everything = sum(asked.values())
    own = {each: asked.get(each, 0.0) / everything * n / (n + _PRIOR) for each, n in rows.items()}
    rest, total = 1 - sum(own.values()), sum(rows.values())
    return {each: weight + rest * rows[each] / total for each, weight in own.items()}


def _weekdays(reference: Profile, window: DailyCounts, after: Mapping[int, Counts]) -> Sides | None:
    """
    The weekdays of a window are given; what can drift is how many events each of its days has beside the others.

    As in `sides`, the days of a weekday whose rows are few, or would be if it were like the others, are read from all.
    """
    rows = {each: float(sum(counts.values())) for each, counts in reference.counts.get(WEEKDAY, {}).items()}
    total, every_day = sum(rows.values()), sum(reference.days.values())
    found = {each: float(sum(counts.values())) for each, counts in after.items()}
    if not total or not every_day or not found:
        return None
    mean = total / every_day
    places = tuple(sorted(found))
    usual, read_from_all = np.zeros(len(places)), 0.0
    weights = dict.fromkeys(rows, 0.0)
    for n, place in enumerate(places):
        days, known = sum(weekday(day) == place for day in window), reference.days.get(place, 0)
        own = known * mean / (known * mean + _PRIOR)
        of_its_own = days * own * rows.get(place, 0.0) / known if known else 0.0
        usual[n] = of_its_own + days * (1 - own) * mean
        read_from_all += days * (1 - own) * mean
        weights[place] = of_its_own
    weights = {each: weight + read_from_all * rows.get(each, 0.0) / total for each, weight in weights.items()}
    told = np.array([*weights.values()]) / usual.sum()
    n_reference = effective_size(told, [rows.get(each, 0.0) for each in weights])
    now = np.array([found[place] for place in places])
    return Sides(places, shares(usual), shares(now), n_reference, int(now.sum()))


def _row(counts: Counts, position: Mapping[int, int]) -> Floats:
    row = np.zeros(len(position))
    for place, count in counts.items():
        row[position[place]] += count
    return row
