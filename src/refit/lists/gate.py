"""The list gate: what is asked of a whole batch of lists before readers see it."""

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
    "unknown": "lists hold ids that are not on the shelf",
    "gaps": "lists have an empty place before an item",
    "disordered": "lists have scores that are not finite or that rise",
    "over_cap": "lists hold more of one category than lists.cap_per_category",
}
"""Count -> what is wrong with each of them; none is tolerated."""
_ITEMS = 100
"""Of fewer items a hundredth is less than one, and its share says nothing."""


def sum_counts(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the sums over blocks of people, and how unequally the items of the shelf are shown."""
    first = records[0]
    same = {"items": first["items"], "allowed": first["allowed"]}
    total = {name: sum(record[name] for record in records) for name in first if name not in {*same, "exposures"}}
    return {**total, **same, **concentration(add_up([record["exposures"] for record in records]), first["allowed"])}


def judge_lists(batch: Mapping[str, Any], limits: ListGate, *, approved: str | None, before: Before) -> Verdict:
    """
    Return `publish` or `refuse` for a scored *batch*, the record of what scoring made; all reasons are given.

    *approved* is the digest with which the batch's champion was promoted, None when that never happened.
    Where the batch *before* is missing, too small or too long ago to compare with, its measures pass with a note.
    """
    asking, people = GateChecks(limits), int(batch["counts"]["people"])
    _judge_people(asking, batch)
    for name, wrong in _FAULTS.items():
        asking.none(name, batch["counts"][name], people, wrong)
    _judge_spread(asking, batch["counts"])
    _judge_origin(asking, batch, approved)
    judge_against(asking, batch, before)
    return Verdict(
        gate="lists",
        decision="refuse" if asking.refusals else "publish",
        measures=tuple(asking.measures),
        reasons=tuple(asking.refusals),
        warnings=tuple(asking.warnings),
    )


def _judge_people(asking: GateChecks, batch: Mapping[str, Any]) -> None:
    counts = batch["counts"]
    people, eligible = int(counts["people"]), int(batch.get("eligible") or counts["received"])
    asking.least("people", people, "min_people", people, "too few people have a list")
    covered = _share(people - counts["empty"], eligible)
    asking.least("share_covered", covered, "min_covered", eligible, "people who may be served have no list")
    rows = sum(part["rows"] for part in batch["parts"])
    asking.none("rows_amiss", abs(rows - people), people, "the files do not hold the people who were counted")
    filled = _share(counts["filled"], people)
    asking.least("share_filled", filled, "min_filled", people, "too many lists are shorter than lists.k")
    popular = _share(counts["by_popularity"], people)
    asking.most("share_by_popularity", popular, "max_popularity", people, "the model knows nothing of these people")
    flat = _share(counts["flat"], people)
    asking.most("share_flat", flat, "max_flat", people, "the model gives all items of these lists one score")


def _judge_spread(asking: GateChecks, counts: Mapping[str, float]) -> None:
    items, allowed, places = int(counts["items"]), int(counts["allowed"]), int(counts["places"])
    shown = _share(counts["shown"], items)
    asking.least("share_of_catalogue", shown, "min_catalogue", items, "too few different items are shown")
    if allowed < _ITEMS:
        asking.spare("top_share", f"a hundredth of {allowed:,} items is less than one")
    else:
        asking.most("top_share", counts["top_share"], "max_top_share", places, "a hundredth of the items is everywhere")
    if places < allowed:
        asking.spare("gini", f"{allowed:,} items cannot be shown equally often in {places:,} places")
    else:
        asking.most("gini", counts["gini"], "max_gini", places, "items are shown too unequally")


def _judge_origin(asking: GateChecks, batch: Mapping[str, Any], approved: str | None) -> None:
    newest = batch.get("newest_event_day") or "unknown"
    wrong = f"these open days before {batch['as_of']} have no events, the newest event is of {newest}"
    asking.most("stale_days", batch.get("stale_days"), "max_stale_days", 1, wrong)
    model = batch["model"]
    wrong = f"version {model['version']} never became champion"
    if approved is not None:
        wrong = (
            f"version {model['version']} became champion with {approved[:16]} and scored with {model['digest'][:16]}"
        )
    asking.none("other_model", None if approved is None else int(approved != model["digest"]), 1, wrong)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
