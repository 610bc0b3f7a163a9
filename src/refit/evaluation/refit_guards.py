"""
Refit guards: whether a model that was trained again on every day is still the one that was judged.

A proposed challenger is trained again, with the same settings, on every day before `as_of`. The judged model, its twin,
gives the evidence. The refitted model has seen the holdout, so its metrics there prove nothing; they and the other
numbers only show a training that went wrong, and then the twin is offered instead.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from refit.config import RefitGuards
from refit.evaluation.beyond_accuracy import coverage, shown
from refit.evaluation.holdout_lists import CHALLENGER, Judged
from refit.model.item_factors import ItemFactors
from refit.verdicts import Measure, Verdict

REFITTED = "refitted"
"""Name in judging of the model that was trained again; its twin is the challenger."""
OFFER, KEEP_TWIN = "offer", "keep twin"
_COUNTS = ("pairs", "people", "items")


def judge_refit(
    judged: Judged, twin: ItemFactors, refitted: ItemFactors, limits: RefitGuards, *, metric: str
) -> Verdict:
    """
    Return `offer` or `keep twin` for the model *refitted*, with every number, its limit and a sentence.

    *judged* has the lists of both models for the same people, with histories as of the twin's cutoff. Compared are: the
    mean share of a list that both have in common; *metric* on the holdout; the part of the catalogue in at least one
    list; root mean squares of all factors and of all links; pairs, people and items of the training sets.
    """
    people, k = judged.people, judged.k
    ours, theirs = (judged.lists[name][:, :k] for name in (REFITTED, CHALLENGER))
    shared = overlap(theirs, ours)
    reached, before = judged.mean(REFITTED, metric), judged.mean(CHALLENGER, metric)
    wide, twin_wide = (coverage(shown(lists, len(judged.items))) for lists in (ours, theirs))
    measures = [
        _at_least(
            "overlap",
            shared,
            limits.min_overlap,
            people,
            f"the lists of {people:,} people share {shared:.0%} with those of the twin",
        ),
        _at_least(
            f"{metric}_on_seen_days",
            reached,
            (1 - limits.max_metric_loss) * before,
            people,
            f"{metric}@{k} on the holdout, which only the twin has not seen, is {reached:.4f} against {before:.4f}",
        ),
        _at_least(
            "coverage",
            wide,
            (1 - limits.max_narrowing) * twin_wide,
            people,
            f"the lists show {wide:.1%} of the twin's items, those of the twin {twin_wide:.1%}",
        ),
    ]
    for name, values, twin_values in _weights(refitted, twin):
        ratio = _ratio(values, twin_values)
        largest = max(ratio, 1 / ratio) if np.isfinite(ratio) and ratio > 0 else float("inf")
        measures.append(
            Measure(
                name=f"{name}_norm_ratio",
                value=float(ratio) if np.isfinite(ratio) else None,
                limit=limits.max_norm_ratio,
                n=int(values.size),
                passed=largest <= limits.max_norm_ratio,
                note=f"the root mean square of all {name} is {ratio:.3g} times that of the twin",
            )
        )
    for name in _COUNTS:
        count, twin_count = int(refitted.facts[name]), int(twin.facts[name])
        measures.append(
            _at_least(
                name,
                count,
                (1 - limits.max_shrinkage) * twin_count,
                count,
                f"it was trained on {count:,} {name}, the twin on {twin_count:,}",
            )
        )
    outside = [measure for measure in measures if not measure.passed]
    return Verdict(
        gate="refit",
        decision=KEEP_TWIN if outside else OFFER,
        measures=tuple(measures),
        reasons=tuple(_beyond(measure) for measure in outside) or tuple(measure.note for measure in measures[:2]),
    )


def overlap(left: NDArray[np.int32], right: NDArray[np.int32]) -> float:
    """
    Return the mean share of each row's entries of *left* that are in the same row of *right*; -1 is no entry.

    Rows of *left* without an entry do not count; 0 without any other row.

    >>> overlap(np.array([[1, 2], [3, -1], [-1, -1]], np.int32), np.array([[2, 9], [-1, 3], [1, 2]], np.int32))
    0.75
    """
    entries = left >= 0
    common = (left[:, :, None] == right[:, None, :]).any(axis=2) & entries
    filled = entries.any(axis=1)
    return float((common.sum(axis=1)[filled] / entries.sum(axis=1)[filled]).mean()) if filled.any() else 0.0


def _weights(refitted: ItemFactors, twin: ItemFactors) -> list[tuple[str, NDArray[np.float32], NDArray[np.float32]]]:
    """Return name, values and the twin's values of each part that either model has."""
    none = np.empty(0, np.float32)
    links, twin_links = (model.links.values if model.links else none for model in (refitted, twin))
    parts = [("factors", refitted.factors, twin.factors), ("links", links, twin_links)]
    return [(name, values, before) for name, values, before in parts if values.size or before.size]


def _ratio(values: NDArray[np.float32], before: NDArray[np.float32]) -> float:
    """Return the ratio of the root mean squares; NaN or infinite if one side is missing, zero or not finite."""
    if not values.size or not before.size:
        return float("nan")
    squares = [float(np.mean(np.square(each, dtype=np.float64))) for each in (values, before)]
    return float(np.sqrt(squares[0] / squares[1])) if squares[1] else float("inf")


def _at_least(name: str, value: float, limit: float, n: int, note: str) -> Measure:
    return Measure(name=name, value=float(value), limit=float(limit), n=n, passed=value >= limit, note=note)


def _beyond(measure: Measure) -> str:
    bound = "at most" if measure.name.endswith("_norm_ratio") else "at least"
    allowed = f"{bound} {measure.limit:.4g}" + (" either way" if bound == "at most" else "")
    return f"{measure.note}; {allowed} is asked for"
