"""Optuna: which settings to try next and which trials to give up; the only file that knows it."""

from __future__ import annotations

import itertools
import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import create_trial

from refit.config.tuning import Range, plain

_FIRST = 8
"""Random trials before the estimator is used; pruning starts after half of them."""

optuna.logging.set_verbosity(logging.WARNING)


class OptunaProposer:
    """
    Proposals by grid, at random, or by a tree-structured Parzen estimator (Bergstra et al. 2011).

    It is stateless: each call rebuilds a study from the given trials, which takes milliseconds, so that the result
    depends on the arguments alone.
    """

    def propose(
        self,
        space: Mapping[str, Range],
        seen: Sequence[tuple[Mapping[str, Any], float]],
        *,
        sampler: str,
        number: int,
        seed: int,
    ) -> dict[str, Any]:
        """Return a value for each name of *space*; for a grid its point *number*, modulo the size of the grid."""
        if sampler == "grid":
            points = list(itertools.product(*(range_.ends for range_ in space.values())))
            return dict(zip(space, points[number % len(points)], strict=True))
        distributions = {name: _distribution(range_) for name, range_ in space.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            chosen: optuna.samplers.BaseSampler = (
                optuna.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=_FIRST)
                if sampler == "tpe"
                else optuna.samplers.RandomSampler(seed=seed)
            )
        study = optuna.create_study(direction="maximize", sampler=chosen)
        for values, score in seen:
            if all(_holds(distributions[name], values[name]) for name in distributions):
                study.add_trial(create_trial(params=dict(values), distributions=distributions, value=score))
        return dict(study.ask(distributions).params)

    def is_hopeless(self, scores: Sequence[float], others: Sequence[Sequence[float]]) -> bool:
        """Return whether the mean of *scores* is below the median of the means of the *others* after as many folds."""
        study = optuna.create_study(
            direction="maximize", pruner=optuna.pruners.MedianPruner(n_startup_trials=_FIRST // 2)
        )
        for other in others:
            study.add_trial(
                create_trial(value=_running(other)[-1], intermediate_values=dict(enumerate(_running(other))))
            )
        trial = study.ask()
        for fold, value in enumerate(_running(scores)):
            trial.report(value, fold)
        return bool(trial.should_prune())


def _running(scores: Sequence[float]) -> list[float]:
    return [sum(scores[: n + 1]) / (n + 1) for n in range(len(scores))]


def _distribution(range_: Range) -> BaseDistribution:
    if range_.choices:
        return CategoricalDistribution([plain(value) for value in range_.choices])
    low, high = range_.ends
    if range_.whole:
        return IntDistribution(low, high, log=range_.log)
    return FloatDistribution(low, high, log=range_.log)


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    """Return whether *distribution* contains *value*; settings of a champion may lie outside today's space."""
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except (ValueError, TypeError):
        return False
