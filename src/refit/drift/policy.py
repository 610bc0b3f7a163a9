"""The drift policy: which days are compared, and whether they are reason enough to retrain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from refit.config import Drift
from refit.drift.profiles import DailyCounts, Profile
from refit.drift.statistics import FeatureDrift, compare
from refit.errors import ConfigurationError
from refit.verdicts import Measure, Verdict

STATISTICS: tuple[Literal["ks", "psi", "missing", "new"], ...] = ("ks", "psi", "missing", "new")
_NOISE = 0.25
"""Largest share of the index's limit that sampling noise may use: two samples of one distribution have an expected
index of (groups - 1) * (1 / n + 1 / m)."""


@dataclass(frozen=True)
class Window:
    """Consecutive days with events, and their distance from the reference."""

    first: int
    """Days since 1970-01-01."""
    last: int
    features: tuple[FeatureDrift, ...]


def split_windows(days: Iterable[int], drift: Drift) -> list[list[int]]:
    """
    Return up to `drift.windows` times `drift.window_days` of the *days* with events, the newest window first.

    Days without events do not count, so that a holiday does not empty a window. Only the newest window may be shorter,
    if there are too few days for one.

    >>> split_windows([1, 2, 4, 5, 6, 9], Drift(windows=3, window_days=2))
    [[6, 9], [4, 5], [1, 2]]
    >>> split_windows([1, 2, 4], Drift(windows=3, window_days=2))
    [[2, 4]]
    """
    size = drift.window_days
    newest = sorted(days, reverse=True)
    whole = [newest[size * n : size * (n + 1)][::-1] for n in range(drift.windows)]
    return [window for n, window in enumerate(whole) if window and (n == 0 or len(window) == size)]


def measure_windows(reference: Profile, daily: DailyCounts, drift: Drift, *, cutoff: int) -> list[Window]:
    """Return the windows of *daily* with their distances from *reference*, newest first; *cutoff* as in `compare`."""
    return [
        Window(
            days[0],
            days[-1],
            tuple(compare(reference, {day: daily[day] for day in days}, drift.features, cutoff=cutoff)),
        )
        for days in split_windows(daily, drift)
    ]


def rows_needed(feature: FeatureDrift, drift: Drift) -> int:
    """Return the number of rows that each side needs before *feature* is judged."""
    noise = (feature.groups - 1) / (_NOISE * drift.limit(feature.name, "psi"))
    return max(drift.min_rows, round(noise))


def judged(feature: FeatureDrift, drift: Drift) -> bool:
    """Return whether both sides of *feature* have enough rows to judge it."""
    return min(feature.n_reference, feature.n_current) >= rows_needed(feature, drift)


def beyond(feature: FeatureDrift, drift: Drift) -> list[str]:
    """Return a short text for each statistic of *feature* that is beyond its limit."""
    words = []
    for statistic in STATISTICS:
        value, limit = getattr(feature, statistic), drift.limit(feature.name, statistic)
        if value is not None and value > limit:
            words.append(f"{feature.name}: {statistic} {value:.3f} > {limit:g} (n {feature.n_current:,})")
    return words


def judge_drift(
    windows: Sequence[Window], drift: Drift, *, cutoff: datetime, as_of: datetime, forced: str | None
) -> Verdict:
    """
    Return `retrain`, `skip` or `refuse`, with every statistic, its sample size and its limit.

    A forced retraining or the champion's age (*cutoff* is its training cutoff) is sufficient alone. Otherwise at least
    `drift.moved_windows` windows must be readable, or the verdict is `refuse`; `skip` if the champion is so young that
    there cannot be as many, or not even one whole window. *forced* says who demands a retraining
    and why.
    """
    age = (as_of - cutoff).total_seconds() / 86_400
    readable = [window for window in windows if _readable(window, drift)]
    moved = [window for window in readable if _share(window, drift) >= drift.share_limit]
    measures = [measure for n, window in enumerate(windows) for measure in _measures(window, drift, n)]
    measures += [
        Measure(
            name="windows_moved",
            value=float(len(moved)) if readable else None,
            limit=float(drift.moved_windows),
            n=len(readable),
            passed=bool(readable) and len(moved) < drift.moved_windows,
        ),
        Measure(name="age_days", value=age, limit=drift.max_age_days, n=1, passed=age <= drift.max_age_days),
    ]

    def verdict(decision: str, *reasons: str) -> Verdict:
        return Verdict(gate="drift", decision=decision, measures=tuple(measures), reasons=reasons)

    asked = [f"forced by {forced}"] if forced else []
    aged = f"the champion's training ended {age:.0f} days ago, {drift.max_age_days} are allowed"
    if age > drift.max_age_days:
        asked.append(aged)
    seen = _sentence(readable, drift)
    enough = len(moved) >= drift.moved_windows
    if asked:
        return verdict("retrain", *asked, *([seen] if enough else []))
    needed = drift.moved_windows * drift.window_days
    if age < drift.window_days or (age < needed and len(readable) < drift.moved_windows):
        return verdict("skip", f"the champion's training ended {age:.0f} days ago, {needed} are compared")
    if len(readable) < drift.moved_windows:
        return verdict("refuse", _too_little(windows, readable, drift))
    if enough and age < drift.min_age_days:
        young = f"the champion's training ended {age:.0f} days ago, fewer than the {drift.min_age_days} it is given"
        return verdict("skip", young, seen)
    return verdict("retrain", seen) if enough else verdict("skip", seen, aged)


def forced_by(force: bool, reason: str, requested_by: str) -> str | None:
    """Return who demands a retraining and why, or None; ConfigurationError if only one of force and reason is given."""
    if force and not reason.strip():
        raise ConfigurationError("force=true needs a reason; say why in the parameter `reason`")
    if reason.strip() and not force:
        raise ConfigurationError("a reason is given but force is not set; set force=true, or leave the reason out")
    return f"{requested_by or 'an unnamed person'}: {reason.strip()}" if force else None


def first_training(forced: str | None) -> Verdict:
    """Return the verdict if there is no champion to compare with."""
    reasons = ["there is no champion yet"] + ([f"forced by {forced}"] if forced else [])
    return Verdict(gate="drift", decision="retrain", measures=(), reasons=tuple(reasons))


def nothing_new(cutoff: datetime) -> Verdict:
    """Return the verdict if the champion has learnt from every day before *cutoff*, the moment of the check."""
    reason = f"the champion has learnt from every day before {cutoff.date()}; nothing is new"
    return Verdict(gate="drift", decision="skip", measures=(), reasons=(reason,))


def forced_training(forced: str) -> Verdict:
    """Return the verdict if a person demands a retraining as of a day with nothing new for the champion."""
    reasons = (f"forced by {forced}", "nothing is compared: the champion has learnt from everything before that day")
    return Verdict(gate="drift", decision="retrain", measures=(), reasons=reasons)


def statistics_of(verdict: Verdict) -> dict[str, float | None]:
    """Return measure name -> value."""
    return {measure.name: measure.value for measure in verdict.measures}


def _readable(window: Window, drift: Drift) -> bool:
    """Whether at least half of the features can be judged, so that a few do not decide for all."""
    return 2 * sum(judged(feature, drift) for feature in window.features) >= len(window.features)


def _share(window: Window, drift: Drift) -> float:
    known = [feature for feature in window.features if judged(feature, drift)]
    return sum(bool(beyond(feature, drift)) for feature in known) / len(known) if known else 0.0


def _measures(window: Window, drift: Drift, back: int) -> list[Measure]:
    end = f".{back}" if back else ""
    measures = []
    for feature in window.features:
        known = judged(feature, drift)
        values: dict[str, float | None] = {name: getattr(feature, name) for name in STATISTICS}
        # A feature without rows on a side appears once, without a value, instead of vanishing.
        for name in [name for name in STATISTICS if values[name] is not None] or STATISTICS[1:2]:
            value, limit = values[name], drift.limit(feature.name, name)
            measures.append(
                Measure(
                    name=f"{feature.name}.{name}{end}",
                    value=value,
                    limit=limit,
                    n=min(feature.n_reference, feature.n_current),
                    passed=known and value is not None and value <= limit,
                )
            )
    share = _share(window, drift) if _readable(window, drift) else None
    n = sum(judged(feature, drift) for feature in window.features)
    within = share is not None and share < drift.share_limit
    return [*measures, Measure(name=f"share_moved{end}", value=share, limit=drift.share_limit, n=n, passed=within)]


def _sentence(readable: Sequence[Window], drift: Drift) -> str:
    parts = []
    for window in readable:
        known = [feature for feature in window.features if judged(feature, drift)]
        words = [", ".join(words) for feature in known if (words := beyond(feature, drift))]
        few = "at least" if len(words) >= drift.share_limit * len(known) else "fewer than"
        parts.append(
            f"{len(words)} of {len(known)} features moved beyond their limits ({'; '.join(words) or 'none'}), "
            f"{few} the share of {drift.share_limit:g} that asks for a retraining"
        )
    if drift.windows == 1:
        return parts[0] if parts else "no window can be read"
    moved = sum(_share(window, drift) >= drift.share_limit for window in readable)
    return (
        f"{moved} of the last {len(readable)} windows of {drift.window_days} days moved, {drift.moved_windows} ask for "
        f"a retraining; the newest first: {'. '.join(parts)}"
    )


def _too_little(windows: Sequence[Window], readable: Sequence[Window], drift: Drift) -> str:
    most = max((feature.n_current for window in windows for feature in window.features), default=0)
    least = min((feature.n_reference for window in windows for feature in window.features), default=0)
    return (
        f"too little data to tell: {len(readable)} of {len(windows)} windows of {drift.window_days} days can be read, "
        f"{drift.moved_windows} are needed; the fullest has {most:,} events against {least:,} of the reference, and a "
        f"feature needs at least {drift.min_rows:,} on both sides; land more days, or force the retraining"
    )
