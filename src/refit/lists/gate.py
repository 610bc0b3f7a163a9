"""The list gate: what is asked of a whole batch of lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from refit.verdicts import Measure, Verdict

if TYPE_CHECKING:
    from refit.config import Lists

_FAULTS = ("empty", "repeats", "bought", "withdrawn", "disordered", "over_cap")


def sum_counts(records: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Return the sums over blocks of people, with `shown` as the number of different items."""
    first = records[0]
    total = {name: sum(record[name] for record in records) for name in first if name not in {"shown", "items"}}
    seen = np.zeros(len(bytes.fromhex(first["shown"])), dtype=np.uint8)
    for record in records:
        seen |= np.frombuffer(bytes.fromhex(record["shown"]), dtype=np.uint8)
    return {**total, "items": first["items"], "shown": int(np.unpackbits(seen).sum())}


def judge_lists(counts: Mapping[str, int], policy: Lists) -> Verdict:
    """Return `publish` or `refuse` for a batch; all reasons are given."""
    people = counts["people"]
    filled = counts["filled"] / people if people else None
    shown = counts["shown"] / counts["items"] if counts["items"] else None
    measures = [
        Measure(name="people", value=people, limit=policy.min_people, n=people, passed=people >= policy.min_people),
        Measure(
            name="share_filled",
            value=filled,
            limit=policy.min_filled,
            n=people,
            passed=filled is not None and filled >= policy.min_filled,
        ),
        Measure(
            name="share_of_catalogue",
            value=shown,
            limit=policy.min_catalogue,
            n=counts["items"],
            passed=shown is not None and shown >= policy.min_catalogue,
        ),
        *[Measure(name=name, value=counts[name], limit=0, n=people, passed=counts[name] == 0) for name in _FAULTS],
    ]
    reasons = tuple(
        f"{m.name} is {'unknown' if m.value is None else f'{m.value:g}'}, "
        f"{'at least' if m.limit else 'exactly'} {m.limit:g} is asked (n {m.n:,})"
        for m in measures
        if not m.passed
    )
    decision = "refuse" if reasons else "publish"
    return Verdict(gate="lists", decision=decision, measures=tuple(measures), reasons=reasons)
