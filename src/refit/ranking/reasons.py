"""Reasons: the past items that contribute to a recommendation, and how much."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refit.ranking.ranker import Folded, Ranker


@dataclass(frozen=True, eq=False)
class Reasons:
    """The past items that contribute most to each recommendation."""

    positions: NDArray[np.int64]
    """people x k x reasons, largest contribution first; -1 where no further item contributes."""
    contributions: NDArray[np.float32]
    """people x k x reasons: parts of the score, above 0; the parts of all past items sum to the score."""

    @classmethod
    def none(cls, people: int, k: int, count: int) -> Reasons:
        """Return arrays without any reason."""
        return cls(np.full((people, k, count), -1), np.zeros((people, k, count), dtype=np.float32))


def find_reasons(ranker: Ranker, folded: Folded, ranked: NDArray[np.int64], count: int) -> Reasons:
    """
    Return up to *count* reasons for each position in *ranked* (people x k, -1 for none).

    The item itself is a reason only if the model has a positive link from the item to itself. *folded* must have been
    made with `influence=True`.
    """
    people, k = ranked.shape
    found = Reasons.none(people, k, count)
    if not count:
        return found
    linked = _linked(ranker, folded, ranked)
    vectors, row = _turned(ranker, folded, ranked)
    # Only items that were not bought can be both in the history and in the list of a person.
    may_repeat = not folded.histories.bought.all()
    for solved in folded.people.solved:
        mine = ranked[solved.people]
        parts = np.take(vectors, row[solved.people], axis=0) @ solved.influence.astype(np.float32)
        past = np.where(solved.entries >= 0, folded.histories.positions[solved.entries], -1)
        if linked is not None or may_repeat:
            itself = past[:, None, :] == mine[:, :, None]
            if linked is not None:
                _add_links(parts, itself, linked, solved.entries)
            parts[itself] = 0.0
        for number in range(min(count, parts.shape[2])):
            best = parts.argmax(axis=2)[:, :, None]
            value = np.take_along_axis(parts, best, axis=2)[:, :, 0]
            name = np.take_along_axis(past, best[:, :, 0], axis=1)
            speaks = (value > 0) & (mine >= 0)
            found.positions[solved.people, :, number] = np.where(speaks, name, -1)
            found.contributions[solved.people, :, number] = np.where(
                speaks, value * ranker.candidate_set.boosts[mine], 0.0
            )
            np.put_along_axis(parts, best, 0.0, axis=2)
    return found


def _turned(ranker: Ranker, folded: Folded, ranked: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the vectors of the distinct ranked items in the eigenbasis, and the vector row of each ranked entry."""
    used = np.zeros(len(ranker.model.items), dtype=np.bool_)
    used[ranked[ranked >= 0]] = True
    number = np.maximum(np.cumsum(used) - 1, 0)
    vectors = ranker.model.factors[used] @ folded.people.basis.astype(np.float32)
    return vectors if used.any() else np.zeros((1, ranker.model.rank), np.float32), number[np.maximum(ranked, 0)]


@dataclass(frozen=True, eq=False)
class _Linked:
    """Links to ranked items, as parallel arrays."""

    people: NDArray[np.int64]
    places: NDArray[np.int64]
    """Rank in the person's list, from 0."""
    entries: NDArray[np.int64]
    values: NDArray[np.float64]
    repeats: NDArray[np.bool_]
    """Whether the link is a positive one from an item to itself."""


def _linked(ranker: Ranker, folded: Folded, ranked: NDArray[np.int64]) -> _Linked | None:
    added = folded.added
    if added is None:
        return None
    rank_of = np.full((len(ranked), len(ranker.candidate_set.items)), -1, dtype=np.int32)
    rows, at = np.nonzero(ranked >= 0)
    rank_of[rows, ranked[rows, at]] = at
    found = rank_of[added.people, added.positions]
    on = found >= 0
    entries = added.entries[on]
    itself = folded.histories.positions[entries] == added.positions[on]
    values = added.values[on]
    return _Linked(added.people[on], found[on].astype(np.int64), entries, values, itself & (values > 0))


def _add_links(
    parts: NDArray[np.float32], itself: NDArray[np.bool_], linked: _Linked, entries: NDArray[np.int64]
) -> None:
    """Add the links to *parts* in place, and clear *itself* where an item has a positive link to itself."""
    rows, columns = np.nonzero(entries >= 0)
    size = int(max(linked.entries.max(initial=0), entries.max(initial=0))) + 1
    row, column = np.full(size, -1), np.full(size, -1)
    row[entries[rows, columns]] = rows
    column[entries[rows, columns]] = columns
    on = row[linked.entries] >= 0
    where = row[linked.entries[on]], linked.places[on], column[linked.entries[on]]
    np.add.at(parts, where, linked.values[on].astype(np.float32))
    repeats = linked.repeats[on]
    itself[where[0][repeats], where[1][repeats], where[2][repeats]] = False
