"""The list gate: checks on a whole batch of lists before readers see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from refit.lists.exposures import add_up, concentration
from refit.lists.gate_checks import GateChecks
from refit.lists.previous_batch_checks import judge_against
from refit.verdicts import Verdict

if TYPE_CHECKING:
    from refit.config import ListGate
    from refit.lists.previous_batch import Before

_FAULTS = {
    "without_consent": "people were served who have not given consent",
    "twice": "people are out of order, so somebody could be in the batch twice",
    "empty": "lists hold nothing",
    "repeats": "lists hold an item twice",
    "bought": "lists hold what the person has bought",
    "withdrawn": "lists hold what may not be shown",
    "unknown": "lists hold ids that are not in the candidate set",
    "gaps": "lists have an empty place before an item",
    "disordered": "lists have scores that are not finite or that rise",
    "over_cap": "lists hold more of one category than lists.cap_per_category",
}
"""Zero-tolerance counts -> what is wrong with each occurrence."""
_ITEMS = 100
"""Smallest number of items for which the top-1 % share means anything."""


def sum_counts(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the counts summed over blocks of people, and the concentration of exposures."""
    first = records[0]
    same = {"items": first["items"], "allowed": first["allowed"]}
    total = {name: sum(record[name] for record in records) for name in first if name not in {*same, "exposures"}}
    return {**total, **same, **concentration(add_up([record["exposures"] for record in records]), first["allowed"])}


def judge_lists(batch: Mapping[str, Any], limits: ListGate, *, approved: str | None, before: Before) -> Verdict:
    """
    Return `publish` or `refuse` for a scored *batch*, given its commit record, with all reasons.

    *approved* is the digest with which the batch's champion was promoted, None if it never was. If the batch *before*
    is missing, too small or too old to compare with, the comparisons pass with a note.
    """
    checks, people = GateChecks(limits), int(batch["counts"]["people"])
    _judge_people(checks, batch)
    for name, wrong in _FAULTS.items():
        checks.none(name, batch["counts"][name], people, wrong)
    _judge_spread(checks, batch["counts"])
    _judge_origin(checks, batch, approved)
    judge_against(checks, batch, before)
    return Verdict(
        gate="lists",
        decision="refuse" if checks.refusals else "publish",
        measures=tuple(checks.measures),
        reasons=tuple(checks.refusals),
        warnings=tuple(checks.warnings),
    )


def _judge_people(checks: GateChecks, batch: Mapping[str, Any]) -> None:
    counts = batch["counts"]
    people, eligible = int(counts["people"]), int(batch.get("eligible") or counts["received"])
    checks.least("people", people, "min_people", people, "too few people have a list")
    covered = _share(people - counts["empty"], eligible)
    checks.least("share_covered", covered, "min_covered", eligible, "people who may be served have no list")
    rows = sum(part["rows"] for part in batch["parts"])
    checks.none("rows_amiss", abs(rows - people), people, "the files do not hold the people who were counted")
    filled = _share(counts["filled"], people)
    checks.least("share_filled", filled, "min_filled", people, "too many lists are shorter than lists.k")
    popular = _share(counts["by_popularity"], people)
    checks.most("share_by_popularity", popular, "max_popularity", people, "the model knows nothing of these people")
    flat = _share(counts["flat"], people)
    checks.most("share_flat", flat, "max_flat", people, "the model gives all items of these lists one score")


def _judge_spread(checks: GateChecks, counts: Mapping[str, float]) -> None:
    items, allowed, exposures = int(counts["items"]), int(counts["allowed"]), int(counts["places"])
    shown = _share(counts["shown"], items)
    checks.least("share_of_catalogue", shown, "min_catalogue", items, "too few different items are shown")
    if allowed < _ITEMS:
        checks.spare("top_share", f"a hundredth of {allowed:,} items is less than one")
    else:
        checks.most(
            "top_share", counts["top_share"], "max_top_share", exposures, "a hundredth of the items is everywhere"
        )
    if exposures < allowed:
        checks.spare("gini", f"{allowed:,} items cannot be shown equally often in {exposures:,} places")
    else:
        checks.most("gini", counts["gini"], "max_gini", exposures, "items are shown too unequally")


def _judge_origin(checks: GateChecks, batch: Mapping[str, Any], approved: str | None) -> None:
    newest = batch.get("newest_event_day") or "unknown"
    wrong = f"these open days before {batch['as_of']} have no events, the newest event is of {newest}"
    checks.most("stale_days", batch.get("stale_days"), "max_stale_days", 1, wrong)
    model = batch["model"]
    wrong = f"version {model['version']} never became champion"
    if approved is not None:
        wrong = (
            f"version {model['version']} became champion with {approved[:16]} and scored with {model['digest'][:16]}"
        )
    checks.none("other_model", None if approved is None else int(approved != model["digest"]), 1, wrong)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
