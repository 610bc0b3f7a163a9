"""
Replays: what a drift policy would have done on past weeks, and what each of its decisions was worth.

Each policy walks with a champion of its own. Where it asks for a retraining the new model goes before the promotion
gate, and only one that the gate proposes takes the champion's place, as if a person said yes to each. A retraining is
needless when the gate refuses it or when the new model is hardly better than the old one on the days that follow; one
is missed when it would have been proposed and better, and was not done.
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
    """Training ends here, since the days from here to *as_of* judge the model before it may become champion."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds that one retraining takes."""

    training: float
    tuning: float

    @property
    def whole(self) -> float:
        """Both together."""
        return self.training + self.tuning


class History(Protocol):
    """What a replay asks of the past; `refit.backtest.lake_history.Past` answers from the lake."""

    moments: Sequence[BacktestStep]

    def verdict(self, champion: int, step: int, drift: Drift) -> Verdict:
        """Return what a check at *step* decides when the model trained at *champion* serves."""

    def gates(self, step: int, champions: Iterable[int | None]) -> dict[int | None, Verdict]:
        """Return champion (None: there is none) -> what the promotion gate says of the model trained at *step*."""

    def cost(self, step: int) -> Cost:
        """Return what a retraining at *step* takes."""

    def quality(self, step: int, trained: Iterable[int], days: int) -> dict[int, float]:
        """Return step of training -> the metric on the *days* days after *step*."""

    def judgeable(self, days: int) -> list[int]:
        """Return the steps that are followed by days enough."""


def backtest_steps(since: datetime, until: datetime, every: timedelta, shop: Shop) -> list[BacktestStep]:
    """Return the steps at *since* and every so often after it, up to and including *until*."""
    held = timedelta(days=shop.training.holdout_days)
    count = int((until - since) / every) + 1
    return [BacktestStep(since + n * every, since + n * every - held) for n in range(count)]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What one policy did at one step."""

    step: int
    champion: int
    """Step at which the model that was champion until then was trained."""
    decision: str
    """Of the drift gate: retrain, skip or refuse."""
    proposed: bool
    """Whether the promotion gate proposes the model that is trained at this step, asked for or not."""

    @property
    def promoted(self) -> bool:
        """Whether a new champion came out of it."""
        return self.decision == "retrain" and self.proposed

    @property
    def serves(self) -> int:
        """Step at which the model that serves from here on was trained."""
        return self.step if self.promoted else self.champion


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a policy did and what that was worth."""

    policy: str
    steps: int
    """Checks with a champion to compare with."""
    retrained: int
    promoted: int
    """Retrainings whose model the promotion gate proposed."""
    refused: int
    """Checks that the drift gate refused because there was too little to tell."""
    judged: int
    """Steps after which there are days enough to tell what a new model is worth."""
    needless: int
    """Judged retrainings whose model was not promoted or gained no more than the margin."""
    missed: int
    """Judged steps without a retraining whose model would have been proposed and gained more than the margin."""
    quality: float
    """Mean of the metric over the judged steps, each with the model that the policy had then."""
    training_seconds: float
    tuning_seconds: float
    saved: float
    """Share of the seconds of a retraining at every step that it did not take."""


@dataclass(frozen=True, kw_only=True)
class Halves:
    """Steps by which limits are chosen, and later ones on which the choice is reported."""

    first: frozenset[int]
    second: frozenset[int]

    @classmethod
    def of(cls, steps: Sequence[int], judged: Sequence[int], at: Sequence[BacktestStep], days: int) -> Halves:
        """
        Return both halves of *steps*, divided in the middle of the *judged* ones, both ascending.

        A step whose *days* days reach into the second half belongs to neither, so that no day counts in both.
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
    Return what *choices* were worth.

    *quality* is step -> step of training -> metric on the days after the step, without the steps that nothing follows;
    *costs* are those of a retraining at each step. A gain counts as a share of the champion's metric; *margin* too.
    """
    made = list(choices)
    needless = missed = 0
    had = []
    for choice in made:
        if choice.step not in quality:
            continue
        old, new = (quality[choice.step][trained] for trained in (choice.champion, choice.step))
        gains = choice.proposed and new > old * (1 + margin)
        retrained = choice.decision == "retrain"
        needless += retrained and not gains
        missed += gains and not retrained
        had.append(quality[choice.step][choice.serves])
    taken = [costs[choice.step] for choice in made if choice.decision == "retrain"]
    everything = sum(costs[choice.step].whole for choice in made)
    return Score(
        policy=policy,
        steps=len(made),
        retrained=len(taken),
        promoted=sum(choice.promoted for choice in made),
        refused=sum(choice.decision == "refuse" for choice in made),
        judged=len(had),
        needless=needless,
        missed=missed,
        quality=sum(had) / len(had) if had else 0.0,
        training_seconds=sum(cost.training for cost in taken),
        tuning_seconds=sum(cost.tuning for cost in taken),
        saved=1 - sum(cost.whole for cost in taken) / everything if everything else 0.0,
    )


