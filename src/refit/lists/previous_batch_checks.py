"""Checks of a batch of lists against the previous batch that readers saw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

from refit.lists.gate_checks import GateChecks, describe_number
from refit.lists.previous_batch import NOTHING

if TYPE_CHECKING:
    from refit.config import ListGate
    from refit.lists.previous_batch import Before, Overlap


_Bounds = tuple[str, float | None, float | None, str]


def judge_against(asking: GateChecks, batch: Mapping[str, Any], before: Before) -> None:
    """
    Judge *batch* against the batch *before*; if there is none to compare with, every measure passes with a note.

    The number of people may change within the limits. Lists may change more, by `change_factor`, after the champion or
    the rules were changed, because people decided that deliberately.
    """
    earlier = before.commit
    missing_reason = before.missing if earlier is None else _incomparable(batch, earlier, asking.limits)
    if earlier is None and missing_reason != NOTHING:
        asking.warnings.append(f"nothing was compared: {missing_reason}")
    if earlier is None or missing_reason:
        for name in (*_MEASURES, "share_new", "overlap"):
            asking.spare(_named(name), missing_reason)
        return
    changes = _changes(batch, earlier)
    since = f"in batch {earlier['batch']} of {earlier['run_date']}{f', since then {changes}' if changes else ''}"
    current, previous = _measured(batch), _measured(earlier)
    for name, low, high, settings in _bounds(asking.limits, previous, changed=bool(changes)):
        comparison = f"; it was {describe_number(previous[name])} {since}; lists.gate.{settings})"
        asking.within(_named(name), current[name], low, high, int(current["people"]), comparison)
    if before.overlap is not None:
        _judge_overlap(asking, before.overlap, since, changed=bool(changes))
        newest, known = (one.get("newest_event_day") or "" for one in (batch, earlier))
        same, people = before.overlap.same, before.overlap.found
        if newest > known and same is not None and same > asking.limits.frozen_share:
            asking.warnings.append(
                f"{same:.2%} of the lists (n {people:,}) hold what they held {since}, although events up to {newest} "
                f"have come in since {known}: see whether histories still reach the model"
            )


_MEASURES = ("people", "share_by_popularity", "places_per_person", "bytes_per_person", "top_share", "gini", "shown")


def _measured(batch: Mapping[str, Any]) -> dict[str, float]:
    counts, people = batch["counts"], batch["counts"]["people"]
    size = sum(part["bytes"] for part in batch["parts"])
    each = {"share_by_popularity": counts["by_popularity"], "places_per_person": counts["places"]}
    found = {name: part / people for name, part in {**each, "bytes_per_person": size}.items()}
    return {**found, **{name: counts[name] for name in _MEASURES if name not in found}}


def _bounds(limits: ListGate, previous: Mapping[str, float], *, changed: bool) -> Iterator[_Bounds]:
    """Yield each measure with its lower and upper bound and the names of the settings behind them."""
    factor = limits.change_factor if changed else 1.0

    def share(name: str, less: float | None, more: float | None) -> tuple[str, float | None, float | None]:
        low = None if less is None else previous[name] * max(1 - less, 0.0)
        return name, low, None if more is None else previous[name] * (1 + more)

    size, top = limits.max_size_changed * factor, (limits.max_top_ratio - 1) * factor
    yield *share("people", limits.max_people_lost, limits.max_people_gained), "max_people_lost, max_people_gained"
    popular = previous["share_by_popularity"] + limits.max_popularity_gained
    yield "share_by_popularity", None, popular, "max_popularity_gained"
    yield *share("places_per_person", size, size), "max_size_changed"
    yield *share("bytes_per_person", size, size), "max_size_changed"
    yield *share("top_share", None, top), "max_top_ratio"
    yield "gini", None, previous["gini"] + limits.max_gini_gained * factor, "max_gini_gained"
    yield *share("shown", limits.max_shown_lost * factor, None), "max_shown_lost"


def _judge_overlap(checks: GateChecks, overlap: Overlap, since: str, *, changed: bool) -> None:
    if overlap.share_new is None:
        checks.spare(_named("share_new"), "nobody was looked for")
    else:
        wrong = f"people of this batch are not {since}"
        checks.most(_named("share_new"), overlap.share_new, "max_people_gained", overlap.looked_for, wrong)
    if overlap.median is None:
        checks.spare(_named("overlap"), "nobody is in both batches")
        return
    setting = "min_overlap_changed" if changed else "min_overlap"
    wrong = f"the lists have little to do with those {since}"
    checks.least(_named("overlap"), overlap.median, setting, overlap.found, wrong)


def _incomparable(batch: Mapping[str, Any], earlier: Mapping[str, Any], limits: ListGate) -> str:
    """Return why two batches cannot be compared; empty when they can."""
    days = (date.fromisoformat(batch["run_date"]) - date.fromisoformat(earlier["run_date"])).days
    if days > limits.compare_days:
        return f"the batch before is of {earlier['run_date']}, {days} days ago"
    people = int(min(batch["counts"]["people"], earlier["counts"]["people"]))
    if people < limits.compare_people:
        return f"one of the batches has {people:,} people, with fewer than {limits.compare_people:,} chance decides"
    return ""


def _changes(batch: Mapping[str, Any], earlier: Mapping[str, Any]) -> str:
    """Return what people changed between two batches; empty if nothing."""
    changes = []
    if batch["model"]["digest"] != earlier["model"]["digest"]:
        changes.append(f"version {batch['model']['version']} has followed {earlier['model']['version']}")
    if batch["rules"] != earlier["rules"]:
        changes.append("the rules of the lists have changed")
    return " and ".join(changes)


def _named(measure: str) -> str:
    return f"{measure}_against_before"
