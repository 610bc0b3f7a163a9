"""
Replays: what a drift policy would have done on past weeks, and what each of its decisions was worth.

Each policy has its own champion. When it asks for a retraining, the promotion gate judges the new model, and a proposed
model becomes champion, as if a person approved every proposal. A retraining is needless if the gate refuses it or the
new model is hardly better than the old one on the following days. It is missed if the model would have been proposed
and better, but the policy did not retrain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from refit.config import Drift, Shop
from refit.errors import NotEnoughDataError
from refit.verdicts import Verdict

ALWAYS, NEVER, CONFIGURED = "always", "never", "configured"


@dataclass(frozen=True)
class BacktestStep:
    """One step of a replay."""

    as_of: datetime
    cutoff: datetime
    """Training ends here; the days from here to *as_of* are the holdout of the promotion gate."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds of one retraining."""

    training: float
    tuning: float

    @property
    def whole(self) -> float:
        """Sum of both."""
        return self.training + self.tuning


class History(Protocol):
    """What a replay needs of the past; `refit.backtest.lake_history.LakeHistory` implements it on the lake."""

    moments: Sequence[BacktestStep]

    def verdict(self, champion: int, step: int, drift: Drift) -> Verdict:
        """Return the verdict of a check at *step* while the model trained at *champion* serves."""

    def gates(self, step: int, champions: Iterable[int | None]) -> dict[int | None, Verdict]:
        """Return champion (None: there is none) -> the promotion gate's verdict on the model trained at *step*."""

    def cost(self, step: int) -> Cost:
        """Return the cost of a retraining at *step*."""

    def quality(self, step: int, trained: Iterable[int], days: int) -> dict[int, float]:
        """Return step of training -> the metric on the *days* days after *step*."""

    def judgeable(self, days: int) -> list[int]:
        """Return the steps followed by at least *days* landed days."""


def backtest_steps(since: datetime, until: datetime, every: timedelta, shop: Shop) -> list[BacktestStep]:
    """Return the steps from *since* to *until* inclusive, *every* apart."""
    held = timedelta(days=shop.training.holdout_days)
    count = int((until - since) / every) + 1
    return [BacktestStep(since + n * every, since + n * every - held) for n in range(count)]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What one policy did at one step."""

    step: int
    champion: int
    """Step at which the champion before this step was trained."""
    decision: str
    """Decision of the drift gate: retrain, skip or refuse."""
    proposed: bool
    """Whether the promotion gate proposes the model trained at this step, even if the policy does not retrain."""

    @property
    def promoted(self) -> bool:
        """Whether the step produced a new champion."""
        return self.decision == "retrain" and self.proposed

    @property
    def serves(self) -> int:
        """Step at which the model serving from here on was trained."""
        return self.step if self.promoted else self.champion


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a policy did over a replay, with its quality and cost."""

    policy: str
    steps: int
    """Checks with a champion to compare with."""
    retrained: int
    promoted: int
    """Retrainings whose model the promotion gate proposed."""
    refused: int
    """Checks that the drift gate refused for lack of data."""
    judged: int
    """Steps followed by enough days to judge a new model."""
    needless: int
    """Judged retrainings whose model was not promoted or gained no more than the margin."""
    missed: int
    """Judged steps without a retraining whose model would have been proposed and gained more than the margin."""
    quality: float
    """Mean metric over the judged steps, each with the model that the policy served then."""
    training_seconds: float
    tuning_seconds: float
    saved: float
    """Share of seconds saved compared with retraining at every step."""


