"""Judging models on the holdout: full rankings over the catalogue, the same people and questions for every model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from refit.columns import Columns
from refit.config import Evaluation
from refit.factors import ItemFactors
from refit.fold_in import History, fold_in, read_histories
from refit.metrics import METRICS
from refit.ranking import top_k

POPULARITY = "popularity"

Ranker = Callable[[ItemFactors, History, NDArray[np.bool_], int], NDArray[np.int64]]
"""Ranks allowed items of a model for one person: positions, best first."""


@dataclass(frozen=True, eq=False)
class Judged:
    """What was measured on each person."""

    people: int
    values: Mapping[str, Mapping[str, NDArray[np.float64]]]
    """Model -> metric -> one value per person; the same person at the same place everywhere."""
    recommended: Mapping[str, int]
    """Model -> how many different items occur in its lists."""
    catalogue: int
    """Items that the challenger could recommend."""

    def mean(self, model: str, metric: str) -> float:
        """Return the mean of one metric over people."""
        return float(self.values[model][metric].mean())

    def means(self) -> dict[str, dict[str, float]]:
        """Return model -> metric -> mean."""
        return {model: {name: float(v.mean()) for name, v in metrics.items()} for model, metrics in self.values.items()}


def by_factors(model: ItemFactors, history: History, allowed: NDArray[np.bool_], k: int) -> NDArray[np.int64]:
    """Rank by the person's folded-in vector; somebody of whom the model knows nothing gets what lists would show."""
    if not (history.confidences > 0).any():
        return by_popularity(model, history, allowed, k)
    person = fold_in(model, history.positions, history.confidences)
    return top_k(model.factors @ person.vector.astype(np.float32), allowed, k)


def by_popularity(model: ItemFactors, history: History, allowed: NDArray[np.bool_], k: int) -> NDArray[np.int64]:
    """Rank by the number of people in the training set of *model*, the same for everybody."""
    order = model.by_popularity
    return order[allowed[order]][:k]


def judge_people(
    histories: DataFrame,
    holdout: DataFrame,
    models: Mapping[str, ItemFactors],
    settings: Evaluation,
) -> Judged:
    """
    Return every metric of every model for each person of *holdout*; popularity is that of the model `challenger`.

    *histories* are those of `refit.histories.histories` at the cutoff and *holdout* is made by
    `refit.training_sets.holdout`. At most `settings.max_people` people are judged, chosen by a hash of their id; their
    values come to the driver, nothing else does.
    """
    chosen = holdout.orderBy(F.xxhash64(Columns.USER, F.lit(settings.seed)), Columns.USER).limit(settings.max_people)
    asked = histories.join(F.broadcast(chosen), Columns.USER)
    rankers: dict[str, tuple[ItemFactors, Ranker]] = {name: (model, by_factors) for name, model in models.items()}
    rankers[POPULARITY] = (models["challenger"], by_popularity)
    shared = asked.sparkSession.sparkContext.broadcast(rankers)
    k = settings.k

    def judge(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield _judge_batch(batch, shared.value, k)

    fields = ", ".join(f"`{name}.{metric}` double" for name in rankers for metric in METRICS)
    lists = ", ".join(f"`{name}.list` array<string>" for name in rankers)
    table = asked.mapInArrow(judge, f"{Columns.USER} string, {fields}, {lists}").orderBy(Columns.USER).toArrow()
    values = {name: {metric: table[f"{name}.{metric}"].to_numpy() for metric in METRICS} for name in rankers}
    recommended = {name: len(table[f"{name}.list"].combine_chunks().flatten().unique()) for name in rankers}
    return Judged(people=len(table), values=values, recommended=recommended, catalogue=len(models["challenger"].items))


def _judge_batch(batch: pa.RecordBatch, rankers: Mapping[str, tuple[ItemFactors, Ranker]], k: int) -> pa.RecordBatch:
    relevant = [set(row) for row in batch.column(batch.schema.get_field_index(Columns.RELEVANT)).to_pylist()]
    columns: dict[str, list[object]] = {Columns.USER: []}
    columns |= {f"{name}.{metric}": [] for name in rankers for metric in METRICS}
    columns |= {f"{name}.list": [] for name in rankers}
    columns[Columns.USER] = batch.column(batch.schema.get_field_index(Columns.USER)).to_pylist()
    for name, (model, rank) in rankers.items():
        for history, wanted in zip(read_histories(batch, model), relevant, strict=True):
            allowed = np.ones(len(model.items), dtype=np.bool_)
            allowed[history.positions[history.bought]] = False
            ids = model.items.take(pa.array(rank(model, history, allowed, k))).to_pylist()
            hits = np.zeros(k)
            hits[: len(ids)] = [item in wanted for item in ids]
            for metric, measure in METRICS.items():
                columns[f"{name}.{metric}"].append(measure(hits, len(wanted)))
            columns[f"{name}.list"].append(ids)
    return pa.RecordBatch.from_pydict(columns)


@dataclass(frozen=True)
class Interval:
    """A mean difference and where it lies with the configured confidence."""

    difference: float
    low: float
    high: float


def paired_interval(ours: NDArray[np.float64], theirs: NDArray[np.float64], settings: Evaluation) -> Interval:
    """
    Return the mean of *ours* - *theirs* over people with its percentile bootstrap interval (Efron 1979).

    People are resampled, so that both models always answer for the same people.
    """
    differences = ours - theirs
    generator = np.random.default_rng(settings.seed)
    n = len(differences)
    means = np.array([differences[generator.integers(0, n, n)].mean() for _ in range(settings.resamples)])
    tail = (1 - settings.level) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(differences.mean()), float(low), float(high))
