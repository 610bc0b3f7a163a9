"""Filling: what stands in where a model fills no list, and the places that are kept for new items."""

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
"""Source of an item that many people wanted lately; `popularity:FR` where only people of segment FR count."""
NEW = "new"
"""Source of an item that the model does not know yet."""


@dataclass(frozen=True, eq=False)
class Drafts:
    """The lists of some people."""

    positions: NDArray[np.int64]
    """people x k, on the shelf; -1 where a list has ended."""
    scores: NDArray[np.float32]
    """people x k; within one source falling."""
    sources: NDArray[np.int16]
    """people x k: number of the source in *labels*."""
    labels: list[str]


def source_of(model: ItemFactors) -> str:
    """Return the label of items that *model* ranks."""
    if model.links is None:
        return FACTORS
    return BOTH if model.rank else LINKS


def fill(model: ItemFactors, shelf: CandidateSet, histories: Histories, best: Best) -> Drafts:
    """
    Return the lists that begin with the model's *best*, filled to its k as far as the rules of the shelf leave items.

    What is popular in the person's segment, with everybody and, with score 0, what most people of the training set
    touched takes the places that are left; then new items take the last `new_per_list` places.
    """
    shape = best.positions.shape
    drafts = Drafts(best.positions.copy(), best.scores.copy(), np.zeros(shape, np.int16), [source_of(model)])
    filler = _Filler(shelf, histories, drafts)
    segments = _segments(shelf, histories)
    everybody = shelf.popular.get(EVERYBODY)
    for name in sorted(set(segments.tolist()) - {EVERYBODY}):
        filler.place(filler.short(segments == name), shelf.popular[name], f"{POPULARITY}:{name}")
    if everybody is not None:
        filler.place(filler.short(), everybody, POPULARITY)
    if len(filler.short()):
        filler.place(filler.short(), _by_training(model, shelf, scored=everybody is None), POPULARITY)
    for name in sorted(set(segments.tolist())) if shelf.new_per_list else []:
        new = next((new for new in _new(name, model, shelf) if len(new.positions)), None)
        if new is not None:
            filler.place_new(np.flatnonzero(segments == name), new, shelf.new_per_list, len(model.items))
    return drafts


def _segments(shelf: CandidateSet, histories: Histories) -> NDArray[np.object_]:
    names = [None] * len(histories) if histories.segments is None else histories.segments.to_pylist()
    return np.array([name if name in shelf.popular else EVERYBODY for name in names], dtype=object)


def _new(name: str, model: ItemFactors, shelf: CandidateSet) -> Iterator[Popular]:
    """Yield the new items that are popular in the segment, then those that are with everybody."""
    for segment in dict.fromkeys((name, EVERYBODY)):
        if segment in shelf.popular:
            popular = shelf.popular[segment]
            new = popular.positions >= len(model.items)
            yield Popular(popular.positions[new], popular.scores[new])


def _by_training(model: ItemFactors, shelf: CandidateSet, *, scored: bool) -> Popular:
    """Return the allowed items by people of the training set; the score is their share of the most popular one's."""
    order = model.by_popularity
    order = order[shelf.allowed[order]]
    share = model.people[order] / max(int(model.people.max(initial=1)), 1)
    return Popular(order, (share if scored else np.zeros(len(order))).astype(np.float32))


@dataclass(frozen=True, eq=False)
class _Filler:
    shelf: CandidateSet
    histories: Histories
    drafts: Drafts

    def place(self, rows: NDArray[np.int64], popular: Popular, label: str) -> None:
        """Put the first popular items that are open to each person into the empty places at the end of the list."""
        k = self.drafts.positions.shape[1]
        depth = 4 * k
        while len(rows):
            chosen = self._open(rows, popular.positions[:depth], k)
            empty = (self.drafts.positions[rows] < 0).sum(axis=1)
            full = (chosen >= 0).sum(axis=1) >= empty
            done = full | (depth >= len(popular.positions))
            self._write(rows[done], chosen[done], k - empty[done], empty[done], popular, label)
            rows, depth = rows[~done], 4 * depth

    def place_new(self, rows: NDArray[np.int64], new: Popular, places: int, known: int) -> None:
        """Put *places* new items at the end of each list, fewer if it has some; the last of the others make room."""
        positions, k = self.drafts.positions[rows], self.drafts.positions.shape[1]
        chosen = self._open(rows, new.positions, places)
        count = np.minimum((chosen >= 0).sum(axis=1), np.maximum(places - (positions >= known).sum(axis=1), 0))
        start = np.minimum((positions >= 0).sum(axis=1), k - count)
        self._write(rows, chosen, start, count, new, NEW)

    def short(self, among: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Return the people whose lists have empty places."""
        empty = (self.drafts.positions < 0).any(axis=1)
        return np.flatnonzero(empty if among is None else empty & among)

    def _open(self, rows: NDArray[np.int64], order: NDArray[np.int64], k: int) -> NDArray[np.int64]:
        """Return for each person the places in *order* of the first *k* items that fit the list, -1 for no more."""
        listed = self.drafts.positions[rows]
        # Items that are not in the order all have its last column, which is cut off below.
        column = np.full(len(self.shelf.items) + 1, len(order))
        column[order] = np.arange(len(order))
        slots = np.full(len(self.histories), -1)
        slots[rows] = np.arange(len(rows))
        bought = self.histories.bought & (slots[self.histories.rows] >= 0)
        shut = np.zeros((len(rows), len(order) + 1), dtype=np.bool_)
        shut[slots[self.histories.rows[bought]], column[self.histories.positions[bought]]] = True
        np.put_along_axis(shut, column[listed], True, axis=1)
        offered = np.where(shut[:, :-1], -1, order)
        if self.shelf.cap is None:
            return first_places(offered >= 0, k)
        both = np.concatenate([listed, offered], axis=1)
        places = keep_within_cap(both, self.shelf.groups, self.shelf.cap, listed.shape[1] + k) - listed.shape[1]
        return _first_within(places, k)

    def _write(
        self,
        rows: NDArray[np.int64],
        chosen: NDArray[np.int64],
        start: NDArray[np.int64],
        count: NDArray[np.int64],
        popular: Popular,
        label: str,
    ) -> None:
        line, place = np.nonzero((np.arange(chosen.shape[1]) < count[:, None]) & (chosen >= 0))
        at = rows[line], start[line] + place
        self.drafts.positions[at] = popular.positions[chosen[line, place]]
        self.drafts.scores[at] = popular.scores[chosen[line, place]]
        self.drafts.sources[at] = self._number(label)

    def _number(self, label: str) -> int:
        if label not in self.drafts.labels:
            self.drafts.labels.append(label)
        return self.drafts.labels.index(label)


def _first_within(places: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Return the first *k* places that are not negative of each row, -1 for no more."""
    kept = first_places(places >= 0, k)
    return np.where(kept >= 0, np.take_along_axis(places, np.maximum(kept, 0), axis=1), -1)