@dataclass(frozen=True, kw_only=True)
class Halves:
    """Earlier steps for choosing a policy, and later steps for reporting the choice."""

    first: frozenset[int]
    second: frozenset[int]

    @classmethod
    def of(cls, steps: Sequence[int], judged: Sequence[int], at: Sequence[BacktestStep], days: int) -> Halves:
        """
        Return both halves of *steps*, split at the middle of the *judged* ones; both arguments ascend.

        A step whose following *days* days reach into the second half belongs to neither, so no day counts in both.
        """
        if len(judged) < 2:
            return cls(first=frozenset(), second=frozenset())
        middle = judged[len(judged) // 2]
        ends = at[middle].as_of - timedelta(days=days)
        return cls(
            first=frozenset(step for step in steps if at[step].as_of <= ends),
            second=frozenset(step for step in steps if step >= middle),
        )


def score(
    policy: str,
    choices: Iterable[Choice],
    quality: Mapping[int, Mapping[int, float]],
    costs: Mapping[int, Cost],
    *,
    margin: float,
) -> Score:
    """
    Return the score of *choices*.

    *quality* is step -> step of training -> metric on the days after the step, without steps that cannot be judged;
    *costs* are the costs of a retraining at each step. Gains and *margin* are shares of the champion's metric.
    """
    made = list(choices)
    needless = missed = 0
    qualities = []
    for choice in made:
        if choice.step not in quality:
            continue
        old, new = (quality[choice.step][trained] for trained in (choice.champion, choice.step))
        gains = choice.proposed and new > old * (1 + margin)
        retrained = choice.decision == "retrain"
        needless += retrained and not gains
        missed += gains and not retrained
        qualities.append(quality[choice.step][choice.serves])
    retraining_costs = [costs[choice.step] for choice in made if choice.decision == "retrain"]
    everything = sum(costs[choice.step].whole for choice in made)
    return Score(
        policy=policy,
        steps=len(made),
        retrained=len(retraining_costs),
        promoted=sum(choice.promoted for choice in made),
        refused=sum(choice.decision == "refuse" for choice in made),
        judged=len(qualities),
        needless=needless,
        missed=missed,
        quality=sum(qualities) / len(qualities) if qualities else 0.0,
        training_seconds=sum(cost.training for cost in retraining_costs),
        tuning_seconds=sum(cost.tuning for cost in retraining_costs),
        saved=1 - sum(cost.whole for cost in retraining_costs) / everything if everything else 0.0,
    )


def choose(scores: Sequence[Score], *, margin: float) -> str:
    """
    Return the policy with the largest saving whose metric is within *margin* of that of always retraining.

    Ties go to the first. If no policy is within *margin*, return the one with the highest metric. Always and never are
    not candidates.
    """
    always = next(each.quality for each in scores if each.policy == ALWAYS)
    policies = [each for each in scores if each.policy not in (ALWAYS, NEVER)]
    keeping = [each for each in policies if each.quality >= always * (1 - margin)]
    best = max(keeping, key=lambda each: each.saved) if keeping else max(policies, key=lambda each: each.quality)
    return best.policy


def alternatives(drift: Drift) -> dict[str, Drift]:
    """Return variants of *drift*: more or less patient, with tighter or wider limits."""
    varied: dict[str, Mapping[str, object]] = {
        "share 0.1": {"share_limit": 0.1},
        "share 0.15": {"share_limit": 0.15},
        "share 0.2": {"share_limit": 0.2},
        "share 0.3": {"share_limit": 0.3},
        "limits halved": {"ks_limit": drift.ks_limit / 2, "psi_limit": drift.psi_limit / 2},
        "2 of 2 windows": {"windows": 2, "moved_windows": 2},
        "2 of 3 windows": {"windows": 3, "moved_windows": 2},
        "windows of 14 days": {"window_days": 14},
        "age of 14 days": {"max_age_days": 14},
        "age of 28 days": {"max_age_days": 28},
        "age of 42 days": {"max_age_days": 42},
        "age of 60 days": {"max_age_days": 60},
        "age of 90 days": {"max_age_days": 90},
    }
    made = {name: drift.model_copy(update=dict(changes)) for name, changes in varied.items()}
    return {name: policy for name, policy in made.items() if policy != drift}


@dataclass(frozen=True, kw_only=True)
class Played:
    """Result of a replay: one score per policy, over all weeks and in each half of them."""

    scores: Sequence[Score]
    first: Sequence[Score]
    """Scores on the weeks for choosing a policy; empty if there are too few."""
    second: Sequence[Score]
    """Scores on the later weeks."""
    chosen: str | None
    """The policy that `choose` picks on the first half; None if there are too few weeks."""


@dataclass
class Replay:
    """Replays policies on one past; results computed for one policy are reused for the others."""

    past: History
    days: int
    """Number of days after a step on which models are judged."""
    margin: float
    say: Callable[[str], object]
    first: int = 0
    """Step of the first champion."""
    _policies: dict[str, Drift] = field(default_factory=dict)
    _choices: dict[str, list[Choice]] = field(default_factory=dict)
    _quality: dict[int, dict[int, float]] = field(default_factory=dict)

    def play(self, policies: Mapping[str, Drift]) -> Played:
        """
        Return the scores of *policies*, the configured one first, then of always and never retraining.

        Raises:
            NotEnoughDataError: the promotion gate proposes no model of any step before the last.
        """
        self._policies = dict(policies)
        names = [*policies, ALWAYS, NEVER]
        self._choices = {name: [] for name in names}
        self.first = self._first_champion()
        champions = dict.fromkeys(names, self.first)
        judgeable = set(self.past.judgeable(self.days))
        steps = range(self.first + 1, len(self.past.moments))
        for step in steps:
            gates = self.past.gates(step, sorted(set(champions.values())))
            for name, champion in champions.items():
                proposed = gates[champion].decision == "propose"
                decision = self._decision(name, champion, step)
                self._choices[name].append(Choice(step=step, champion=champion, decision=decision, proposed=proposed))
            if step in judgeable:
                self._quality[step] = self.past.quality(step, {step, *champions.values()}, self.days)
            champions = {name: choices[-1].serves for name, choices in self._choices.items()}
            self.say(f"as of {self.past.moments[step].as_of.date()}: {self._describe_step(step)}")
        halves = Halves.of(steps, sorted(self._quality), self.past.moments, self.days)
        first, second = (
            self._scores(half) if half & set(self._quality) else [] for half in (halves.first, halves.second)
        )
        chosen = choose(first, margin=self.margin) if first and second else None
        return Played(scores=self._scores(frozenset(steps)), first=first, second=second, chosen=chosen)

    def served(self, name: str) -> list[float | None]:
        """Return the metric of the model that policy *name* serves, for each step after the first champion."""
        made = [(self._quality.get(choice.step), choice.serves) for choice in self._choices[name]]
        return [quality[served] if quality else None for quality, served in made]

    def rows(self) -> list[tuple[str, str, str, str, str, str]]:
        """Return the choices of the first policy: as of, champion, decision, promotion gate, gain, reasons."""
        name, choices = next(iter(self._choices.items()))
        drift, at = self._policies[name], self.past.moments
        lines = []
        for choice in choices:
            quality = self._quality.get(choice.step)
            old = quality[choice.champion] if quality else 0.0
            gain = f"{quality[choice.step] / old - 1:+.1%}" if quality and old else ""
            gate = self.past.gates(choice.step, [choice.champion])[choice.champion]
            reasons = self.past.verdict(choice.champion, choice.step, drift).reasons
            lines.append(
                (
                    str(at[choice.step].as_of.date()),
                    str(at[choice.champion].as_of.date()),
                    choice.decision,
                    gate.decision,
                    gain,
                    "; ".join([*reasons, *(f"promotion: {reason}" for reason in gate.reasons[:1])]),
                )
            )
        return lines

    def _first_champion(self) -> int:
        """Return the first step, before the last, whose model the gate proposes without a champion."""
        reason = ""
        for step in range(len(self.past.moments) - 1):
            verdict = self.past.gates(step, [None])[None]
            if verdict.decision == "propose":
                return step
            reason = verdict.reasons[0]
            self.say(f"as of {self.past.moments[step].as_of.date()}: no champion yet, {reason}")
        last = self.past.moments[-2].as_of.date()
        raise NotEnoughDataError(
            f"the promotion gate proposes no model of the {len(self.past.moments) - 1} steps up to {last}, so that no "
            f"policy has a champion to begin with; of the last one it says: {reason}; begin later, or see [promotion]"
        )

    def _decision(self, name: str, champion: int, step: int) -> str:
        if name in self._policies:
            return self.past.verdict(champion, step, self._policies[name]).decision
        return "retrain" if name == ALWAYS else "skip"

    def _scores(self, steps: frozenset[int]) -> list[Score]:
        costs = {step: self.past.cost(step) for step in steps}
        quality = {step: found for step, found in self._quality.items() if step in steps}
        return [
            score(name, (choice for choice in choices if choice.step in steps), quality, costs, margin=self.margin)
            for name, choices in self._choices.items()
        ]

    def _describe_step(self, step: int) -> str:
        made = {name: choices[-1] for name, choices in self._choices.items()}
        retraining = [name for name, choice in made.items() if choice.decision == "retrain"]
        promoted = [name for name, choice in made.items() if choice.promoted]
        return f"{len(retraining)} of {len(made)} policies retrain, {len(promoted)} promote"
