"""Lists: what is recommended to one person, why, and what the list gate must know about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from refit.config import Lists
from refit.factors import ItemFactors
from refit.fold_in import History, fold_in
from refit.ranking import top_k
from refit.verdicts import Measure, Verdict

FACTORS = "factors"
"""Source of an item ranked by the person's own vector."""
POPULARITY = "popularity"
"""Source of an item for a person without a usable history."""

_REASON = pa.struct([("item_id", pa.string()), ("contribution", pa.float32())])
_ENTRY = pa.struct(
    [
        ("item_id", pa.string()),
        ("score", pa.float32()),
        ("source", pa.string()),
        ("reasons", pa.list_(_REASON)),
    ]
)
SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("recommendations", pa.list_(_ENTRY)),
        ("model_version", pa.int32()),
        ("run_date", pa.string()),
    ]
)
"""One row per person; recommendations are in rank order."""


@dataclass(frozen=True, eq=False)
class Ranked:
    """The list of one person."""

    user_id: str
    positions: NDArray[np.int64]
    scores: NDArray[np.float32]
    source: str
    reasons: NDArray[np.int64]
    """list x reasons: positions of past items, -1 where there is none."""
    contributions: NDArray[np.float32]
    """Of each reason to the score; over all past items they sum to the score."""


def rank_for(model: ItemFactors, history: History, allowed: NDArray[np.bool_], policy: Lists) -> Ranked:
    """Return the best `policy.k` items of *allowed* that the person has not bought."""
    open_to = allowed.copy()
    open_to[history.positions[history.bought]] = False
    if not (history.confidences > 0).any():
        order = model.by_popularity
        positions = order[open_to[order]][: policy.k]
        share = model.people[positions] / max(int(model.people.max(initial=1)), 1)
        nothing = np.empty((len(positions), 0))
        return Ranked(
            history.user_id, positions, share.astype(np.float32), POPULARITY,
            nothing.astype(np.int64), nothing.astype(np.float32),
        )  # fmt: skip
    person = fold_in(model, history.positions, history.confidences)
    scores = model.factors @ person.vector.astype(np.float32)
    positions = top_k(scores, open_to, policy.k)
    parts = model.factors[positions].astype(np.float64) @ person.influence
    best = np.argsort(-parts, axis=1, kind="stable")[:, : policy.reasons]
    contributions = np.take_along_axis(parts, best, axis=1).astype(np.float32)
    # Something that speaks against an item is no reason for it.
    reasons = np.where(contributions > 0, person.positions[best], -1)
    return Ranked(history.user_id, positions, scores[positions], FACTORS, reasons, contributions)


def to_batch(model: ItemFactors, ranked: Sequence[Ranked], version: int, run_date: str) -> pa.RecordBatch:
    """Return the lists of several people as rows of `SCHEMA`."""
    lengths = [len(person.positions) for person in ranked]
    counts = np.concatenate([(person.reasons >= 0).sum(axis=1) for person in ranked] or [np.empty(0, np.int64)])
    given = [person.reasons >= 0 for person in ranked]
    reasons = pa.StructArray.from_arrays(
        [
            _ids(model, [person.reasons[keep] for person, keep in zip(ranked, given, strict=True)]),
            _floats([person.contributions[keep] for person, keep in zip(ranked, given, strict=True)]),
        ],
        fields=list(_REASON),
    )
    entries = pa.StructArray.from_arrays(
        [
            _ids(model, [person.positions for person in ranked]),
            _floats([person.scores for person in ranked]),
            pa.array(np.repeat([person.source for person in ranked], lengths).tolist(), pa.string()),
            pa.ListArray.from_arrays(_offsets(counts), reasons),
        ],
        fields=list(_ENTRY),
    )
    return pa.RecordBatch.from_arrays(
        [
            pa.array([person.user_id for person in ranked], pa.string()),
            pa.ListArray.from_arrays(_offsets(lengths), entries),
            pa.array([version] * len(ranked), pa.int32()),
            pa.array([run_date] * len(ranked), pa.string()),
        ],
        schema=SCHEMA,
    )


@dataclass
class Counts:
    """What the list gate must know, counted where the lists are made and summed over blocks of people."""

    items: int
    """Items of the model."""
    people: int = 0
    filled: int = 0
    empty: int = 0
    by_popularity: int = 0
    repeats: int = 0
    bought: int = 0
    withdrawn: int = 0
    disordered: int = 0
    """Lists with a score that is not finite or that rises."""
    shown: NDArray[np.bool_] = field(init=False)
    """Which items occur in at least one list."""

    def __post_init__(self) -> None:
        self.shown = np.zeros(self.items, dtype=np.bool_)

    def add(self, ranked: Ranked, history: History, allowed: NDArray[np.bool_], k: int) -> None:
        """Count one list, checked against its inputs and not against how it was made."""
        self.people += 1
        self.filled += len(ranked.positions) == k
        self.empty += len(ranked.positions) == 0
        self.by_popularity += ranked.source == POPULARITY
        self.repeats += len(np.unique(ranked.positions)) != len(ranked.positions)
        self.bought += bool(np.isin(ranked.positions, history.positions[history.bought]).any())
        self.withdrawn += not allowed[ranked.positions].all()
        self.disordered += not (np.isfinite(ranked.scores).all() and (np.diff(ranked.scores) <= 0).all())
        self.shown[ranked.positions] = True

    def as_record(self) -> dict[str, Any]:
        """Return the counts as plain JSON values; `shown` as hexadecimal bits."""
        record = {name: int(value) for name, value in vars(self).items() if name != "shown"}
        return {**record, "shown": np.packbits(self.shown).tobytes().hex()}


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
        *[
            Measure(name=name, value=counts[name], limit=0, n=people, passed=counts[name] == 0)
            for name in ("empty", "repeats", "bought", "withdrawn", "disordered")
        ],
    ]
    reasons = tuple(
        f"{m.name} is {'unknown' if m.value is None else f'{m.value:g}'}, "
        f"{'at least' if m.limit else 'exactly'} {m.limit:g} is asked (n {m.n:,})"
        for m in measures
        if not m.passed
    )
    decision = "refuse" if reasons else "publish"
    return Verdict(gate="lists", decision=decision, measures=tuple(measures), reasons=reasons)


def _offsets(lengths: Sequence[int] | NDArray[np.int64]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))


def _ids(model: ItemFactors, positions: Sequence[NDArray[np.int64]]) -> pa.Array:
    return model.items.take(pa.array(np.concatenate([*positions, np.empty(0, np.int64)]).astype(np.int64)))


def _floats(values: Sequence[NDArray[np.float32]]) -> pa.Array:
    return pa.array(np.concatenate([*values, np.empty(0, np.float32)]).astype(np.float32))
