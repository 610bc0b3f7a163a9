"""Validation folds: cut-offs before the training cutoff, each evaluated on the days that follow it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from scipy.sparse import csr_array

from refit.cleaning import without_cancelled
from refit.columns import Columns
from refit.config import ModelSettings, Shop
from refit.errors import NotEnoughDataError
from refit.interfaces import Factoriser
from refit.lake.pairs import person_item_pairs
from refit.training.engines import only_mllib_has, train, train_here
from refit.training.training_set import holdout
from refit.tuning.event_arrays import BYTES_PER_EVENT, EventArrays, taught_matrix
from refit.tuning.scoring import HoldoutPeople, judge


class Fold(Protocol):
    """One cut-off and the days after it."""

    @property
    def cutoff(self) -> datetime:
        """Training ends here."""

    def score(self, settings: ModelSettings) -> float:
        """Return the shop's promotion metric of a model trained before the cut-off with *settings*."""


@dataclass(frozen=True)
class Folds:
    """How the history before the training cutoff is divided into folds."""

    shop: Shop
    cutoff: datetime
    """Cutoff of the training set; nothing at or after it is read."""
    factoriser: Factoriser
    checkpoints: str
    """Folder writable by every executor, for sets that do not fit on one machine."""

    def cutoffs(self) -> list[datetime]:
        """Return the cut-offs, latest first, one holdout length apart and the latest one length before `cutoff`."""
        step, back = self.shop.training.holdout_days, self.shop.calendar.clock.back
        return [back(self.cutoff, step * (n + 1)) for n in range(self.shop.tuning.folds)]

    def make(self, events: DataFrame) -> tuple[Fold, ...]:
        """
        Return the folds of *events* (contract columns, as landed), latest first.

        Events that fit `als.local_memory_gb` are collected once; otherwise every trial is a Spark job.

        Raises:
            NotEnoughDataError: too few people return after a cut-off for a meaningful score.
        """
        known = events.where(F.col(Columns.EVENT_TIME) < F.lit(self.cutoff)).persist()
        try:
            needed = known.count() * BYTES_PER_EVENT * self.shop.tuning.folds / 2**30
            spread = self.shop.als.engine == "mllib" or only_mllib_has(self.shop.als)
            local = needed <= self.shop.als.local_memory_gb and not spread
            return tuple(self._fold(known if local else events, cutoff, local=local) for cutoff in self.cutoffs())
        finally:
            known.unpersist()

    def _fold(self, events: DataFrame, cutoff: datetime, *, local: bool) -> Fold:
        shop = self.shop
        until = shop.calendar.clock.back(cutoff, -shop.training.holdout_days)
        # Cancellations after a cut-off are unknown before it.
        before, whole = (
            without_cancelled(events.where(F.col(Columns.EVENT_TIME) < F.lit(end)), shop.events).where(
                F.col(Columns.EVENT_TYPE).isin(*shop.events.weights)
            )
            for end in (cutoff, until)
        )
        since = shop.calendar.clock.back(until, shop.training.window_days)
        serving_events = shop.serving_events
        pairs = person_item_pairs(before, since=since, as_of=cutoff, events=serving_events, confidence=shop.confidence)
        wanted = holdout(whole, pairs, cutoff=cutoff, as_of=until, events=serving_events)
        # Draw different people for each cut-off, and so for each training set.
        order = F.xxhash64(Columns.USER, F.lit(shop.tuning.seed), F.lit(cutoff.isoformat()))
        holdout_people = (
            wanted.orderBy(order, Columns.USER).limit(shop.tuning.max_people).orderBy(Columns.USER).toArrow()
        )
        if len(holdout_people) < shop.training.min_people:
            raise NotEnoughDataError(
                f"{len(holdout_people):,} people can judge the days from {cutoff.date()} to {until.date()} "
                f"(at least {shop.training.min_people:,}); lower tuning.folds, or land more days"
            )
        span = _Span(since, cutoff)
        if local:
            return LocalFold.of(span, EventArrays.collect(before), holdout_people, shop, self.factoriser)
        return SpreadFold(span, before, holdout_people, shop, self.factoriser, self.checkpoints)


@dataclass(frozen=True)
class _Span:
    since: datetime
    cutoff: datetime


