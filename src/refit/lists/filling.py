"""Filling: popular items where the model leaves ranks empty, and ranks reserved for new items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refit.candidates.candidate_set import EVERYBODY, CandidateSet, Popular
from refit.model.item_factors import ItemFactors
from refit.ranking.category_caps import first_places, keep_within_cap
from refit.ranking.flat_histories import Histories
from refit.ranking.ranker import Best

FACTORS, LINKS, BOTH = "factors", "links", "factors+links"
"""Sources of an item that the model ranked: by the person's vector, by links from past items, or by their sum."""
POPULARITY = "popularity"
"""Source of a recently popular item; `popularity:FR` if only people of segment FR were counted."""
NEW = "new"
"""Source of an item that the model does not know."""


@dataclass(frozen=True, eq=False)
class Drafts:
    """The lists of some people."""

    positions: NDArray[np.int64]
    """people x k, positions in the candidate set; -1 after the end of a list."""
    scores: NDArray[np.float32]
    """people x k, descending within one source."""
    sources: NDArray[np.int16]
    """people x k: index of the source in *labels*."""
    labels: list[str]


def source_of(model: ItemFactors) -> str:
    """Return the label of items that *model* ranks."""
    if model.links is None:
        return FACTORS
    return BOTH if model.rank else LINKS


def fill(model: ItemFactors, candidate_set: CandidateSet, histories: Histories, best: Best) -> Drafts:
    """
    Return lists that begin with the model's *best*, filled up to k as far as the rules leave candidates.

    Empty ranks are filled with the items popular in the person's segment, then with everybody, then (score 0) with the
    items most touched in the training set. Finally new items take the last `new_per_list` ranks.
    """
    shape = best.positions.shape
    drafts = Drafts(best.positions.copy(), best.scores.copy(), np.zeros(shape, np.int16), [source_of(model)])
    filler = _Filler(candidate_set, histories, drafts)
    segments = _segments(candidate_set, histories)
    everybody = candidate_set.popular.get(EVERYBODY)
    for name in sorted(set(segments.tolist()) - {EVERYBODY}):
        filler.place(filler.short(segments == name), candidate_set.popular[name], f"{POPULARITY}:{name}")
    if everybody is not None:
        filler.place(filler.short(), everybody, POPULARITY)
    if len(filler.short()):
        filler.place(filler.short(), _by_training(model, candidate_set, scored=everybody is None), POPULARITY)
    for name in sorted(set(segments.tolist())) if candidate_set.new_per_list else []:
        new = next((new for new in _new(name, model, candidate_set) if len(new.positions)), None)
        if new is not None:
            filler.place_new(np.flatnonzero(segments == name), new, candidate_set.new_per_list, len(model.items))
    return drafts


def _segments(candidate_set: CandidateSet, histories: Histories) -> NDArray[np.object_]:
    names = [None] * len(histories) if histories.segments is None else histories.segments.to_pylist()
    return np.array([name if name in candidate_set.popular else EVERYBODY for name in names], dtype=object)


def _new(name: str, model: ItemFactors, candidate_set: CandidateSet) -> Iterator[Popular]:
    """Yield the new items that are popular in the segment, then those popular with everybody."""
    for segment in dict.fromkeys((name, EVERYBODY)):
        if segment in candidate_set.popular:
            popular = candidate_set.popular[segment]
            new = popular.positions >= len(model.items)
            yield Popular(popular.positions[new], popular.scores[new])


def _by_training(model: ItemFactors, candidate_set: CandidateSet, *, scored: bool) -> Popular:
    """Return the allowed items by number of people in training; scores are relative to the most popular item."""
    order = model.by_popularity
    order = order[candidate_set.allowed[order]]
    share = model.people[order] / max(int(model.people.max(initial=1)), 1)
    return Popular(order, (share if scored else np.zeros(len(order))).astype(np.float32))


@dataclass(frozen=True, eq=False)
class _Filler:
    candidate_set: CandidateSet
    histories: Histories
    drafts: Drafts

    def place(self, rows: NDArray[np.int64], popular: Popular, label: str) -> None:
        """Fill the empty ranks at the end of each list with the first popular items that the person may get."""
        k = self.drafts.positions.shape[1]
        depth = 4 * k
        while len(rows):
            chosen = self._open(rows, popular.positions[:depth], k)
            empty = (self.drafts.positions[rows] < 0).sum(axis=1)
            full = (chosen >= 0).sum(axis=1) >= empty
            done = full | (depth >= len(popular.positions))
            self._write(rows[done], chosen[done], k - empty[done], empty[done], popular, label)
            rows, depth = rows[~done], 4 * depth

    def place_new(self, rows: NDArray[np.int64], new: Popular, limit: int, known: int) -> None:
        """Put *limit* new items at the end of each list, less those it already has; its last items make room."""
        positions, k = self.drafts.positions[rows], self.drafts.positions.shape[1]
        chosen = self._open(rows, new.positions, limit)
        count = np.minimum((chosen >= 0).sum(axis=1), np.maximum(limit - (positions >= known).sum(axis=1), 0))
        start = np.minimum((positions >= 0).sum(axis=1), k - count)
        self._write(rows, chosen, start, count, new, NEW)

    def short(self, among: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Return the people whose lists have empty ranks."""
        empty = (self.drafts.positions < 0).any(axis=1)
        return np.flatnonzero(empty if among is None else empty & among)

    def _open(self, rows: NDArray[np.int64], order: NDArray[np.int64], k: int) -> NDArray[np.int64]:
        """Return, per person, the indices in *order* of the first *k* items that fit the list, -1 after the last."""
        listed = self.drafts.positions[rows]
        # Items outside *order* share an extra last column, which is dropped below.
        column = np.full(len(self.candidate_set.items) + 1, len(order))
        column[order] = np.arange(len(order))
        slots = np.full(len(self.histories), -1)
        slots[rows] = np.arange(len(rows))
        bought = self.histories.bought & (slots[self.histories.rows] >= 0)
        excluded = np.zeros((len(rows), len(order) + 1), dtype=np.bool_)
        excluded[slots[self.histories.rows[bought]], column[self.histories.positions[bought]]] = True
        np.put_along_axis(excluded, column[listed], True, axis=1)
        offered = np.where(excluded[:, :-1], -1, order)
        if self.candidate_set.cap is None:
            return first_places(offered >= 0, k)
        both = np.concatenate([listed, offered], axis=1)
        fitting = (
            keep_within_cap(both, self.candidate_set.groups, self.candidate_set.cap, listed.shape[1] + k)
            - listed.shape[1]
        )
        return _first_within(fitting, k)

    def _write(
        self,
        rows: NDArray[np.int64],
        chosen: NDArray[np.int64],
        start: NDArray[np.int64],
        count: NDArray[np.int64],
        popular: Popular,
        label: str,
    ) -> None:
        row, rank = np.nonzero((np.arange(chosen.shape[1]) < count[:, None]) & (chosen >= 0))
        at = rows[row], start[row] + rank
        self.drafts.positions[at] = popular.positions[chosen[row, rank]]
        self.drafts.scores[at] = popular.scores[chosen[row, rank]]
        self.drafts.sources[at] = self._number(label)

    def _number(self, label: str) -> int:
        if label not in self.drafts.labels:
            self.drafts.labels.append(label)
        return self.drafts.labels.index(label)


def _first_within(values: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Return the first *k* non-negative entries of each row, -1 after the last."""
    kept = first_places(values >= 0, k)
    return np.where(kept >= 0, np.take_along_axis(values, np.maximum(kept, 0), axis=1), -1)
