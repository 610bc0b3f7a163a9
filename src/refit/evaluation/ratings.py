"""Compares predicted ratings with given ones, in a shop with explicit preferences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from refit.evaluation.baselines import PairSample
from refit.evaluation.intervals import Interval, interval_of, resampled_sums
from refit.model.item_factors import ItemFactors
from refit.ranking.flat_histories import read_histories
from refit.ranking.fold_in import fold_in_people

ITEM_MEAN = "item_mean"
"""The baseline that predicts the mean rating of each item for everybody."""


class RatingPredictor(Protocol):
    """Predicts ratings."""

    def predict(self, batch: pa.RecordBatch, wanted: pa.ListArray) -> NDArray[np.float64]:
        """
        Return a rating for each *wanted* item of the people in *batch*, flattened in order; NaN for none.

        *batch* is a batch of `refit.lake.pairs.histories`, and *wanted* has one list per person.
        """


@dataclass(frozen=True, eq=False)
class ByFolding:
    """Predicts with folded-in people and item factors; NaN for people without a history and for unknown items."""

    model: ItemFactors

    def predict(self, batch: pa.RecordBatch, wanted: pa.ListArray) -> NDArray[np.float64]:
        """Return the predicted ratings."""
        people = fold_in_people(self.model, read_histories(batch, self.model))
        owners = np.repeat(np.arange(len(batch)), wanted.value_lengths().to_numpy())
        positions = self.model.positions(wanted.flatten())
        factors = self.model.factors[positions].astype(np.float64)
        values = np.einsum("ij,ij->i", people.vectors[owners], factors)
        values[(positions < 0) | ~people.known[owners]] = np.nan
        return np.asarray(values, dtype=np.float64)


@dataclass(frozen=True, eq=False)
class ByItemMean:
    """Predicts the mean rating of each item, the same for everybody."""

    items: pa.Array
    means: NDArray[np.float64]

    @classmethod
    def of(cls, sample: PairSample) -> ByItemMean:
        """Return the item means over the pairs of *sample*; an item without pairs gets the overall mean."""
        given = sample.confidences.tocsc()
        totals = np.asarray(given.sum(axis=0, dtype=np.float64)).ravel()
        counts = np.diff(given.indptr)
        overall = totals.sum() / max(int(counts.sum()), 1)
        return cls(sample.items, np.divide(totals, counts, out=np.full(len(totals), overall), where=counts > 0))

    def predict(self, batch: pa.RecordBatch, wanted: pa.ListArray) -> NDArray[np.float64]:
        """Return the means of the wanted items, independent of the person."""
        found = pc.fill_null(pc.index_in(wanted.flatten(), value_set=self.items), -1)
        return np.asarray(np.append(self.means, np.nan)[found.to_numpy(zero_copy_only=False)], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Missed:
    """Errors on the ratings that all models predict, summed over the ratings of each judged person."""

    ratings: NDArray[np.int64]
    """Number of ratings of each person that count."""
    squared: Mapping[str, NDArray[np.float64]]
    """Model -> sum of the squared errors."""
    absolute: Mapping[str, NDArray[np.float64]]
    """Model -> sum of the absolute errors."""


@dataclass(frozen=True)
class RatingErrors:
    """Errors of predicted ratings, in rating units; lower is better."""

    ratings: int
    """Number of ratings that were given and that every model predicts."""
    people: int
    """Number of people who gave them."""
    errors: Mapping[str, Mapping[str, Interval]]
    """Model -> rmse and mae."""
    against: Mapping[str, Mapping[str, Interval]]
    """Rival -> rmse and mae of the first model minus those of the rival, paired."""


def missed(given: pa.ListArray, predicted: Mapping[str, NDArray[np.float64]]) -> Missed | None:
    """
    Return the errors of models on *given*, one list per person; *predicted* has as many flat values per model.

    A rating that is NaN, or that some model does not predict, is ignored for all models. None if no rating is left.
    """
    ratings = np.asarray(given.flatten().to_numpy(zero_copy_only=False), dtype=np.float64)
    counts = np.isfinite(np.stack([ratings, *predicted.values()])).all(axis=0)
    if not predicted or not counts.any():
        return None
    owners = np.repeat(np.arange(len(given)), given.value_lengths().to_numpy())[counts]
    errors = {name: values[counts] - ratings[counts] for name, values in predicted.items()}

    def summed(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(owners, weights=values, minlength=len(given)).astype(np.float64)

    return Missed(
        ratings=np.bincount(owners, minlength=len(given)).astype(np.int64),
        squared={name: summed(np.square(values)) for name, values in errors.items()},
        absolute={name: summed(np.abs(values)) for name, values in errors.items()},
    )


def compare_ratings(found: Missed, *, resamples: int, level: float, seed: int) -> RatingErrors:
    """
    Return root mean squared and mean absolute errors with intervals, and the differences of the first model.

    People are resampled with all their ratings, because ratings of one person are correlated; see
    `intervals.bootstrap`. Errors 1 and -2 of two people: the root of (1 + 4) / 2, and (1 + 2) / 2.

    >>> found = missed(pa.array([[3.0], [3.0]]), {"model": np.array([4.0, 1.0])})
    >>> errors = compare_ratings(found, resamples=100, level=0.95, seed=1).errors["model"]
    >>> round(errors["rmse"].mean, 6), errors["mae"].mean
    (1.581139, 1.5)
    """
    names = list(found.squared)
    sums = np.stack([found.ratings, *found.squared.values(), *found.absolute.values()], axis=1).astype(np.float64)
    draws = resampled_sums(sums, resamples=resamples, seed=seed)
    # A resample without any rating has no error.
    draws = draws[draws[:, 0] > 0]
    centre, drawn = _errors(sums.sum(axis=0)[None, :], names), _errors(draws, names)
    telling = int((found.ratings > 0).sum())

    def interval(values: NDArray[np.float64], middle: NDArray[np.float64]) -> Interval:
        return interval_of(values, float(middle[0]), telling=telling, level=level)

    first = names[0]
    return RatingErrors(
        ratings=int(found.ratings.sum()),
        people=telling,
        errors={
            name: {kind: interval(drawn[name][kind], centre[name][kind]) for kind in drawn[name]} for name in names
        },
        against={
            name: {
                kind: interval(drawn[first][kind] - drawn[name][kind], centre[first][kind] - centre[name][kind])
                for kind in drawn[name]
            }
            for name in names[1:]
        },
    )


def _errors(sums: NDArray[np.float64], names: list[str]) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return model -> rmse and mae of each row of *sums*: number of ratings, then squared and absolute errors."""
    mean = sums[:, 1:] / sums[:, :1]
    return {name: {"rmse": np.sqrt(mean[:, n]), "mae": mean[:, len(names) + n]} for n, name in enumerate(names)}
