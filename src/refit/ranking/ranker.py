"""Exact top-k: the best candidate items for many people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from refit.candidates.candidate_set import CandidateSet
from refit.errors import ModelDamagedError
from refit.model.item_factors import ItemFactors
from refit.ranking.category_caps import keep_within_cap
from refit.ranking.flat_histories import Histories
from refit.ranking.fold_in import People, fold_in_people
from refit.ranking.link_scores import Added, add_links, link_sizes
from refit.ranking.search import Index, search

_T = TypeVar("_T", bound=np.generic)

_PEOPLE, _ENTRIES, _LINKS, _CELLS = 1_024, 1 << 17, 1 << 22, 1 << 22
"""Limits on people, past items, links and sums of links in memory at a time; a single person may exceed them."""
_WITHIN_CACHE = 1 << 17
"""Numbers in double precision that are computed and used at once."""


@dataclass(frozen=True, eq=False)
class Best:
    """The best items of each person, best first."""

    positions: NDArray[np.int64]
    """people x k, positions in the candidate set; -1 after the last, and for people unknown to the model."""
    scores: NDArray[np.float32]
    """people x k, including boosts; 0 where there is no item."""
    known: NDArray[np.bool_]
    """Whether the model knows anything about the person."""


@dataclass(frozen=True, eq=False)
class Folded:
    """Some people and everything their scores are computed from."""

    histories: Histories
    people: People
    added: Added | None


@dataclass(frozen=True, eq=False)
class Ranker:
    """
    Ranks one candidate set with one model.

    A score is boost * (x . y + what the links of past items add). Ranked items are allowed, known to the model and not
    bought by the person; a model of links alone ranks only items with a positive score. Ties go to the smaller
    position.

    Raises:
        ModelDamagedError: the candidate set does not begin with the items of the model.
    """

    model: ItemFactors
    candidate_set: CandidateSet

    def __post_init__(self) -> None:
        """Refuse a candidate set whose positions mean other items."""
        items = len(self.model.items)
        if not self.candidate_set.items.slice(0, items).equals(self.model.items):
            raise ModelDamagedError(
                f"the candidate set of {len(self.candidate_set.items):,} items was made for another model than this "
                f"one of {items:,} items; build it from the model that ranks"
            )

    @cached_property
    def index(self) -> Index:
        """Search index of the allowed items that the model knows."""
        positions = np.flatnonzero(self.candidate_set.allowed[: len(self.model.items)])
        return Index.of(self.model.factors[positions], positions, self.candidate_set.boosts[positions])

    @cached_property
    def _columns(self) -> NDArray[np.int64]:
        return self.index.columns_of(np.arange(len(self.model.items)))

    def pieces(self, histories: Histories) -> Iterator[Histories]:
        """Yield the people of *histories* in order, in pieces that bound memory."""
        cost = 1 / _PEOPLE + np.diff(histories.offsets) / _ENTRIES
        if self.model.links is not None:
            cost += link_sizes(self.model.links, histories) / _LINKS + max(1, len(self.index.positions)) / _CELLS
        until = np.cumsum(cost)
        start = 0
        while start < len(histories):
            before = until[start - 1] if start else 0.0
            stop = max(start + 1, int(np.searchsorted(until, before + 1, side="right")))
            yield histories.part(start, stop)
            start = stop

    def fold(self, piece: Histories, *, influence: bool = False) -> Folded:
        """Fold in the people of one piece."""
        links = self.model.links
        return Folded(
            histories=piece,
            people=fold_in_people(self.model, piece, influence=influence),
            added=None if links is None else add_links(links, piece),
        )

    def best_of(self, folded: Folded, k: int) -> Best:
        """Return the best *k* items of each person of one piece."""
        people = len(folded.histories)
        best = Best(np.full((people, k), -1), np.zeros((people, k), dtype=np.float32), folded.people.known)
        cap, groups = self.candidate_set.cap, self.candidate_set.groups
        rows, depth = np.flatnonzero(best.known), k if cap is None else 2 * k
        items = len(self.index.positions)
        while len(rows) and items:
            positions, scores = self._deepest(folded, rows, min(depth, items))
            kept = keep_within_cap(positions, groups, cap, k)
            there = kept >= 0
            best.positions[rows] = np.where(there, _take(positions, kept), -1)
            best.scores[rows] = np.where(there, _take(scores, kept), 0.0)
            # A cap may have dropped items from the list: search deeper where there are more items.
            more = ~there.all(axis=1) & (positions >= 0).all(axis=1) & (depth < items)
            rows, depth = rows[more], 4 * depth
        return best

    def best(self, histories: Histories, k: int) -> Best:
        """Return the best *k* items of each person; memory grows with the number of people, so pass batches."""
        parts = [self.best_of(self.fold(piece), k) for piece in self.pieces(histories)]
        return Best(
            positions=np.concatenate([np.empty((0, k), np.int64), *[part.positions for part in parts]]),
            scores=np.concatenate([np.empty((0, k), np.float32), *[part.scores for part in parts]]),
            known=np.concatenate([np.empty(0, np.bool_), *[part.known for part in parts]]),
        )

    def _deepest(
        self, folded: Folded, rows: NDArray[np.int64], depth: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return positions and scores of the best *depth* items of some people, ignoring caps; -1 after the last."""
        histories, width = folded.histories, len(self.index.positions)
        slots = np.full(len(histories), -1)
        slots[rows] = np.arange(len(rows))
        bought = np.flatnonzero(histories.bought)
        barred = slots[histories.rows[bought]], self.index.columns_of(histories.positions[bought])
        on = (barred[0] >= 0) & (barred[1] >= 0)
        closed = barred[0][on], barred[1][on]
        added = None
        if folded.added is not None:
            added = folded.added.to_columns(self._columns, len(histories), width, self.candidate_set.boosts)[rows]
        vectors = folded.people.vectors[rows]
        if not self.model.rank:
            scores = added if added is not None else np.zeros((len(rows), width))
            return self._best_columns(np.where(scores > 0, scores, -np.inf), closed, depth)
        found = search(self.index, vectors, closed, depth, added)
        positions = np.where(found.columns >= 0, self.index.positions[found.columns], -1)
        scores = self._exact(vectors, positions)
        if added is not None:
            scores += np.take_along_axis(added, np.maximum(found.columns, 0), axis=1)
        scores[positions < 0] = -np.inf
        positions, scores = _in_order(positions, scores, depth)
        for row in np.flatnonzero(~found.sure):
            all_scores = self._exact(vectors[row : row + 1], self.index.positions[None, :])
            if added is not None:
                all_scores += added[row]
            mine = closed[0] == row
            exact = self._best_columns(all_scores, (closed[0][mine] * 0, closed[1][mine]), depth)
            positions[row], scores[row] = exact[0][0], exact[1][0]
        return positions, scores

    def _exact(self, vectors: NDArray[np.float64], positions: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return boost * x . y in double precision; equal items get equal scores to the last bit."""
        scores = np.empty(positions.shape)
        size = max(1, _WITHIN_CACHE // max(1, positions.shape[1] * self.model.rank))
        for start in range(0, len(positions), size):
            part = slice(start, start + size)
            factors = np.take(self.model.factors, positions[part], axis=0).astype(np.float64)
            np.einsum("nir,nr->ni", factors, vectors[part], out=scores[part])
        return scores * self.candidate_set.boosts[positions]

    def _best_columns(
        self, scores: NDArray[np.float64], closed: tuple[NDArray[np.int64], NDArray[np.int64]], depth: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Return positions and scores of the best *depth* columns; a score of -inf has position -1."""
        scores[closed] = -np.inf
        positions = np.where(scores > -np.inf, self.index.positions, -1)
        return _in_order(positions, scores, depth)


def best(model: ItemFactors, histories: Histories, candidate_set: CandidateSet, k: int) -> Best:
    """Return the best *k* items of each person; to rank several batches, keep one `Ranker` for all of them."""
    return Ranker(model, candidate_set).best(histories, k)


def _in_order(
    positions: NDArray[np.int64], scores: NDArray[np.float64], depth: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the best *depth* entries of each row, best first; ties go to the smaller position."""
    order = np.argsort(-scores, axis=1)
    sorted_scores = _take(scores, order)
    # Ties are rare, and sorting by two keys is not cheap.
    tied = (sorted_scores[:, 1:] == sorted_scores[:, :-1]).any(axis=1)
    order[tied] = np.lexsort((positions[tied], -scores[tied]))
    order = order[:, :depth]
    return _take(positions, order), _take(scores, order)


def _take(table: NDArray[_T], indices: NDArray[np.int64]) -> NDArray[_T]:
    return np.take_along_axis(table, np.maximum(indices, 0), axis=1)


def top_k(scores: NDArray[np.float32], allowed: NDArray[np.bool_], k: int) -> NDArray[np.int64]:
    """
    Return the positions of the *k* best allowed scores, best first; fewer when fewer are allowed.

    Ties go to the smaller position, so that the same scores always give the same list.

    >>> top_k(np.array([0.5, 0.9, 0.5, 0.7], dtype=np.float32), np.array([True, True, True, False]), 2)
    array([1, 0])
    """
    open_to = np.flatnonzero(allowed)
    values = scores[open_to]
    if len(open_to) > k:
        threshold = np.partition(values, len(values) - k)[len(values) - k]
        # Keep every tie at the threshold, so that the tie rule decides and not the partition.
        kept = values >= threshold
        open_to, values = open_to[kept], values[kept]
    return open_to[np.argsort(-values, kind="stable")][:k]
