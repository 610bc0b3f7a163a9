"""Drift statistics: the distance of the days since a training cutoff from the profile of the days before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refit.drift.features import NEW_ITEMS, NEW_PEOPLE, WEEKDAY
from refit.drift.profiles import MISSING, OUTSIDE, Counts, DailyCounts, Profile, by_weekday, weekday

_EMPTY = 1e-4
"""Share assigned to an empty bin, so that its logarithm is finite."""
DECILES = 10
_PRIOR = 100
"""Prior weight of all days in each weekday's distribution, in rows; a weekday with few rows follows all days."""

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
    Return the effective sample size of a sum, weighted with *weights*, of the shares of groups of *rows* rows.

    A share p of n rows has the variance p (1 - p) / n, so the weighted sum has p (1 - p) times sum(w^2 / n). Weights
    sum to 1, and a group without rows has weight 0.

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
    """The distance of one feature of a window from the reference."""

    name: str
    n_reference: int = 0
    """Effective number of reference rows: of events, or of person-days."""
    n_current: int = 0
    groups: int = 1
    """Number of groups in the index; more groups need more rows."""
    ks: float | None = None
    """None for features without an order, and if a side has no known value."""
    psi: float | None = None
    """None if a side has no row, and for newcomers."""
    missing: float | None = None
    """Change of the share of missing values, up or down."""
    new: float | None = None
    """Increase of the share outside the model's data; negative if it fell. None for numbers."""


@dataclass(frozen=True)
class Sides:
    """One feature of the reference and of a window in the same bins."""

    places: tuple[int, ...]
    reference: Floats
    """Shares, reweighted to the weekdays of the window."""
    current: Floats
    """Shares."""
    n_reference: int
    """Effective number of reference rows; see `effective_size`."""
    n_current: int


def sides(reference: Profile, window: DailyCounts, feature: str) -> Sides | None:
    """
    Return both sides of a number, a category or an activity; None if one side has no row.

    A window of a few days has another mix of weekdays than the reference, so each weekday of the reference is weighted
    as in the window. A weekday with n rows keeps n / (n + 100) of its weight; the rest goes to all days of the
    reference, as does the weight of weekdays that the reference lacks.
    """
    before = reference.counts.get(feature, {})
    after = by_weekday(window, (feature,))[feature]
    if feature == WEEKDAY:
        return _weekdays(reference, window, after)
    binning = reference.ruler
    if not before or not after:
        return None
    # OUTSIDE and MISSING come last, so that numbers keep their order.
    bins = range(binning.bins(feature)) if feature in binning.edges else range(1, binning.bins(feature))
    codes = (*bins, MISSING) if feature in binning.edges else (*bins, OUTSIDE, MISSING)
    position = {code: n for n, code in enumerate(codes)}
    old = {each: _row(counts, position) for each, counts in before.items()}
    new = {each: _row(counts, position) for each, counts in after.items()}
    rows = {each: float(row.sum()) for each, row in old.items() if row.sum()}
    asked = {each: float(row.sum()) for each, row in new.items()}
    n_current = int(sum(asked.values()))
    if not rows or not n_current:
        return None
    weights = _weights(rows, asked)
    expected = sum((weights[each] * shares(old[each]) for each in rows), np.zeros(len(codes)))
    current = shares(sum(new.values(), np.zeros(len(codes))))
    return Sides(codes, shares(expected), current, effective_size([*weights.values()], [*rows.values()]), n_current)


def newcomers(reference: Profile, window: DailyCounts, feature: str, *, cutoff: int) -> Sides | None:
    """
    Return the expected and observed shares of known and new, for `new_people` or `new_items`; None without any row.

    New means first seen at or after *cutoff* (days since 1970-01-01), so the share grows with the model's age in any
    shop. The expected share comes from the reference: for a day n days after the cutoff, it is the share of reference
    rows whose person or item was first seen at most n days earlier, limited by the history before the reference.
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
    """Return the distance of each of *features* in *window* from *reference*, whose days end before *cutoff*."""
    return [_moved(reference, window, name, cutoff) for name in features]


def deciles(places: Sequence[int], reference: Floats) -> NDArray[np.int64]:
    """Group fine bins into deciles of the reference by each bin's mid cumulative share; missing values come last."""
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
    """Return the weight of each weekday with *rows* reference rows for a window with *asked* rows; the sum is 1."""
    everything = sum(asked.values())
    own = {each: asked.get(each, 0.0) / everything * n / (n + _PRIOR) for each, n in rows.items()}
    rest, total = 1 - sum(own.values()), sum(rows.values())
    return {each: weight + rest * rows[each] / total for each, weight in own.items()}


def _weekdays(reference: Profile, window: DailyCounts, after: Mapping[int, Counts]) -> Sides | None:
    """
    Return both sides of the weekdays: the window's weekdays are given, so what can drift is each one's share of events.

    As in `sides`, a weekday with few rows, or with few expected rows, is partly estimated from all days.
    """
    rows = {each: float(sum(counts.values())) for each, counts in reference.counts.get(WEEKDAY, {}).items()}
    total, every_day = sum(rows.values()), sum(reference.days.values())
    found = {each: float(sum(counts.values())) for each, counts in after.items()}
    if not total or not every_day or not found:
        return None
    mean = total / every_day
    weekdays = tuple(sorted(found))
    usual, read_from_all = np.zeros(len(weekdays)), 0.0
    weights = dict.fromkeys(rows, 0.0)
    for n, weekday_number in enumerate(weekdays):
        days, known = sum(weekday(day) == weekday_number for day in window), reference.days.get(weekday_number, 0)
        own = known * mean / (known * mean + _PRIOR)
        of_its_own = days * own * rows.get(weekday_number, 0.0) / known if known else 0.0
        usual[n] = of_its_own + days * (1 - own) * mean
        read_from_all += days * (1 - own) * mean
        weights[weekday_number] = of_its_own
    weights = {each: weight + read_from_all * rows.get(each, 0.0) / total for each, weight in weights.items()}
    normalised = np.array([*weights.values()]) / usual.sum()
    n_reference = effective_size(normalised, [rows.get(each, 0.0) for each in weights])
    now = np.array([found[weekday_number] for weekday_number in weekdays])
    return Sides(weekdays, shares(usual), shares(now), n_reference, int(now.sum()))


def _row(counts: Counts, position: Mapping[int, int]) -> Floats:
    row = np.zeros(len(position))
    for code, count in counts.items():
        row[position[code]] += count
    return row
