"""Judging models on the holdout: full rankings over the catalogue, the same people and questions for every model."""

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
"""The recipe of an earlier champion, trained on the same days as the challenger; see `refit.evaluation.anchors`."""

_ACTIVITY, _PAST, _WANTED = "_activity", "_past", "_wanted"


@dataclass(frozen=True, eq=False)
class Judged:
    """The lists of some people and what was right in them; the same person at the same place everywhere."""

    k: int
    """Length of the lists that decide."""
    lengths: tuple[int, ...]
    """Lengths at which lists are judged; the longest is the width of *lists*."""
    users: pa.Array
    """Ids, ascending."""
    items: pa.Array
    """The catalogue: the items that the challenger learnt."""
    relevant: NDArray[np.int64]
    """How many items each person came to want."""
    lists: Mapping[str, NDArray[np.int32]]
    """Model -> people x longest: positions in *items*, best first, -1 for none."""
    hits: Mapping[str, NDArray[np.bool_]]
    """Model -> people x longest: whether that item was wanted."""
    described: Described
    past: NDArray[np.float64]
    """Mean number of people who touched the items of a person's history."""
    ratings: Missed | None = None
    """Where the shop has ratings: the errors of predicted ones, those of the challenger first."""
    wanted: NDArray[np.int64] | None = None
    """How many items each person came to want, with those that no model is asked about; None where nobody counted."""

    @property
    def people(self) -> int:
        """How many people were judged."""
        return len(self.users)

    def values(self, model: str, metric: str, k: int | None = None) -> NDArray[np.float64]:
        """Return the metric of each person at length *k*, the deciding one unless told."""
        return METRICS[metric](self.hits[model][:, : k or self.k], self.relevant)

    def mean_over_all(self, model: str, metric: str, k: int, *, share: float) -> float:
        """
        Return the mean of one metric where what no model knows counts as missed: items, and people.

        *share* is the share of people who can be judged in all who came to want something.
        """
        if self.wanted is None:
            raise ValueError("what was left out of this holdout was not counted")
        if not self.people:
            return 0.0
        return share * float(METRICS[metric](self.hits[model][:, :k], self.wanted).mean())

    def mean(self, model: str, metric: str, k: int | None = None) -> float:
        """Return the mean of one metric over people; 0 without any."""
        return float(self.values(model, metric, k).mean()) if self.people else 0.0

    def between(self, champion: str | None, models: Collection[str]) -> Judged:
        """
        Return the challenger beside *champion*, which is then called `champion`, and beside whoever is no model.

        *models* are the names of all that were judged as models; baselines stay. None: there is no champion.
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
    Return the lists of every model for each person of *holdout*, and what was right in them.

    *histories* are those of `refit.lake.pairs.histories` at the cutoff and *holdout* is made by
    `refit.training.training_set.holdout`. A model that was trained with other confidences has histories of its *own*,
    under its name. The catalogue is that of the model `challenger`: nobody is asked about other items, so no model may
    recommend them. Popularity, that of the same model, is always one of the *rivals*. Where *holdout* has ratings and
    the challenger predicts them, so do the other models of ratings and the *raters*. *traits* are those of
    `refit.evaluation.cohorts.traits`. At most `settings.max_people` people are judged, chosen by a hash of their id and
    `settings.seed`, which `Evaluation.drawn_for` makes another one for each training set;
    their lists come to the driver, nothing else does. *left_out* is that of `refit.training.holdout_coverage.left_out`.

    Raises:
        ConfigurationError: a model knows no item of the catalogue, so its items have other ids.
    """
    challenger = models[CHALLENGER]
    catalogue = challenger.items
    contenders: dict[str, Contender] = {name: ByModel.over(model, catalogue) for name, model in models.items()}
    contenders[POPULARITY] = ByModel.over(popularity(challenger), catalogue)
    contenders |= rivals or {}
    predicting: dict[str, RatingPredictor] = {}
    if Columns.RATINGS in holdout.columns and _predicts_ratings(challenger):
        predicting = {name: ByFolding(model) for name, model in models.items() if _predicts_ratings(model)}
        predicting |= raters or {}
    contest = _Contest(contenders, predicting, challenger, max(settings.lengths))

    chosen = holdout.orderBy(F.xxhash64(Columns.USER, F.lit(settings.seed)), Columns.USER).limit(settings.max_people)
    if left_out is not None:
        chosen = chosen.join(left_out, Columns.USER, "left").fillna(0, subset=[LEFT_OUT])
    asked = histories.join(F.broadcast(chosen), Columns.USER)
    for name, theirs in (own or {}).items():
        asked = asked.join(_renamed(theirs, name), Columns.USER, "left")
    columns: list[str] = []
    if traits is not None:
        columns = [name for name in traits.columns if name != Columns.USER]
        # A name of the shop's may be anything, a name of Arrow's input may not.
        numbered = [F.col(f"`{name}`").alias(_trait(n)) for n, name in enumerate(columns)]
        asked = asked.join(traits.select(Columns.USER, *numbered), Columns.USER, "left")
    shared = asked.sparkSession.sparkContext.broadcast(contest)

    def judge(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            yield shared.value.judge(batch, columns)

    table = asked.mapInArrow(judge, contest.schema(asked, columns)).orderBy(Columns.USER).toArrow()
    return _gathered(table.combine_chunks(), contest, columns, settings)


def _predicts_ratings(model: ItemFactors) -> bool:
    return not model.implicit and model.links is None


class _Contest:
    """The contenders with the positions of their items in one catalogue."""

    def __init__(
        self,
        contenders: Mapping[str, Contender],
        raters: Mapping[str, RatingPredictor],
        challenger: ItemFactors,
        width: int,
    ) -> None:
        self.contenders, self.raters, self.challenger, self.width = contenders, raters, challenger, width
        self.places = {name: challenger.positions(contender.items) for name, contender in contenders.items()}
        for name, places in self.places.items():
            if not (places >= 0).any():
                raise ConfigurationError(
                    f"{name} knows none of the {len(challenger.items):,} items of the training set (its own are "
                    f"{', '.join(repr(item) for item in contenders[name].items[:3].to_pylist()) or 'none'} ...), so it "
                    "cannot be compared; if the shop's item ids have changed, publish under a new shop name"
                )

    def schema(self, asked: DataFrame, columns: Sequence[str]) -> str:
        kinds = dict(asked.dtypes)
        fields = [f"{Columns.USER} string", f"{_WANTED} long", f"{_ACTIVITY} long", f"{_PAST} double"]
        fields += [f"{LEFT_OUT} long"] if LEFT_OUT in asked.columns else []
        fields += [f"{_trait(n)} {kinds[_trait(n)]}" for n in range(len(columns))]
        fields += [f"`{name}.list` array<int>, `{name}.hits` array<boolean>" for name in self.contenders]
        fields += [f"`{Columns.RATINGS}` array<double>"] if self.raters else []
        fields += [f"`{name}.rated` array<double>" for name in self.raters]
        return ", ".join(fields)

    def judge(self, batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
        """Return the lists of the people of *batch*."""
        wanted = _column(batch, Columns.RELEVANT)
        counts = wanted.value_lengths().to_numpy().astype(np.int64)
        owners = np.repeat(np.arange(len(batch)), counts)
        size = len(self.challenger.items) + 1
        asked = owners * size + self.challenger.positions(wanted.flatten())
        made = {
            Columns.USER: _column(batch, Columns.USER),
            _WANTED: pa.array(counts),
            **dict(zip((_ACTIVITY, _PAST), self._pasts(batch), strict=True)),
            **{name: _column(batch, name) for name in (LEFT_OUT,) if name in batch.schema.names},
            **{_trait(n): _column(batch, _trait(n)) for n in range(len(columns))},
        }
        people = np.arange(len(batch))[:, None]
        for name, contender in self.contenders.items():
            found = contender.rank(_seen_by(name, batch), self.width)
            # The last place of all is that of no item.
            places = np.append(self.places[name], -1)[found]
            hits = np.isin(people * size + places, asked) & (places >= 0)
            made |= {f"{name}.list": _rows(places.astype(np.int32)), f"{name}.hits": _rows(hits)}
        if self.raters:
            made[Columns.RATINGS] = _column(batch, Columns.RATINGS)
            starts = pa.array(np.append(0, np.cumsum(counts)), pa.int32())
            made |= {
                f"{name}.rated": pa.ListArray.from_arrays(starts, rater.predict(_seen_by(name, batch), wanted))
                for name, rater in self.raters.items()
            }
        return pa.RecordBatch.from_pydict(made)

    def _pasts(self, batch: pa.RecordBatch) -> tuple[pa.Array, pa.Array]:
        """Return how many items each person's history teaches, and how popular those are on average."""
        items = _column(batch, Columns.ITEMS)
        owners = np.repeat(np.arange(len(batch)), items.value_lengths().to_numpy())
        positions = self.challenger.positions(items.flatten())
        confidences = _column(batch, Columns.CONFIDENCES).flatten().to_numpy(zero_copy_only=False)
        taught = (positions >= 0) & (confidences > 0)
        activity = np.bincount(owners[taught], minlength=len(batch))
        total = np.bincount(owners[taught], self.challenger.people[positions[taught]], minlength=len(batch))
        return pa.array(activity), pa.array(total / np.maximum(activity, 1))


def _gathered(table: pa.Table, contest: _Contest, columns: Sequence[str], settings: Evaluation) -> Judged:
    people, shape = len(table), (len(table), contest.width)
    first_seen = None
    if FIRST_SEEN_DAYS in columns:
        first_seen = table[_trait(columns.index(FIRST_SEEN_DAYS))].cast(pa.float64()).fill_null(np.nan).to_numpy()
    segments = {name: _whole(table, _trait(n)) for n, name in enumerate(columns) if name != FIRST_SEEN_DAYS}
    ratings = None
    if contest.raters:
        predicted = {name: _whole(table, f"{name}.rated").flatten().to_numpy() for name in contest.raters}
        ratings = missed(_whole(table, Columns.RATINGS), predicted)
    return Judged(
        k=settings.k,
        lengths=settings.lengths,
        users=_whole(table, Columns.USER),
        items=contest.challenger.items,
        relevant=table[_WANTED].to_numpy(),
        lists={name: _whole(table, f"{name}.list").flatten().to_numpy().reshape(shape) for name in contest.contenders},
        hits={
            name: _whole(table, f"{name}.hits").flatten().to_numpy(zero_copy_only=False).astype(np.bool_).reshape(shape)
            for name in contest.contenders
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
    """Return the histories of *batch* that *model* wants; somebody who has none for it has an empty one."""
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
