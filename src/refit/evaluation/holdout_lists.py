"""Evaluates models on the holdout: full rankings over the catalogue, with the same people and items for every model."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from refit.columns import Columns
from refit.config import Evaluation
from refit.errors import ConfigurationError
from refit.evaluation.baselines import popularity
from refit.evaluation.cohorts import FIRST_SEEN_DAYS, Described
from refit.evaluation.metrics import METRICS
from refit.evaluation.rankers import ByModel, Contender
from refit.evaluation.ratings import ByFolding, Missed, RatingPredictor, missed
from refit.model.item_factors import ItemFactors
from refit.training.holdout_coverage import LEFT_OUT

CHALLENGER, CHAMPION, POPULARITY = "challenger", "champion", "popularity"
ANCHOR = "anchor"
"""An earlier champion's recipe, trained on the same days as the challenger; see `refit.evaluation.anchors`."""

_ACTIVITY, _PAST, _WANTED = "_activity", "_past", "_wanted"


@dataclass(frozen=True, eq=False)
class Judged:
    """The lists of some people and their hits; all arrays have the people in the same order."""

    k: int
    """Length of the lists that the promotion gate uses."""
    lengths: tuple[int, ...]
    """Lengths at which lists are evaluated; the longest is the width of *lists*."""
    users: pa.Array
    """User ids, ascending."""
    items: pa.Array
    """The catalogue: the items that the challenger was trained on."""
    relevant: NDArray[np.int64]
    """Number of relevant items of each person."""
    lists: Mapping[str, NDArray[np.int32]]
    """Model -> people x longest: positions in *items*, best first, -1 for none."""
    hits: Mapping[str, NDArray[np.bool_]]
    """Model -> people x longest: whether the item is relevant."""
    described: Described
    past: NDArray[np.float64]
    """Mean popularity (number of people) of the items in each person's history."""
    ratings: Missed | None = None
    """Errors of predicted ratings, the challenger's first; None in a shop without ratings."""
    wanted: NDArray[np.int64] | None = None
    """Number of items each person wanted, including those outside the holdout; None if they were not counted."""

    @property
    def people(self) -> int:
        """Number of people judged."""
        return len(self.users)

    def values(self, model: str, metric: str, k: int | None = None) -> NDArray[np.float64]:
        """Return the metric of each person at length *k*, by default the deciding length."""
        return METRICS[metric](self.hits[model][:, : k or self.k], self.relevant)

    def mean_over_all(self, model: str, metric: str, k: int, *, share: float) -> float:
        """
        Return the mean of one metric in which people and items that no model knows count as missed.

        *share* is the share of all people who wanted something that can be judged.
        """
        if self.wanted is None:
            raise ValueError("what was left out of this holdout was not counted")
        if not self.people:
            return 0.0
        return share * float(METRICS[metric](self.hits[model][:, :k], self.wanted).mean())

    def mean(self, model: str, metric: str, k: int | None = None) -> float:
        """Return the mean of one metric over people; 0 without people."""
        return float(self.values(model, metric, k).mean()) if self.people else 0.0

    def between(self, champion: str | None, models: Collection[str]) -> Judged:
        """
        Return the challenger, *champion* renamed to `champion`, and the baselines.

        *models* are the names of everything judged as a model; all other rankers are baselines. None: no champion.
        """
        kept = {name: name for name in self.hits if name == CHALLENGER or name not in models}
        kept |= {champion: CHAMPION} if champion else {}
        return replace(
            self,
            lists={kept[name]: lists for name, lists in self.lists.items() if name in kept},
            hits={kept[name]: hits for name, hits in self.hits.items() if name in kept},
        )

    def means(self) -> dict[str, dict[str, float]]:
        """Return model -> metric -> mean at the deciding length."""
        return {model: {metric: self.mean(model, metric) for metric in METRICS} for model in self.hits}