def choose(scores: Sequence[Score], *, margin: float) -> str:
    """
    Return the policy of *scores* that saves most of those that keep the metric of retraining always but for *margin*.

    Of equal ones the first counts, and where none keeps it the one with the highest metric; always and never are no
    policies.
    """
    always = next(each.quality for each in scores if each.policy == ALWAYS)
    policies = [each for each in scores if each.policy not in (ALWAYS, NEVER)]
    keeping = [each for each in policies if each.quality >= always * (1 - margin)]
    best = max(keeping, key=lambda each: each.saved) if keeping else max(policies, key=lambda each: each.quality)
    return best.policy


def alternatives(drift: Drift) -> dict[str, Drift]:
    """Return policies around *drift*: more or less patient, with tighter or wider limits."""
    varied: dict[str, Mapping[str, object]] = {
        "share 0.1": {"share_limit": 0.1},
        "share 0.15": {"share_limit": 0.15},
        "share 0.2": {"share_limit": 0.2},
        "share 0.3": {"share_limit": 0.3},
        "limits halved": {"ks_limit": drift.ks_limit / 2, "psi_limit": drift.psi_limit / 2},
        "2 of 2 windows": {"windows": 2, "moved_windows": 2},
        "2 of 3 windows": {"windows": 3, "moved_windows": 2},
        "windows of 14 days": {"window_days": 14},
        "age of 35 days": {"max_age_days": 35},
        "age of 42 days": {"max_age_days": 42},
        "age of 60 days": {"max_age_days": 60},
        "age of 90 days": {"max_age_days": 90},
    }
    made = {name: drift.model_copy(update=dict(changes)) for name, changes in varied.items()}
    return {name: policy for name, policy in made.items() if policy != drift}


@dataclass(frozen=True, kw_only=True)
class Played:
    """What came out of a replay: one score per policy, over all weeks and in each half of them."""

    scores: Sequence[Score]
    first: Sequence[Score]
    """On the weeks by which a policy is chosen; empty when there are too few."""
    second: Sequence[Score]
    """On the weeks after them."""
    chosen: str | None
    """The policy that did best on the first half; none when there are too few weeks to choose."""


@dataclass
class Replay:
    """Plays policies on one past; what one of them has asked for is not made again for the next."""

    past: History
    days: int
    """Days after a step on which models are judged."""
    margin: float
    say: Callable[[str], object]
    first: int = 0
    """Step of the first champion."""
    _policies: dict[str, Drift] = field(default_factory=dict)
    _choices: dict[str, list[Choice]] = field(default_factory=dict)
    _quality: dict[int, dict[int, float]] = field(default_factory=dict)

    def play(self, policies: Mapping[str, Drift]) -> Played:
        """
        Return the scores of *policies*, the configured one first, of retraining always, and of never.

        Raises:
            NotEnoughDataError: the promotion gate proposes no model of any step but the last.
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
            self.say(f"as of {self.past.moments[step].as_of.date()}: {self._told(step)}")
        halves = Halves.of(steps, sorted(self._quality), self.past.moments, self.days)
        first, second = (
            self._scores(half) if half & set(self._quality) else [] for half in (halves.first, halves.second)
        )
        chosen = choose(first, margin=self.margin) if first and second else None
        return Played(scores=self._scores(frozenset(steps)), first=first, second=second, chosen=chosen)

    def served(self, name: str) -> list[float | None]:
        """Return the metric of the model that policy *name* serves after each step that follows the first champion."""
        made = [(self._quality.get(choice.step), choice.serves) for choice in self._choices[name]]
        return [quality[served] if quality else None for quality, served in made]

    def rows(self) -> list[tuple[str, str, str, str, str, str]]:
        """Return the choices of the policy given first: as of, champion, decision, promotion gate, gain, reasons."""
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
        """Return the first step whose model may become champion of a shop without one; somebody must come after it."""
        said = ""
        for step in range(len(self.past.moments) - 1):
            verdict = self.past.gates(step, [None])[None]
            if verdict.decision == "propose":
                return step
            said = verdict.reasons[0]
            self.say(f"as of {self.past.moments[step].as_of.date()}: no champion yet, {said}")
        last = self.past.moments[-2].as_of.date()
        raise NotEnoughDataError(
            f"the promotion gate proposes no model of the {len(self.past.moments) - 1} steps up to {last}, so that no "
            f"policy has a champion to begin with; of the last one it says: {said}; begin later, or see [promotion]"
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

    def _told(self, step: int) -> str:
        made = {name: choices[-1] for name, choices in self._choices.items()}
        asking = [name for name, choice in made.items() if choice.decision == "retrain"]
        promoted = [name for name, choice in made.items() if choice.promoted]
        return f"{len(asking)} of {len(made)} policies retrain, {len(promoted)} promote"
