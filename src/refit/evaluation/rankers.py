"""Rankers of the catalogue for a batch of people: models and baselines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from refit.candidates.candidate_set import CandidateSet
from refit.columns import Columns
from refit.evaluation.baselines import PeopleNeighbours
from refit.model.item_factors import ItemFactors
from refit.ranking.flat_histories import read_histories
from refit.ranking.ranker import Ranker, top_k


class Contender(Protocol):
    """Ranks the catalogue for people."""

    @property
    def items(self) -> pa.Array:
        """Ids of the items it may rank."""

    def rank(self, batch: pa.RecordBatch, k: int) -> NDArray[np.int64]:
        """
        Return people x k positions in *items*, best first and -1 for none, for a batch of `refit.lake.pairs.histories`.

        Items that the person bought are left out.
        """


@dataclass(frozen=True, eq=False)
class ByModel:
    """Ranks with the code that makes the lists, but without the shop's rules."""

    ranker: Ranker

    @classmethod
    def over(cls, model: ItemFactors, catalogue: pa.Array) -> ByModel:
        """Return a ranker of the items of *model* that are in *catalogue*."""
        there = pc.is_in(model.items, value_set=catalogue).to_numpy(zero_copy_only=False)
        return cls(Ranker(model, CandidateSet.plain(model.items, np.asarray(there, dtype=np.bool_))))

    @property
    def model(self) -> ItemFactors:
        """The model that ranks."""
        return self.ranker.model

    @property
    def items(self) -> pa.Array:
        """Ids of the items of the model."""
        return self.model.items

    def rank(self, batch: pa.RecordBatch, k: int) -> NDArray[np.int64]:
        """Return the best *k*; people unknown to the model get popular items, as in the lists."""
        histories = read_histories(batch, self.model)
        found = self.ranker.best(histories, k)
        for person in np.flatnonzero(~found.known).tolist():
            allowed = self.ranker.candidate_set.allowed.copy()
            part = slice(histories.offsets[person], histories.offsets[person + 1])
            allowed[histories.positions[part][histories.bought[part]]] = False
            order = self.model.by_popularity
            popular = order[allowed[order]][:k]
            found.positions[person, : len(popular)] = popular
        return found.positions


@dataclass(frozen=True, eq=False)
class ByPeople:
    """Ranks by user neighbourhoods; only items that a neighbour took are ranked."""

    neighbours: PeopleNeighbours

    @property
    def items(self) -> pa.Array:
        """Ids of the items of the sample."""
        return self.neighbours.sample.items

    def rank(self, batch: pa.RecordBatch, k: int) -> NDArray[np.int64]:
        """Return the best *k* of each person."""
        people, items, confidences, bought = (
            batch.column(batch.schema.get_field_index(name))
            for name in (Columns.USER, Columns.ITEMS, Columns.CONFIDENCES, Columns.BOUGHT)
        )
        owners = np.repeat(np.arange(len(batch)), items.value_lengths().to_numpy())
        positions = pc.fill_null(pc.index_in(items.flatten(), value_set=self.items), -1).to_numpy()
        values = confidences.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
        taught, known = (positions >= 0) & (values > 0), positions >= 0
        entries = (values[taught], (owners[taught], positions[taught]))
        histories = sparse.csr_matrix(entries, shape=(len(batch), len(self.items)))
        had = np.asarray(bought.flatten().to_numpy(zero_copy_only=False), dtype=np.bool_) & known
        found = np.full((len(batch), k), -1, dtype=np.int64)
        for first, scores in self.neighbours.scores(people, histories):
            here = had & (owners >= first) & (owners < first + len(scores))
            scores[owners[here] - first, positions[here]] = 0.0
            for row, mine in enumerate(scores):
                best = top_k(mine, mine > 0, k)
                found[first + row, : len(best)] = best
        return found
