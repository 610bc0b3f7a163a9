"""
Replays: what a drift policy would have done on past weeks, and what each of its decisions was worth.

A retraining is needless when the new model is hardly better than the old one on the days that follow, and one is missed
when it would have been better and was not done. Verdicts and models are made once and asked for by many policies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from refit.config import Drift, Shop
from refit.verdicts import Verdict

Decide = Callable[[int, int, Drift], str]
"""Step of the champion's training, step of the check, policy -> retrain, skip or refuse."""


@dataclass(frozen=True)
class Moment:
    """One step of a replay."""

    as_of: datetime
    cutoff: datetime
    """Training ends here, since the days from here to *as_of* judge the model before it may become champion."""


def moments(since: datetime, until: datetime, every: timedelta, shop: Shop) -> list[Moment]:
    """Return the steps at *since* and every so often after it, up to and including *until*."""
    held = timedelta(days=shop.training.holdout_days)
    count = int((until - since) / every) + 1
    return [Moment(since + n * every, since + n * every - held) for n in range(count)]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What one policy did at one step."""

    step: int
    champion: int
    """Step at which the model that was champion until then was trained."""
    decision: str


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a policy did and what that was worth."""

    policy: str
    steps: int
    """Checks with a champion to compare with."""
    retrained: int
    refused: int
    judged: int
    """Steps after which there are days enough to tell what a new model is worth."""
    needless: int
    """Retrainings that gained less than the margin."""
    missed: int
    """Steps without a retraining that would have gained more than the margin."""
    quality: float
    """Mean of the metric over the judged steps, each with the model that the policy had then."""
    seconds: float
    """Seconds of training that it took."""
    saved: float
    """Share of the seconds of a retraining at every step that it did not take."""


def walk(steps: int, drift: Drift, decide: Decide) -> list[Choice]:
    """Return the choices of policy *drift* on *steps* steps; the first one always trains, there is no champion yet."""
    choices: list[Choice] = []
    champion = 0
    for step in range(1, steps):
        decision = decide(champion, step, drift)
        choices.append(Choice(step=step, champion=champion, decision=decision))
        if decision == "retrain":
            champion = step
    return choices


def always(steps: int) -> list[Choice]:
    """Return the choices of retraining at every step."""
    return [Choice(step=step, champion=step - 1, decision="retrain") for step in range(1, steps)]


def never(steps: int) -> list[Choice]:
    """Return the choices of keeping the first model."""
    return [Choice(step=step, champion=0, decision="skip") for step in range(1, steps)]


def wanted(choices: Sequence[Choice]) -> dict[int, set[int]]:
    """Return step -> steps whose models must be judged there: the champion until then and the one trained then."""
    pairs: dict[int, set[int]] = {}
    for choice in choices:
        pairs.setdefault(choice.step, set()).update((choice.champion, choice.step))
    return pairs


def score(
    policy: str,
    choices: Sequence[Choice],
    quality: Mapping[int, Mapping[int, float]],
    seconds: Sequence[float],
    *,
    margin: float,
) -> Score:
    """
    Return what *choices* were worth.

    *quality* is step -> step of training -> metric on the days after the step, without the steps that nothing follows;
    *seconds* are those of the training at each step. A gain counts as a share of the champion's metric; *margin* too.
    """
    needless = missed = 0
    had = []
    for choice in choices:
        if choice.step not in quality:
            continue
        old, new = (quality[choice.step][trained] for trained in (choice.champion, choice.step))
        better = new > old * (1 + margin)
        retrained = choice.decision == "retrain"
        needless += retrained and not better
        missed += better and not retrained
        had.append(new if retrained else old)
    taken = [seconds[choice.step] for choice in choices if choice.decision == "retrain"]
    everything = sum(seconds[choice.step] for choice in choices)
    return Score(
        policy=policy,
        steps=len(choices),
        retrained=len(taken),
        refused=sum(choice.decision == "refuse" for choice in choices),
        judged=len(had),
        needless=needless,
        missed=missed,
        quality=sum(had) / len(had) if had else 0.0,
        seconds=sum(taken),
        saved=1 - sum(taken) / everything if everything else 0.0,
    )


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
        "age of 42 days": {"max_age_days": 42},
        "age of 90 days": {"max_age_days": 90},
    }
    return {name: drift.model_copy(update=dict(changes)) for name, changes in varied.items()}


