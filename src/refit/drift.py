"""Drift: how far two profiles are apart, and whether that is far enough to retrain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from refit.config import Drift
from refit.errors import ConfigurationError
from refit.profiles import NULL, Profile
from refit.verdicts import Measure, Verdict

_EMPTY = 1e-4
"""Share given to an empty bin, so that its logarithm is finite."""
_DECILES = 10


def kolmogorov_smirnov(reference: Sequence[float], current: Sequence[float]) -> float:
    """
    Return the largest distance between the two cumulative distributions; both arguments count the same ordered bins.

    Half and half against a quarter and three quarters: |0.5 - 0.25|.

    >>> kolmogorov_smirnov([2, 2], [1, 3])
    0.25
    """
    return float(np.abs(np.cumsum(_shares(reference)) - np.cumsum(_shares(current))).max())


def population_stability(reference: Sequence[float], current: Sequence[float]) -> float:
    """
    Return the population stability index, sum of (r - c) * ln(r / c) over shares r and c of the same bins.

    Half and half against a quarter and three quarters: 0.25 ln 2 - 0.25 ln(2/3) = 0.25 ln 3.

    >>> round(population_stability([2, 2], [1, 3]), 6)
    0.274653
    """
    r, c = np.maximum(_shares(reference), _EMPTY), np.maximum(_shares(current), _EMPTY)
    return float(((r - c) * np.log(r / c)).sum())


@dataclass(frozen=True, kw_only=True)
class FeatureDrift:
    """How one feature has moved."""

    name: str
    ks: float | None
    """None for a category."""
    psi: float | None
    """None when either side has nothing."""
    n_reference: int
    n_current: int


def compare(reference: Profile, current: Profile) -> list[FeatureDrift]:
    """Return the movement of every feature that both profiles count; the policy may have dropped one since."""
    moved = []
    for name, before in reference.counts.items():
        if name not in current.counts:
            continue
        after = current.counts[name]
        n_before, n_after = sum(before.values()), sum(after.values())
        ks = psi = None
        if n_before and n_after:
            if name in reference.edges:
                bins = [str(n) for n in range(len(reference.edges[name]) + 1)]
                r, c = [before.get(b, 0) for b in bins], [after.get(b, 0) for b in bins]
                if sum(r) and sum(c):
                    ks = kolmogorov_smirnov(r, c)
                tenths = _tenths(np.asarray(r, dtype=float))
                psi = population_stability(
                    [*np.bincount(tenths, r, _DECILES), before.get(NULL, 0)],
                    [*np.bincount(tenths, c, _DECILES), after.get(NULL, 0)],
                )
            else:
                names = sorted({*before, *after})
                psi = population_stability([before.get(b, 0) for b in names], [after.get(b, 0) for b in names])
        moved.append(FeatureDrift(name=name, ks=ks, psi=psi, n_reference=n_before, n_current=n_after))
    return moved


def judge_drift(
    features: Sequence[FeatureDrift], policy: Drift, *, cutoff: datetime, as_of: datetime, forced: str | None
) -> Verdict:
    """
    Return `retrain`, `skip` or `refuse`, with every statistic, its sample size and its limit.

    *cutoff* is the champion's; *forced* is who demands a retraining and why.
    """
    measures: list[Measure] = []
    beyond = []
    for feature in features:
        parts = [("psi", feature.psi, policy.psi_limit)]
        if feature.name in policy.numbers:
            parts.insert(0, ("ks", feature.ks, policy.ks_limit))
        for statistic, value, limit in parts:
            within = value is not None and value <= limit
            measures.append(
                Measure(
                    name=f"{feature.name}.{statistic}",
                    value=value,
                    limit=limit,
                    n=feature.n_current,
                    passed=within,
                )
            )
            if value is not None and not within:
                beyond.append(f"{feature.name}: {statistic} {value:.3f} > {limit:g} (n {feature.n_current:,})")
    moved = {text.split(":")[0] for text in beyond}
    share = len(moved) / len(features) if features else 0.0
    age = (as_of - cutoff).total_seconds() / 86_400
    n = min((min(f.n_reference, f.n_current) for f in features), default=0)
    measures.append(
        Measure(
            name="share_moved",
            value=share,
            limit=policy.share_limit,
            n=len(features),
            passed=share < policy.share_limit,
        )
    )
    measures.append(
        Measure(name="age_days", value=age, limit=policy.max_age_days, n=1, passed=age <= policy.max_age_days)
    )
    reasons = []
    if forced:
        reasons.append(f"forced by {forced}")
    if age > policy.max_age_days:
        reasons.append(f"the champion's training ended {age:.0f} days ago, {policy.max_age_days} are allowed")
    if n < policy.min_rows:
        if not reasons:
            reasons.append(
                f"too little data to tell: {n:,} events on the smaller side, {policy.min_rows:,} are needed; "
                "land more days, or force the retraining"
            )
            return Verdict(gate="drift", decision="refuse", measures=tuple(measures), reasons=tuple(reasons))
    elif share >= policy.share_limit:
        reasons.append(f"{len(moved)} of {len(features)} features moved beyond their limits: {'; '.join(beyond)}")
    if reasons:
        return Verdict(gate="drift", decision="retrain", measures=tuple(measures), reasons=tuple(reasons))
    quiet = (
        f"{len(moved)} of {len(features)} features moved beyond their limits ({'; '.join(beyond) or 'none'}), "
        f"fewer than the share of {policy.share_limit:g} that asks for a retraining"
    )
    young = f"the champion's training ended {age:.0f} days ago, {policy.max_age_days} are allowed"
    return Verdict(gate="drift", decision="skip", measures=tuple(measures), reasons=(quiet, young))


def statistics_of(verdict: Verdict) -> dict[str, float | None]:
    """Return every measured number by its name."""
    return {measure.name: measure.value for measure in verdict.measures}


def forced_by(force: bool, reason: str, requested_by: str) -> str | None:
    """Return who demands a retraining and why, or None; ConfigurationError when force and reason do not go together."""
    if force and not reason.strip():
        raise ConfigurationError("force=true needs a reason; say why in the parameter `reason`")
    if reason.strip() and not force:
        raise ConfigurationError("a reason is given but force is not set; set force=true, or leave the reason out")
    return f"{requested_by or 'an unnamed person'}: {reason.strip()}" if force else None


def first_training(forced: str | None) -> Verdict:
    """Return the verdict when there is no champion to compare with."""
    reasons = ["there is no champion yet"] + ([f"forced by {forced}"] if forced else [])
    return Verdict(gate="drift", decision="retrain", measures=(), reasons=tuple(reasons))


def _shares(counts: Sequence[float]) -> NDArray[np.float64]:
    values = np.asarray(counts, dtype=np.float64)
    total = values.sum()
    return values / total if total else values


def _tenths(reference: NDArray[np.float64]) -> NDArray[np.int64]:
    """Group fine bins to deciles of the reference by the middle of each bin's cumulative share."""
    shares = _shares(list(reference))
    middle = np.cumsum(shares) - shares / 2
    return np.minimum((middle * _DECILES).astype(np.int64), _DECILES - 1)
