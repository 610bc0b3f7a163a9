"""Simple baselines: popularity, item neighbourhoods and user neighbourhoods."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy import sparse

from refit.columns import Columns
from refit.model.item_factors import ItemFactors
from refit.model.item_links import ItemItemWeights

Likeness = Literal["cosine", "pearson"]

_POWER = 0.5
_ENTRIES = 8_000_000
"""Largest number of similarities held at once: 100 MB, for any number of items and people."""


@dataclass(frozen=True, eq=False)
class PairSample:
    """The training pairs of neighbourhood baselines, in memory."""

    people: pa.Array
    """User ids, ascending: rows of *confidences*."""
    items: pa.Array
    """Item ids, ascending: columns of *confidences*."""
    confidences: sparse.csr_matrix
    """people x items, confidence r as in MLlib, above 0."""
    pairs: int
    """Number of pairs with confidence above 0 in the whole training set."""

    @property
    def share(self) -> float:
        """Share of the pairs in the sample; 1 if nothing was left out."""
        return self.confidences.nnz / self.pairs if self.pairs else 1.0


def collect_pairs(pairs: DataFrame, items: pa.Array, *, most: int, seed: int) -> PairSample:
    """
    Collect the pairs of a training set with confidence above 0, at most about *most* of them.

    A larger set is sampled by whole people, chosen by a hash of their id and *seed*. Item neighbourhoods are then
    estimated from fewer people, and people find their neighbours among fewer. *items* are the columns.
    """
    taught = pairs.where(F.col(Columns.CONFIDENCE) > 0)
    total = taught.count()
    if total > most:
        lot = F.pmod(F.xxhash64(Columns.USER, F.lit(seed)), F.lit(1_000_000))
        taught = taught.where(lot < int(1_000_000 * most / total))
    table = taught.select(Columns.USER, Columns.ITEM, Columns.CONFIDENCE).toArrow().combine_chunks()
    people = pc.unique(table[Columns.USER]).sort()
    rows = pc.index_in(table[Columns.USER], value_set=people).to_numpy()
    columns = pc.index_in(table[Columns.ITEM], value_set=items).to_numpy()
    values = table[Columns.CONFIDENCE].to_numpy().astype(np.float32)
    matrix = sparse.csr_matrix((values, (rows, columns)), shape=(len(people), len(items)))
    matrix.sort_indices()
    return PairSample(people=people, items=items, confidences=matrix, pairs=total)


def ranked_for_everybody(items: pa.Array, order: NDArray[np.int64], people: NDArray[np.int64]) -> ItemFactors:
    """
    Return the model that ranks *items* in *order* (positions, best first) for everybody with a history.

    It has one latent factor: everybody's vector is a positive number, and an item's factor falls with its rank. So the
    same code ranks popularity and every other model.
    """
    factor = np.empty((len(items), 1), dtype=np.float32)
    factor[order, 0] = np.linspace(1.0, 0.5, len(items), dtype=np.float32)
    return ItemFactors(items=items, factors=factor, people=people, alpha=1.0, regularisation=1.0, facts={})


def popularity(model: ItemFactors) -> ItemFactors:
    """Return the model that ranks by the number of people who touched each item of *model* in training."""
    return ranked_for_everybody(model.items, model.by_popularity, model.people)


def recent_popularity(model: ItemFactors, recent: DataFrame) -> ItemFactors:
    """
    Return the model that ranks by the number of people in *recent* (user_id, item_id; any number of rows per pair).

    Ties, for instance items without recent people, are ranked by the number of people in training.
    """
    found = recent.groupBy(Columns.ITEM).agg(F.count_distinct(Columns.USER).alias("people")).toArrow()
    positions = model.positions(found[Columns.ITEM].combine_chunks())
    lately = np.zeros(len(model.items), dtype=np.int64)
    lately[positions[positions >= 0]] = found["people"].to_numpy()[positions >= 0]
    order = np.lexsort((-model.people, -lately))
    return ranked_for_everybody(model.items, order, model.people)


def item_neighbours(model: ItemFactors, sample: PairSample, *, likeness: Likeness, most: int) -> ItemFactors:
    """
    Return the model in which each past item adds the root of r times its similarity to its *most* most similar items.

    Item-based collaborative filtering (Sarwar et al. 2001). *sample* has the items of *model*. Similarities of 0 or
    less do not count.
    """
    by_item = damped(sample.confidences).T.tocsr()
    n = len(model.items)
    themselves = np.arange(n)
    matrix = sparse.vstack([near for _, near in _nearest(by_item, by_item, likeness, most, themselves)], format="csr")
    matrix.sort_indices()
    links = ItemItemWeights(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data, _POWER)
    nothing = np.empty((n, 0), dtype=np.float32)
    return ItemFactors(
        items=model.items, factors=nothing, people=model.people, alpha=1.0, regularisation=1.0, facts={}, links=links
    )


@dataclass(frozen=True, eq=False)
class PeopleNeighbours:
    """User-based collaborative filtering (Herlocker et al. 1999)."""

    sample: PairSample
    likeness: Likeness
    most: int
    """Largest number of neighbours of a person."""

    def scores(self, people: pa.Array, histories: sparse.csr_matrix) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """
        Yield blocks of people x items, each with the position of its first person.

        A score is the sum over the person's neighbours of similarity times the square root of the neighbour's r.
        *histories* is people x items of the sample with r as values. People are not their own neighbours, and
        neighbours with a similarity of 0 or less do not count.
        """
        everyone, mine = damped(self.sample.confidences), damped(histories)
        themselves = pc.fill_null(pc.index_in(people, value_set=self.sample.people), -1).to_numpy()
        for start, near in _nearest(mine, everyone, self.likeness, self.most, themselves):
            yield start, (near @ everyone).toarray()


def damped(confidences: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return the square roots, which reduce the weight of repeated interactions."""
    return confidences.sqrt()


