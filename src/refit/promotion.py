"""The promotion gate: whether a challenger may be put before a person."""

from __future__ import annotations

import numpy as np

from refit.config import Evaluation, Promotion
from refit.evaluation import POPULARITY, Judged, paired_interval
from refit.verdicts import Measure, Verdict


def judge_promotion(judged: Judged, policy: Promotion, settings: Evaluation) -> Verdict:
    """
    Return `propose` or `refuse`; all reasons are given, not only the first.

    The challenger must beat popularity (the interval of the difference lies above 0) and must not be worse than the
    champion by more than the margin (the interval lies above minus the margin). A shop without a champion asks only
    for the first. Too few judged people are no evidence, and no evidence is a refusal.
    """
    metric = policy.metric
    challenger = judged.values["challenger"][metric]
    measures = [
        Measure(
            name="judged_people",
            value=judged.people,
            limit=policy.min_people,
            n=judged.people,
            passed=judged.people >= policy.min_people,
        )
    ]
    if judged.people < policy.min_people:
        reason = f"{judged.people:,} people could be judged, at least {policy.min_people:,} are needed as evidence"
        return Verdict(gate="promotion", decision="refuse", measures=tuple(measures), reasons=(reason,))
    refusals: list[str] = []
    praise: list[str] = []

    def compare(rival: str, lowest: float, otherwise: str) -> None:
        found = paired_interval(challenger, judged.values[rival][metric], settings)
        holds = found.low >= lowest
        name = f"{metric}_over_{rival}.low"
        measures.append(Measure(name=name, value=found.low, limit=lowest, n=judged.people, passed=holds))
        sentence = (
            f"{metric}@{settings.k} is {found.difference:+.4f} against {rival} "
            f"({settings.level:.0%} interval {found.low:+.4f} to {found.high:+.4f})"
        )
        (praise if holds else refusals).append(sentence if holds else f"{sentence}; {otherwise}")

    # The smallest number above 0: equal to popularity is not better than popularity.
    compare(POPULARITY, float(np.nextafter(0, 1)), "the interval must lie above 0")
    if "champion" in judged.values:
        margin = policy.margin * judged.mean("champion", metric)
        compare("champion", -margin, f"a loss of {margin:.4f} is tolerated")
    else:
        praise.append("there is no champion to compare with")
    if refusals:
        return Verdict(gate="promotion", decision="refuse", measures=tuple(measures), reasons=tuple(refusals + praise))
    return Verdict(gate="promotion", decision="propose", measures=tuple(measures), reasons=tuple(praise))
