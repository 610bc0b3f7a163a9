"""The promotion gate: whether a challenger may be put before a person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from refit.config import Promotion
from refit.evaluation.comparison import Cohort, Comparison
from refit.evaluation.holdout_lists import ANCHOR, CHALLENGER, CHAMPION, POPULARITY
from refit.evaluation.intervals import Interval
from refit.verdicts import Measure, Verdict

Standing = Literal["better", "not worse", "worse", "unclear"]

_NAMED = 2
"""Largest number of small cohorts that are named; of more, only the number is given and the dossier names them."""
_POPULAR = (POPULARITY, "recent_popularity")
_ABOVE_ZERO = float(np.nextafter(0, 1))
"""The smallest number above 0: equal to popularity is not better than popularity."""


def comparison_verdict(difference: Interval, margin: float, *, least: int) -> Standing:
    """
    Classify a challenger by the interval of its *difference* when a loss of *margin* is tolerated.

    Better: the interval lies above 0. Not worse: a loss beyond the margin is excluded and the models differ for at
    least *least* people; if they differ for hardly anybody, a narrow interval is no evidence. Worse: the interval lies
    below 0 and a loss beyond the margin is not excluded. Unclear: too few people.

    >>> ends = ((0.1, 0.3), (-0.05, 0.2), (-0.3, -0.1), (-0.3, 0.1))
    >>> [comparison_verdict(Interval(0.0, low, high, telling=50), 0.1, least=10) for low, high in ends]
    ['better', 'not worse', 'worse', 'unclear']
    >>> comparison_verdict(Interval(0.0, 0.0, 0.0, telling=0), 0.1, least=10)
    'unclear'
    """
    if difference.above_zero:
        return "better"
    if difference.low >= -margin:
        return "not worse" if difference.telling >= least else "unclear"
    return "worse" if difference.below_zero else "unclear"


def judge_promotion(compared: Comparison, policy: Promotion, *, same_recipe: bool = False) -> Verdict:
    """
    Return `propose` or `refuse`, with all refusals first and the merits after them.

    The challenger

    - must not be worse than the champion by more than the margin: the paired interval lies above minus the margin, and
      the two models differ for enough people;
    - must not be worse than the anchor, if it was judged, by more than all promotions together may lose;
    - must beat popularity, overall and recent if both were judged: the interval lies above 0;
    - must not be worse in any cohort. Intervals of cohorts have a Bonferroni level, so that a challenger equal to the
      champion is refused by any of its C cohorts in at most (1 - level) / 2 of all cases, whatever C is. The reasons
      name a cohort that is too small, or in which a loss beyond the margin is neither shown nor excluded; with
      `unclear_cohorts = "refuse"` the latter is a refusal;
    - must not show a smaller part of the catalogue than the champion by more than the limit.

    A shop without a champion requires only that popularity is beaten. With *same_recipe* the champion's recipe is the
    challenger's own, so that there is nothing to compare: their lists are equal by construction. Too few judged people
    are no evidence, and missing evidence is a refusal. Every baseline with a higher mean is named, but does not cause a
    refusal.
    """
    gate = _Gate(compared, policy)
    min_people = policy.min_people or 1
    enough = compared.people >= min_people
    gate.measure("judged_people", compared.people, min_people, compared.people, enough)
    if not enough:
        reason = f"{compared.people:,} people could be judged, at least {min_people:,} are needed as evidence"
        return Verdict(gate="promotion", decision="refuse", measures=tuple(gate.measures), reasons=(reason,))
    if same_recipe:
        gate.merits.append("made by the champion's recipe, from newer days")
    else:
        gate.against_champion()
    gate.against_anchor()
    gate.against_popularity([rival for rival in _POPULAR if rival in compared.against])
    if CHAMPION in compared.against and not same_recipe:
        elsewhere = [*gate.in_cohorts(), *gate.width()]
        if elsewhere:
            gate.merits.append("; ".join(elsewhere))
    gate.beaten_by([rival for rival in compared.against if rival not in (CHAMPION, ANCHOR, *_POPULAR)])
    decision = "refuse" if gate.refusals else "propose"
    reasons = (*gate.refusals, *gate.merits)
    return Verdict(gate="promotion", decision=decision, measures=tuple(gate.measures), reasons=reasons)


@dataclass
class _Gate:
    compared: Comparison
    policy: Promotion
    measures: list[Measure] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    merits: list[str] = field(default_factory=list)

    def measure(self, name: str, value: float, limit: float, n: int, passed: bool) -> None:
        self.measures.append(Measure(name=name, value=value, limit=limit, n=n, passed=passed))

    def against_champion(self) -> None:
        if CHAMPION not in self.compared.against:
            self.merits.append("there is no champion to compare with")
            return
        found, policy, people = self._difference(CHAMPION), self.policy, self.compared.people
        margin = policy.margin * self.compared.mean(CHAMPION, policy.metric)
        outcome = comparison_verdict(found, margin, least=policy.min_differing)
        passed, few_differ = outcome in ("better", "not worse"), found.telling < policy.min_differing
        self.measure(
            "differing_people", found.telling, policy.min_differing, people, outcome == "better" or not few_differ
        )
        self.measure(f"{policy.metric}_over_champion.low", found.low, -margin, people, passed)
        description = self._describe(found, CHAMPION)
        if few_differ and outcome == "unclear":
            self.refusals.append(
                f"cannot be told from the champion: {found.telling:,} of {people:,} judged people fare differently, at "
                f"least {policy.min_differing:,} are asked for (promotion.min_differing); {description}"
            )
            return
        sentence = f"{_LEADS[outcome]} the champion: {description}"
        self._report(sentence if outcome == "better" else f"{sentence}; a loss of {margin:.4f} is tolerated", passed)

    def against_anchor(self) -> None:
        """Refuse if losses within the margin have accumulated too far since the anchor."""
        if ANCHOR not in self.compared.against:
            return
        found = self._difference(ANCHOR)
        limit = self.policy.max_total_loss * self.compared.mean(ANCHOR, self.policy.metric)
        # The same recipe gives the same lists, so no minimum number of differing people applies.
        outcome = comparison_verdict(found, limit, least=0)
        passed = outcome in ("better", "not worse")
        self.measure(f"{self.policy.metric}_over_anchor.low", found.low, -limit, self.compared.people, passed)
        self._report(
            f"{_LEADS[outcome]} the anchor, the recipe of an earlier champion trained on the same days: "
            f"{self._describe(found, ANCHOR)}; {limit:.4f} may be lost in all since then (promotion.max_total_loss)",
            passed,
        )

    def beaten_by(self, rivals: Sequence[str]) -> None:
        """Name the *rivals* with a higher mean than the challenger, best first."""
        found = {rival: self._difference(rival) for rival in rivals}
        for rival in sorted(found, key=lambda name: found[name].mean):
            difference = found[rival]
            if difference.mean < 0:
                chance = "" if difference.below_zero else ", maybe by chance"
                name = f"{self.policy.metric}@{self.compared.k}{chance}"
                self.merits.append(
                    f"{_words(rival)} has a higher {name}: the challenger's {self._size(difference, rival)}"
                )

    def against_popularity(self, rivals: Sequence[str]) -> None:
        beaten = []
        for rival in rivals:
            found = self._difference(rival)
            name = f"{self.policy.metric}_over_{rival}.low"
            self.measure(name, found.low, _ABOVE_ZERO, self.compared.people, found.above_zero)
            if found.above_zero:
                beaten.append((found.mean, rival))
            else:
                words = f"does not beat {_words(rival)}: {self._describe(found, rival)}"
                self.refusals.append(f"{words}; the interval must lie above 0")
        if beaten:
            closest = min(beaten)[1]
            description = self._describe(self._difference(closest), closest)
            against = f" against {_words(closest)}" if len(beaten) > 1 else ""
            self.merits.append(f"beats {' and '.join(_words(rival) for _, rival in beaten)}: {description}{against}")

    def in_cohorts(self) -> list[str]:
        """Refuse a loss in any cohort; otherwise return sentences about the cohorts."""
        metric, policy = self.policy.metric, self.policy
        judged: dict[str, list[str]] = {"better": [], "not worse": [], "worse": [], "unclear": [], "too small": []}
        for name, cohort in self.compared.cohorts.items():
            if metric not in cohort.differences:
                judged["too small"].append(f"{name} ({cohort.people:,})")
                continue
            found, margin = cohort.differences[metric], policy.cohort_margin * cohort.rival_mean
            outcome = comparison_verdict(found, margin, least=policy.min_differing)
            passed = outcome in ("better", "not worse") or (outcome == "unclear" and policy.unclear_cohorts == "report")
            self.measure(f"{metric}_over_champion[{name}].low", found.low, -margin, cohort.people, passed)
            judged[outcome].append(name)
            if not passed:
                self._report(
                    f"{_LEADS[outcome]} the champion in cohort {name}: {self._in_cohort(found, cohort)}", False
                )
        small = judged.pop("too small")
        fine, large = len(judged["better"]) + len(judged["not worse"]), sum(map(len, judged.values()))
        parts = [f"not worse in {fine} of {large} cohorts"]
        parts += [f"better in {', '.join(judged['better'])}"] * bool(judged["better"])
        unclear = f"too few people to tell a loss of {policy.cohort_margin:.0%} in {', '.join(judged['unclear'])}"
        parts += [unclear] * bool(judged["unclear"])
        which = ", ".join(small) if len(small) <= _NAMED else f"{len(small)} others"
        parts += [f"fewer than {policy.cohort_people:,} people in {which}"] * bool(small)
        return parts if self.compared.cohorts and not judged["worse"] else []

    def width(self) -> list[str]:
        """Refuse lists that show too little of the catalogue; otherwise return a sentence about coverage."""
        ours, theirs = (self.compared.lists[model].coverage for model in (CHALLENGER, CHAMPION))
        min_coverage = (1 - self.policy.max_narrowing) * theirs
        passed = ours >= min_coverage
        self.measure("coverage", ours, min_coverage, self.compared.people, passed)
        sentence = f"shows {ours:.1%} of the catalogue, the champion {theirs:.1%}"
        if passed:
            return [sentence]
        self.refusals.append(f"{sentence}; at least {min_coverage:.1%} are asked for")
        return []

    def _difference(self, rival: str) -> Interval:
        return self.compared.against[rival][f"{self.policy.metric}@{self.compared.k}"]

    def _describe(self, found: Interval, rival: str) -> str:
        return f"{self.policy.metric}@{self.compared.k} {self._size(found, rival)}"

    def _size(self, found: Interval, rival: str) -> str:
        base = self.compared.mean(rival, self.policy.metric)
        share = f", {found.mean / base:+.1%}" if base else ""
        interval = f"{self.compared.level:.0%} interval {found}, {self.compared.people:,} people"
        return f"is {found.mean:+.4f}{share} ({interval})"

    def _in_cohort(self, found: Interval, cohort: Cohort) -> str:
        margin = self.policy.cohort_margin * cohort.rival_mean
        return (
            f"{self.policy.metric}@{self.compared.k} is {found.mean:+.4f} ({self.compared.cohort_level:.2%} interval "
            f"{found}, {cohort.people:,} people); a loss of {margin:.4f} is tolerated"
        )

    def _report(self, sentence: str, passed: bool) -> None:
        (self.merits if passed else self.refusals).append(sentence)


def _words(model: str) -> str:
    return model.replace("_", " ")


_LEADS: dict[Standing, str] = {
    "better": "better than",
    "not worse": "not worse than",
    "worse": "worse than",
    "unclear": "may be worse than",
}