def _nearest(
    left: sparse.csr_matrix,
    right: sparse.csr_matrix,
    likeness: Likeness,
    limit: int,
    themselves: NDArray[np.int64],
) -> Iterator[tuple[int, sparse.csr_matrix]]:
    """
    Yield blocks of rows of *left* x rows of *right*, each with its first row: the *limit* largest similarities.

    Similarity is the cosine, or Pearson's correlation over all columns; only values above 0 are kept. A missing entry
    counts as 0, which correlation takes into account and the cosine does not. A row without variance has similarity 0,
    and so has row n of *left* with row *themselves*[n] of *right*.

    Entries are above 0, so no similarity is above 0 without a common column, and a sparse product suffices.
    """
    ours, our_share = _scaled(left, likeness)
    theirs, their_share = _scaled(right, likeness)
    columns = theirs.T.tocsr()
    block = max(1, _ENTRIES // max(*right.shape, 1))
    for start in range(0, left.shape[0], block):
        alike = ours[start : start + block] @ columns
        row = start + np.repeat(np.arange(alike.shape[0]), np.diff(alike.indptr))
        if likeness == "pearson":
            alike.data -= our_share[row] * their_share[alike.indices]
        alike.data[alike.indices == themselves[row]] = 0.0
        yield start, _largest(alike, limit)


def _largest(values: sparse.csr_matrix, limit: int) -> sparse.csr_matrix:
    """Return the *limit* largest entries above 0 of each row."""
    kept = values.data > 0
    for first, stop in zip(values.indptr[:-1].tolist(), values.indptr[1:].tolist(), strict=True):
        if stop - first > limit:
            kept[first + np.argpartition(values.data[first:stop], stop - first - limit)[:-limit]] = False
    rows = np.repeat(np.arange(values.shape[0]), np.diff(values.indptr))
    pointers = np.concatenate([[0], np.cumsum(np.bincount(rows[kept], minlength=values.shape[0]))])
    found = values.data[kept].astype(np.float32)
    return sparse.csr_matrix((found, values.indices[kept], pointers), shape=values.shape)


def _scaled(rows: sparse.csr_matrix, likeness: Likeness) -> tuple[sparse.csr_matrix, NDArray[np.float64]]:
    """
    Return *rows* scaled so that a product of two is their cosine, or Pearson's correlation plus a product of shares.

    With means m and lengths s around them over n columns that is (x y - n m m') / (s s'), so a share is root(n) m / s.
    """
    wide = rows.astype(np.float64)
    squares = np.asarray(wide.multiply(wide).sum(axis=1)).ravel()
    mean = np.zeros(len(squares)) if likeness == "cosine" else np.asarray(wide.mean(axis=1)).ravel()
    around = squares - rows.shape[1] * mean**2
    # Treat rounding residue as zero variance.
    lengths = np.sqrt(np.where(around > 1e-9 * squares, around, np.inf))
    wide.data /= np.repeat(lengths, np.diff(wide.indptr))
    return wide, np.sqrt(rows.shape[1]) * mean / lengths