@dataclass(frozen=True, eq=False)
class LocalFold:
    """A fold in the memory of this process: a trial takes about a second."""

    span: _Span
    journal: EventArrays
    rows: NDArray[np.int64]
    """Rows of the holdout people among `journal.people`."""
    judges: HoldoutPeople
    shop: Shop
    factoriser: Factoriser

    @classmethod
    def of(cls, span: _Span, journal: EventArrays, judges: pa.Table, shop: Shop, factoriser: Factoriser) -> LocalFold:
        """Return the fold evaluated on the people in the table *judges* (user_id, relevant)."""
        rows = _positions(judges[Columns.USER].combine_chunks(), journal.people)
        had = journal.had(shop.serving_events.bought)[rows]
        return cls(span, journal, rows, _holdout_people(judges, journal.items, had), shop, factoriser)

    @property
    def cutoff(self) -> datetime:
        """Training ends here."""
        return self.span.cutoff

    def score(self, settings: ModelSettings) -> float:
        """Return the shop's promotion metric of a model trained before the cut-off with *settings*."""
        confidences = self.journal.confidences(
            since=self.span.since, as_of=self.span.cutoff, weights=settings.weights, confidence=settings.confidence
        )
        pairs = self.journal.matrix(confidences)
        taught, _ = taught_matrix(pairs, self.journal.items)
        model = train_here(taught, settings, {}, factoriser=self.factoriser)
        return judge(
            model,
            pairs[self.rows],
            self.judges,
            metric=self.shop.promotion.metric,
            k=self.shop.evaluation.k,
        )


@dataclass(frozen=True, eq=False)
class SpreadFold:
    """A fold trained by Spark; only the histories of its holdout people are collected."""

    span: _Span
    events: DataFrame
    asked: pa.Table
    """The holdout people: user_id, relevant."""
    shop: Shop
    factoriser: Factoriser
    checkpoints: str

    @property
    def cutoff(self) -> datetime:
        """Training ends here."""
        return self.span.cutoff

    def score(self, settings: ModelSettings) -> float:
        """Return the shop's promotion metric of a model trained before the cut-off with *settings*."""
        pairs = person_item_pairs(
            self.events,
            since=self.span.since,
            as_of=self.span.cutoff,
            events=self.shop.serving_events.model_copy(update={"weights": settings.weights}),
            confidence=settings.confidence,
        ).persist()
        try:
            model = train(pairs, settings, {}, factoriser=self.factoriser, checkpoints=self.checkpoints)
            people = pairs.sparkSession.createDataFrame(self.asked.select([Columns.USER]))
            table = pairs.join(F.broadcast(people), Columns.USER).toArrow()
        finally:
            pairs.unpersist()
        user_ids = self.asked[Columns.USER].combine_chunks()
        rows = _positions(table[Columns.USER].combine_chunks(), user_ids)
        columns = model.positions(table[Columns.ITEM].combine_chunks())
        known = columns >= 0
        shape = (len(user_ids), len(model.items))
        cells = (rows[known], columns[known])
        history = csr_array((table[Columns.CONFIDENCE].to_numpy()[known], cells), shape=shape)
        bought = np.asarray(table[Columns.BOUGHT].to_numpy(), dtype=np.float64)[known]
        had = csr_array((bought, cells), shape=shape)
        for matrix in (history, had):
            matrix.eliminate_zeros()
            matrix.sort_indices()
        holdout_people = _holdout_people(self.asked, model.items, had)
        return judge(model, history, holdout_people, metric=self.shop.promotion.metric, k=self.shop.evaluation.k)


def _positions(ids: pa.Array, among: pa.Array) -> NDArray[np.int64]:
    """Return the position of each id in *among*, -1 if absent."""
    found = pc.fill_null(pc.index_in(ids, value_set=among), -1)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)


def _holdout_people(table: pa.Table, items: pa.Array, had: csr_array) -> HoldoutPeople:
    lists = table[Columns.RELEVANT].combine_chunks()
    columns = _positions(lists.flatten(), items)
    wanted = np.asarray(pc.list_value_length(lists).to_numpy(zero_copy_only=False), dtype=np.int64)
    rows = np.repeat(np.arange(len(table)), wanted)[columns >= 0]
    columns = columns[columns >= 0]
    relevant = csr_array((np.ones(len(columns)), (rows, columns)), shape=(len(table), len(items)))
    relevant.sort_indices()
    return HoldoutPeople(items=items, had=had, relevant=relevant, wanted=wanted)


def mean(scores: Sequence[float]) -> float:
    """Return the score of a trial: the mean over the folds it reached."""
    return float(np.mean(scores))
