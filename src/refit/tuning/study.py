"""A study: which settings are tried, in which order and within which budget, and which of them win."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from refit.config import ModelSettings, Range, Tuning
from refit.config.kinds import PARTS_OF, Kind
from refit.errors import NotEnoughDataError
from refit.interfaces import Proposer
from refit.tuning.folds import Fold, mean

DONE, PRUNED, REFUSED = "done", "pruned", "refused"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Settings that were tried, with their scores."""

    number: int
    kind: Kind
    values: Mapping[str, Any]
    """The searched settings by name."""
    scores: Sequence[float]
    """The metric on each fold reached, latest fold first."""
    state: str
    """done, pruned, or refused where the data do not support the settings."""
    why: str = ""
    """Reason for a refusal."""
    run_id: str = ""
    """Run of the tracker that shows it."""

    def as_record(self) -> dict[str, Any]:
        """Return the trial as plain JSON values."""
        return asdict(self)


class TrialStore(Protocol):
    """Stores finished trials, so that a killed study can resume."""

    def read(self) -> list[Trial]:
        """Return the trials so far, in order."""

    def write(self, trial: Trial) -> Trial:
        """Store *trial* and return it with the id of its run."""


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """Result of a study."""

    settings: ModelSettings
    score: float | None
    """Mean of the metric over the folds; None if there was nothing to choose from."""
    trials: Sequence[Trial]
    searched: Sequence[str]
    """Names of the settings that were searched for a model of this kind."""
    stopped: str = ""
    """Why fewer trials than planned were run; empty if all were."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """
    One search: first each kind with its starting settings, then the kinds in turn with proposed settings.

    A proposal depends only on the earlier trials, its number and the seed. A study killed after any trial therefore
    resumes exactly as if it had not been killed, and the same study on the same data finds the same settings; only
    `tuning.seconds` can end two runs at different trials.
    """

    starts: Mapping[Kind, ModelSettings]
    tuning: Tuning
    folds: Callable[[], Sequence[Fold]]
    """Called when the first trial needs the folds."""
    proposer: Proposer
    clock: Callable[[], float] = field(default=time.monotonic)
    """Seconds; used only for the time budget."""

    def run(self, book: TrialStore) -> Tuned:
        """
        Return the settings with the highest mean over the folds; ties go to the earliest trial.

        Raises:
            NotEnoughDataError: no trial could be trained on every fold.
        """
        began = self.clock()
        trials = book.read()
        if self.planned == 1:
            return self._tuned(next(iter(self.starts.values())), None, trials)
        folds: Sequence[Fold] = () if len(trials) >= self.planned else self.folds()
        stopped = ""
        for number in range(len(trials), self.planned):
            # Measure every candidate once regardless of the budget: otherwise there is no choice to make.
            if number >= len(self.starts) and self.clock() - began > self.tuning.seconds:
                stopped = (
                    f"{number:,} of {self.planned:,} trials were run in the {self.tuning.seconds:,.0f} s that "
                    "tuning.seconds allows"
                )
                break
            trials.append(book.write(self._run_trial(number, folds, trials)))
        done = [trial for trial in trials if trial.state == DONE]
        if not done:
            raise NotEnoughDataError(
                f"none of {len(trials)} trials could be trained on every fold; the first said: {trials[0].why}"
            )
        best = max(done, key=lambda trial: mean(trial.scores))
        return self._tuned(self._settings(best.kind, best.values), mean(best.scores), trials, stopped)

    @property
    def planned(self) -> int:
        """Number of trials if time allows: the starting settings and the searched ones."""
        return len(self.starts) + (self.tuning.trials if self._searched else 0)

    @property
    def _searched(self) -> list[Kind]:
        return [kind for kind in self.starts if self.space(kind)]

    def space(self, kind: Kind) -> dict[str, Range]:
        """Return the part of the search space that affects a model of *kind*."""
        return space_of(kind, self.tuning)

    def _run_trial(self, number: int, folds: Sequence[Fold], trials: Sequence[Trial]) -> Trial:
        kind, values = self._next(number, trials)
        scores: list[float] = []
        state, why = DONE, ""
        for at, fold in enumerate(folds):
            try:
                scores.append(fold.score(self._settings(kind, values)))
            except NotEnoughDataError as error:
                state, why = REFUSED, str(error)
                break
            others = [other.scores for other in trials if other.state == DONE]
            last = at == len(folds) - 1
            if self.tuning.prune and not last and self.proposer.is_hopeless(scores, others):
                state = PRUNED
                break
        return Trial(number=number, kind=kind, values=values, scores=scores, state=state, why=why)

    def _next(self, number: int, trials: Sequence[Trial]) -> tuple[Kind, dict[str, Any]]:
        kinds = list(self.starts)
        if number < len(kinds):
            kind = kinds[number]
            return kind, {name: self.starts[kind].value_of(name) for name in self.space(kind)}
        turn = number - len(kinds)
        kind = self._searched[turn % len(self._searched)]
        seen = [(trial.values, _worth(trial, trials)) for trial in trials if trial.kind == kind and trial.scores]
        values = self.proposer.propose(
            self.space(kind),
            seen,
            sampler=self.tuning.sampler,
            number=turn // len(self._searched),
            seed=self.tuning.seed + number,
        )
        return kind, values

    def _tuned(self, settings: ModelSettings, score: float | None, trials: Sequence[Trial], stopped: str = "") -> Tuned:
        searched = sorted(self.space(settings.kind))
        return Tuned(settings=settings, score=score, trials=trials, searched=searched, stopped=stopped)

    def _settings(self, kind: Kind, values: Mapping[str, Any]) -> ModelSettings:
        return self.starts[kind].with_values(values)


def _worth(trial: Trial, trials: Sequence[Trial]) -> float:
    """Return the mean over all folds; for an abandoned trial, corrected by the mean difference of finished trials."""
    reached = len(trial.scores)
    rest = [mean(done.scores) - mean(done.scores[:reached]) for done in trials if done.state == DONE]
    missing = trial.state != DONE and rest
    return mean(trial.scores) + (mean(rest) if missing else 0.0)


def space_of(kind: Kind, tuning: Tuning) -> dict[str, Range]:
    """Return the part of the search space that affects a model of *kind*."""
    return {name: range_ for name, range_ in tuning.space.items() if name.split(".")[0] in PARTS_OF[kind]}