class History(Protocol):
    """What a replay asks of the past; `refit.past.Past` answers from the lake."""

    moments: Sequence[Moment]
    seconds: dict[int, float]

    def verdict(self, champion: int, step: int, drift: Drift) -> Verdict:
        """Return what a check at *step* decides when the model trained at *champion* serves."""

    def quality(self, step: int, trained: Iterable[int], days: int) -> dict[int, float]:
        """Return step of training -> the metric on the *days* days after *step*."""

    def judgeable(self, days: int) -> list[int]:
        """Return the steps that are followed by days enough."""


@dataclass
class Replay:
    """Plays policies on one past; what one of them has asked for is not made again for the next."""

    past: History
    days: int
    """Days after a step on which models are judged."""
    margin: float
    say: Callable[[str], object]
    served: dict[str, list[float | None]] = field(default_factory=dict)
    """Policy -> the metric of the model that it serves after each step but the first."""
    _policies: dict[str, Drift] = field(default_factory=dict)
    _choices: dict[str, list[Choice]] = field(default_factory=dict)
    _quality: dict[int, dict[int, float]] = field(default_factory=dict)

    def play(self, policies: Mapping[str, Drift]) -> list[Score]:
        """Return the score of each of *policies*, the configured one first, of retraining always, and of never."""
        steps = len(self.past.moments)
        self._policies.update(policies)
        for name, drift in policies.items():
            self._choices[name] = walk(steps, drift, lambda *asked: self.past.verdict(*asked).decision)
            done = [choice.step for choice in self._choices[name] if choice.decision == "retrain"]
            self.say(f"{name}: retrains at {len(done)} of {steps - 1} checks")
        self._choices |= {"always": always(steps), "never": never(steps)}
        judgeable = set(self.past.judgeable(self.days))
        pairs: dict[int, set[int]] = {}
        for choices in self._choices.values():
            for step, trained in wanted(choices).items():
                pairs.setdefault(step, set()).update(trained)
        for step in sorted(judgeable & set(pairs)):
            self._quality[step] = self.past.quality(step, pairs[step], self.days)
            self.say(f"as of {self.past.moments[step].as_of.date()}: {len(pairs[step])} models judged")
        for name in ("configured", "always", "never"):
            self.served[name] = [self._after(choice) for choice in self._choices.get(name, ())]
        typical = sum(self.past.seconds.values()) / max(len(self.past.seconds), 1)
        # Steps whose model nobody judged were never trained; they would have taken as long as the others.
        seconds = [self.past.seconds.get(step, typical) for step in range(steps)]
        return [
            score(name, choices, self._quality, seconds, margin=self.margin) for name, choices in self._choices.items()
        ]

    def rows(self) -> list[tuple[str, str, str, str, str]]:
        """Return the choices of the policy that was played first: as of, champion, decision, gain, reasons."""
        name, choices = next(iter(self._choices.items()))
        drift = self._policies[name]
        lines = []
        for choice in choices:
            quality = self._quality.get(choice.step)
            gain = f"{quality[choice.step] / quality[choice.champion] - 1:+.1%}" if quality else ""
            verdict = self.past.verdict(choice.champion, choice.step, drift)
            at = self.past.moments
            lines.append(
                (
                    str(at[choice.step].as_of.date()),
                    str(at[choice.champion].as_of.date()),
                    choice.decision,
                    gain,
                    "; ".join(verdict.reasons),
                )
            )
        return lines

    def _after(self, choice: Choice) -> float | None:
        quality = self._quality.get(choice.step)
        served = choice.step if choice.decision == "retrain" else choice.champion
        return quality[served] if quality else None
