"""Compares models: every metric with its interval, over all judged people and in each cohort."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refit.config import Evaluation, Promotion
from refit.evaluation.baselines import PairSample
from refit.evaluation.beyond_accuracy import coverage, diversity, gini, novelty, popularity_lift, shown
from refit.evaluation.cohorts import cohorts
from refit.evaluation.holdout_lists import CHALLENGER, CHAMPION, POPULARITY, Judged
from refit.evaluation.intervals import Interval, bootstrap
from refit.evaluation.metrics import METRICS
from refit.evaluation.ratings import RatingErrors, compare_ratings
from refit.model.item_factors import ItemFactors

_DIVERSE = 2_000
"""Number of lists sampled for diversity; the mean is then accurate to about a hundredth of the spread."""


@dataclass(frozen=True)
class Cohort:
    """One cohort of the judged people."""

    people: int
    rival: str
    """Model that the challenger is compared with: the champion, or popularity before there is one."""
    rival_mean: float
    """Mean of the rival in the deciding metric."""
    differences: Mapping[str, Interval] = field(default_factory=dict)
    """Metric -> challenger - rival; empty if the cohort is too small to be judged."""


@dataclass(frozen=True)
class Lists:
    """Properties of the lists of one model; see `refit.evaluation.beyond_accuracy`."""

    coverage: float
    gini: float
    novelty: float
    popularity_lift: float
    diversity: float | None = None
    """None if no pairs were available."""


@dataclass(frozen=True)
class Everybody:
    """Means over all people who wanted something; people and items unknown to the training set count as missed."""

    people: int
    """Number of people who wanted something they had not bought before."""
    judges: int
    """Number of them in the holdout; `Comparison.people` is at most this."""
    asked: Mapping[str, int]
    """Counts of people and items left out; see `refit.training.holdout_coverage.count_asked`."""
    metrics: Mapping[str, Mapping[str, float]]
    """Model -> metric@k."""

    def means(self, k: int) -> dict[str, dict[str, float]]:
        """Return model -> metric -> mean at length *k*."""
        return {model: {metric: found[f"{metric}@{k}"] for metric in METRICS} for model, found in self.metrics.items()}


@dataclass(frozen=True)
class Comparison:
    """All measurements on the judged people."""

    people: int
    k: int
    level: float
    cohort_level: float
    """Level of the cohort intervals, so that all hold simultaneously with *level* (Bonferroni)."""
    metrics: Mapping[str, Mapping[str, Interval]]
    """Model -> metric@k -> mean over people."""
    against: Mapping[str, Mapping[str, Interval]]
    """Rival -> metric@k -> challenger - rival, paired."""
    cohorts: Mapping[str, Cohort]
    lists: Mapping[str, Lists]
    """Model -> properties of its lists at the deciding length."""
    ratings: RatingErrors | None = None
    """Errors of predicted ratings; None in a shop without ratings."""
    everybody: Everybody | None = None
    """None for an older training set, which does not count what its holdout leaves out."""

    def mean(self, model: str, metric: str) -> float:
        """Return the mean of one metric at the deciding length; 0 without judged people."""
        found = self.metrics[model].get(f"{metric}@{self.k}")
        return found.mean if found else 0.0

    def means(self) -> dict[str, dict[str, float]]:
        """Return model -> metric -> mean at the deciding length."""
        return {model: {metric: self.mean(model, metric) for metric in METRICS} for model in self.metrics}

    def as_record(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        return asdict(self)


def compare(
    judged: Judged,
    challenger: ItemFactors,
    settings: Evaluation,
    policy: Promotion,
    *,
    everybody: int,
    sample: PairSample | None = None,
    asked: Mapping[str, int] | None = None,
    judges: int = 0,
) -> Comparison:
    """
    Return the comparison of the models of *judged* with their intervals.

    *everybody* is the number of people in the training set and *sample* its pairs, or some of them. *asked* counts what
    the holdout leaves out, and *judges* is the number of people in it. All metrics of all models and all differences
    are resampled together: each resample is one draw of people.
    """
    keys = [f"{metric}@{k}" for k in judged.lengths for metric in METRICS]
    values = {model: _values(judged, model) for model in judged.hits}
    rivals = [model for model in values if model != CHALLENGER]
    columns = [*values.values(), *(values[CHALLENGER] - values[rival] for rival in rivals)]
    draws = {"resamples": settings.resamples, "seed": settings.seed}
    intervals: list[Interval] = []
    if judged.people:
        intervals = bootstrap(np.concatenate(columns, axis=1), level=settings.level, **draws)
    named = [dict(zip(keys, intervals[n * len(keys) : (n + 1) * len(keys)], strict=False)) for n in range(len(columns))]
    parts = cohorts(judged.described, new_days=settings.new_days, most_values=settings.most_values)
    large = [name for name, mask in parts.items() if mask.sum() >= policy.cohort_people]
    level = 1 - (1 - settings.level) / max(len(large), 1)
    rival = CHAMPION if CHAMPION in values else POPULARITY
    deciding = [keys.index(f"{metric}@{judged.k}") for metric in METRICS]
    apart = (values[CHALLENGER] - values[rival])[:, deciding]
    reached = values[rival][:, keys.index(f"{policy.metric}@{judged.k}")]
    found = {}
    for name, mask in parts.items():
        differences = bootstrap(apart[mask], level=level, **draws) if name in large else []
        found[name] = Cohort(
            people=int(mask.sum()),
            rival=rival,
            rival_mean=float(reached[mask].mean()),
            differences=dict(zip(METRICS, differences, strict=False)),
        )
    return Comparison(
        people=judged.people,
        k=judged.k,
        level=settings.level,
        cohort_level=level,
        metrics=dict(zip(values, named, strict=False)),
        against=dict(zip(rivals, named[len(values) :], strict=True)),
        cohorts=found,
        lists={model: _lists(judged, model, challenger, settings, everybody, sample) for model in judged.lists},
        everybody=None if asked is None or judged.wanted is None else _over_all(judged, asked, judges),
        ratings=None if judged.ratings is None else compare_ratings(judged.ratings, level=settings.level, **draws),
    )


def _over_all(judged: Judged, asked: Mapping[str, int], holdout_people: int) -> Everybody:
    people = asked["people"]
    share = holdout_people / people if people else 0.0
    return Everybody(
        people=people,
        judges=holdout_people,
        asked=dict(asked),
        metrics={
            model: {
                f"{metric}@{k}": judged.mean_over_all(model, metric, k, share=share)
                for k in judged.lengths
                for metric in METRICS
            }
            for model in judged.hits
        },
    )


def _values(judged: Judged, model: str) -> NDArray[np.float64]:
    """Return people x (lengths x metrics)."""
    found = [judged.values(model, metric, k) for k in judged.lengths for metric in METRICS]
    return np.stack(found, axis=1)


def _lists(
    judged: Judged,
    model: str,
    challenger: ItemFactors,
    settings: Evaluation,
    everybody: int,
    sample: PairSample | None,
) -> Lists:
    lists = judged.lists[model][:, : judged.k]
    counts = shown(lists, len(judged.items))
    varied = None
    if sample is not None and judged.people:
        some = np.random.default_rng(settings.seed).permutation(judged.people)[:_DIVERSE]
        varied = diversity(lists[np.sort(some)], sample.confidences)
    return Lists(
        coverage=coverage(counts),
        gini=gini(counts),
        novelty=novelty(lists, challenger.people, max(everybody, 1)),
        popularity_lift=popularity_lift(lists, challenger.people, judged.past),
        diversity=varied,
    )
