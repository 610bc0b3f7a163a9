"""Reasons: which past items of a person speak for a recommendation, and how much."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refit.ranking.ranker import Folded, Ranker


@dataclass(frozen=True, eq=False)
class Reasons:
    """The past items that contribute most to each recommendation."""

    positions: NDArray[np.int64]
    """people x k x reasons, largest contribution first; -1 where nothing more speaks for the item."""
    contributions: NDArray[np.float32]
    """people x k x reasons: parts of the score, above 0; over all past items the parts sum to it."""

    @classmethod
    def none(cls, people: int, k: int, count: int) -> Reasons:
        """Return empty places."""
        return cls(np.full((people, k, count), -1), np.zeros((people, k, count), dtype=np.float32))


def find_reasons(ranker: Ranker, folded: Folded, ranked: NDArray[np.int64], count: int) -> Reasons:
    """
    Return up to *count* reasons for each position in *ranked* (people x k, -1 for none).

    The item itself is a reason only where the model has a habit for it, a link of the item to itself. *folded* must
    have been made with its influence.
    """
    people, k = ranked.shape
    found = Reasons.none(people, k, count)
    if not count:
        return found
    linked = _linked(ranker, folded, ranked)
    vectors, row = _turned(ranker, folded, ranked)
    # Only what was not bought can be in a list and in its person's history at once.
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
        for place in range(min(count, parts.shape[2])):
            best = parts.argmax(axis=2)[:, :, None]
            value = np.take_along_axis(parts, best, axis=2)[:, :, 0]
            name = np.take_along_axis(past, best[:, :, 0], axis=1)
            speaks = (value > 0) & (mine >= 0)
            found.positions[solved.people, :, place] = np.where(speaks, name, -1)
            found.contributions[solved.people, :, place] = np.where(speaks, value * ranker.shelf.boosts[mine], 0.0)
            np.put_along_axis(parts, best, 0.0, axis=2)
    return found


def _turned(ranker: Ranker, folded: Folded, ranked: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the vectors of the different ranked items in the eigenbasis, and the row of each place among them."""
    used = np.zeros(len(ranker.model.items), dtype=np.bool_)
    used[ranked[ranked >= 0]] = True
    number = np.maximum(np.cumsum(used) - 1, 0)
    vectors = ranker.model.factors[used] @ folded.people.basis.astype(np.float32)
    return vectors if used.any() else np.zeros((1, ranker.model.rank), np.float32), number[np.maximum(ranked, 0)]


@dataclass(frozen=True, eq=False)
class _Linked:
    """Links that end at something ranked: parallel arrays."""

    people: NDArray[np.int64]
    places: NDArray[np.int64]
    """Place in the person's list."""
    entries: NDArray[np.int64]
    values: NDArray[np.float64]
    habits: NDArray[np.bool_]
    """Whether the link is one of an item to itself that speaks for it."""


def _linked(ranker: Ranker, folded: Folded, ranked: NDArray[np.int64]) -> _Linked | None:
    added = folded.added
    if added is None:
        return None
    place = np.full((len(ranked), len(ranker.shelf.items)), -1, dtype=np.int32)
    rows, at = np.nonzero(ranked >= 0)
    place[rows, ranked[rows, at]] = at
    found = place[added.people, added.positions]
    on = found >= 0
    entries = added.entries[on]
    itself = folded.histories.positions[entries] == added.positions[on]
    values = added.values[on]
    return _Linked(added.people[on], found[on].astype(np.int64), entries, values, itself & (values > 0))


def _add_links(
    parts: NDArray[np.float32], itself: NDArray[np.bool_], linked: _Linked, entries: NDArray[np.int64]
) -> None:
    """Add the links to *parts* in place; a habit is taken out of *itself*, for it may be a reason."""
    lines, columns = np.nonzero(entries >= 0)
    size = int(max(linked.entries.max(initial=0), entries.max(initial=0))) + 1
    line, column = np.full(size, -1), np.full(size, -1)
    line[entries[lines, columns]] = lines
    column[entries[lines, columns]] = columns
    on = line[linked.entries] >= 0
    where = line[linked.entries[on]], linked.places[on], column[linked.entries[on]]
    np.add.at(parts, where, linked.values[on].astype(np.float32))
    habit = linked.habits[on]
    itself[where[0][habit], where[1][habit], where[2][habit]] = False