def judge_people(
    histories: DataFrame,
    holdout: DataFrame,
    models: Mapping[str, ItemFactors],
    settings: Evaluation,
    *,
    own: Mapping[str, DataFrame] | None = None,
    rivals: Mapping[str, Contender] | None = None,
    raters: Mapping[str, RatingPredictor] | None = None,
    traits: DataFrame | None = None,
    left_out: DataFrame | None = None,
) -> Judged:
    """
    Return the lists of every model for each person of *holdout*, with their hits.

    *histories* are those of `refit.lake.pairs.histories` at the cutoff, and *holdout* is made by
    `refit.training.training_set.holdout`. A model trained with other confidences has its *own* histories, by model
    name. The catalogue is that of the model `challenger`: the holdout has no other items, so no model may recommend
    them. Popularity in the challenger's training set is always one of the *rivals*. If *holdout* has ratings and the
    challenger predicts ratings, the other rating models and the *raters* predict them too. *traits* are those of
    `refit.evaluation.cohorts.traits`. At most `settings.max_people` people are judged, chosen by a hash of their id and
    `settings.seed`, which `Evaluation.drawn_for` varies by training set; only their lists are collected on the driver.
    *left_out* is the result of `refit.training.holdout_coverage.left_out`.

    Raises:
        ConfigurationError: a model knows no item of the catalogue, so its item ids differ.
    """
    challenger = models[CHALLENGER]
    catalogue = challenger.items
    rankers: dict[str, Contender] = {name: ByModel.over(model, catalogue) for name, model in models.items()}
    rankers[POPULARITY] = ByModel.over(popularity(challenger), catalogue)
    rankers |= rivals or {}
    predicting: dict[str, RatingPredictor] = {}
    if Columns.RATINGS in holdout.columns and _predicts_ratings(challenger):
        predicting = {name: ByFolding(model) for name, model in models.items() if _predicts_ratings(model)}
        predicting |= raters or {}
    task = _RankingTask(rankers, predicting, challenger, max(settings.lengths))

    chosen = holdout.orderBy(F.xxhash64(Columns.USER, F.lit(settings.seed)), Columns.USER).limit(settings.max_people)
    if left_out is not None:
        chosen = chosen.join(left_out, Columns.USER, "left").fillna(0, subset=[LEFT_OUT])
    judged = histories.join(F.broadcast(chosen), Columns.USER)
    for name, own_histories in (own or {}).items():
        judged = judged.join(_renamed(own_histories, name), Columns.USER, "left")
    columns: list[str] = []
    if traits is not None:
        columns = [name for name in traits.columns if name != Columns.USER]
        # The shop's column names may contain any character, those of Arrow input may not.
        numbered = [F.col(f"`{name}`").alias(_trait(n)) for n, name in enumerate(columns)]
        judged = judged.join(traits.select(Columns.USER, *numbered), Columns.USER, "left")
    shared = judged.sparkSession.sparkContext.broadcast(task)

    def judge(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield shared.value.judge(batch, columns)

    table = judged.mapInArrow(judge, task.schema(judged, columns)).orderBy(Columns.USER).toArrow()
    return _gathered(table.combine_chunks(), task, columns, settings)


def _predicts_ratings(model: ItemFactors) -> bool:
    return not model.implicit and model.links is None


class _RankingTask:
    """The rankers, with the positions of their items in one catalogue; runs in Spark tasks."""

    def __init__(
        self,
        rankers: Mapping[str, Contender],
        predictors: Mapping[str, RatingPredictor],
        challenger: ItemFactors,
        width: int,
    ) -> None:
        self.rankers, self.predictors, self.challenger, self.width = rankers, predictors, challenger, width
        self.positions = {name: challenger.positions(ranker.items) for name, ranker in rankers.items()}
        for name, positions in self.positions.items():
            if not (positions >= 0).any():
                raise ConfigurationError(
                    f"{name} knows none of the {len(challenger.items):,} items of the training set (its own are "
                    f"{', '.join(repr(item) for item in rankers[name].items[:3].to_pylist()) or 'none'} ...), so it "
                    "cannot be compared; if the shop's item ids have changed, publish under a new shop name"
                )

    def schema(self, people: DataFrame, columns: Sequence[str]) -> str:
        kinds = dict(people.dtypes)
        fields = [f"{Columns.USER} string", f"{_WANTED} long", f"{_ACTIVITY} long", f"{_PAST} double"]
        fields += [f"{LEFT_OUT} long"] if LEFT_OUT in people.columns else []
        fields += [f"{_trait(n)} {kinds[_trait(n)]}" for n in range(len(columns))]
        fields += [f"`{name}.list` array<int>, `{name}.hits` array<boolean>" for name in self.rankers]
        fields += [f"`{Columns.RATINGS}` array<double>"] if self.predictors else []
        fields += [f"`{name}.rated` array<double>" for name in self.predictors]
        return ", ".join(fields)

    def judge(self, batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
        """Return the lists of the people of *batch*."""
        wanted = _column(batch, Columns.RELEVANT)
        counts = wanted.value_lengths().to_numpy().astype(np.int64)
        owners = np.repeat(np.arange(len(batch)), counts)
        size = len(self.challenger.items) + 1
        wanted_keys = owners * size + self.challenger.positions(wanted.flatten())
        made = {
            Columns.USER: _column(batch, Columns.USER),
            _WANTED: pa.array(counts),
            **dict(zip((_ACTIVITY, _PAST), self._pasts(batch), strict=True)),
            **{name: _column(batch, name) for name in (LEFT_OUT,) if name in batch.schema.names},
            **{_trait(n): _column(batch, _trait(n)) for n in range(len(columns))},
        }
        people = np.arange(len(batch))[:, None]
        for name, ranker in self.rankers.items():
            found = ranker.rank(_seen_by(name, batch), self.width)
            # Index -1 selects the appended entry, which stands for no item.
            positions = np.append(self.positions[name], -1)[found]
            hits = np.isin(people * size + positions, wanted_keys) & (positions >= 0)
            made |= {f"{name}.list": _rows(positions.astype(np.int32)), f"{name}.hits": _rows(hits)}
        if self.predictors:
            made[Columns.RATINGS] = _column(batch, Columns.RATINGS)
            offsets = pa.array(np.append(0, np.cumsum(counts)), pa.int32())
            made |= {
                f"{name}.rated": pa.ListArray.from_arrays(offsets, predictor.predict(_seen_by(name, batch), wanted))
                for name, predictor in self.predictors.items()
            }
        return pa.RecordBatch.from_pydict(made)

    def _pasts(self, batch: pa.RecordBatch) -> tuple[pa.Array, pa.Array]:
        """Return the number of items that each person's history teaches, and their mean popularity."""
        items = _column(batch, Columns.ITEMS)
        owners = np.repeat(np.arange(len(batch)), items.value_lengths().to_numpy())
        positions = self.challenger.positions(items.flatten())
        confidences = _column(batch, Columns.CONFIDENCES).flatten().to_numpy(zero_copy_only=False)
        taught = (positions >= 0) & (confidences > 0)
        activity = np.bincount(owners[taught], minlength=len(batch))
        total = np.bincount(owners[taught], self.challenger.people[positions[taught]], minlength=len(batch))
        return pa.array(activity), pa.array(total / np.maximum(activity, 1))


def _gathered(table: pa.Table, task: _RankingTask, columns: Sequence[str], settings: Evaluation) -> Judged:
    people, shape = len(table), (len(table), task.width)
    first_seen = None
    if FIRST_SEEN_DAYS in columns:
        first_seen = table[_trait(columns.index(FIRST_SEEN_DAYS))].cast(pa.float64()).fill_null(np.nan).to_numpy()
    segments = {name: _whole(table, _trait(n)) for n, name in enumerate(columns) if name != FIRST_SEEN_DAYS}
    ratings = None
    if task.predictors:
        predicted = {name: _whole(table, f"{name}.rated").flatten().to_numpy() for name in task.predictors}
        ratings = missed(_whole(table, Columns.RATINGS), predicted)
    return Judged(
        k=settings.k,
        lengths=settings.lengths,
        users=_whole(table, Columns.USER),
        items=task.challenger.items,
        relevant=table[_WANTED].to_numpy(),
        lists={name: _whole(table, f"{name}.list").flatten().to_numpy().reshape(shape) for name in task.rankers},
        hits={
            name: _whole(table, f"{name}.hits").flatten().to_numpy(zero_copy_only=False).astype(np.bool_).reshape(shape)
            for name in task.rankers
        },
        described=Described(table[_ACTIVITY].to_numpy(), first_seen, segments)
        if people
        else Described(np.empty(0, int)),
        past=table[_PAST].to_numpy(),
        ratings=ratings,
        wanted=table[_WANTED].to_numpy() + table[LEFT_OUT].to_numpy() if LEFT_OUT in table.column_names else None,
    )


_HISTORY = {Columns.ITEMS: "array<string>", Columns.CONFIDENCES: "array<double>", Columns.BOUGHT: "array<boolean>"}


def _trait(number: int) -> str:
    return f"_trait_{number}"


def _renamed(histories: DataFrame, model: str) -> DataFrame:
    return histories.select(Columns.USER, *[F.col(name).alias(f"{name}@{model}") for name in _HISTORY])


def _seen_by(model: str, batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the histories of *batch* for *model*; a person without one gets an empty history."""
    if f"{Columns.ITEMS}@{model}" not in batch.schema.names:
        return batch
    arrays = [_column(batch, f"{name}@{model}") for name in _HISTORY]
    filled = [pc.fill_null(array, pa.scalar([], array.type)) for array in arrays]
    return pa.RecordBatch.from_arrays([_column(batch, Columns.USER), *filled], [Columns.USER, *_HISTORY])


def _whole(table: pa.Table, name: str) -> pa.Array:
    column = table[name]
    return column.combine_chunks() if column.num_chunks else pa.array([], column.type)


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    return batch.column(batch.schema.get_field_index(name))


def _rows(values: NDArray[np.int32] | NDArray[np.bool_]) -> pa.ListArray:
    offsets = np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.ravel()))
