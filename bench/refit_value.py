"""
What refitting is worth on `online_retail`, and how a refitted champion could be judged by the next challenger.

Four dates, one untuned blend, intervals over people, people and items known before the date, items not bought before.
First the lists of the 28 days after a date: by the judged model, whose training ended 28 days before, and by the same
recipe trained up to the date. Then two models of one recipe, a champion that was refitted 14 days before the date and a
challenger whose training ends 28 days before it: on the 14 days that the champion has not seen, and on all 28.
BENCH_LAKE=folder keeps the landed days.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from bench.harness.places import session
from bench.quality import JUDGED_UNTIL, land
from pipelines.addresses import LAKE_CATALOG, Addresses
from pipelines.settings import REPOSITORY
from refit.adapters.folder import FolderObjectStore
from refit.adapters.implicit import ImplicitLibrary
from refit.columns import Columns
from refit.config import Shop, load_shop
from refit.evaluation.holdout_lists import CHALLENGER, Judged, judge_people
from refit.evaluation.intervals import bootstrap
from refit.evaluation.refit_guards import REFITTED, judge_refit
from refit.lake.as_of import history_before
from refit.lake.lake import Lake
from refit.lake.pairs import histories, person_item_pairs
from refit.model.item_factors import ItemFactors
from refit.training import train
from refit.training.training_set import holdout

_DATES = tuple(datetime(2011, month, day, tzinfo=UTC) for month, day in ((8, 9), (9, 6), (10, 4), (11, 1)))
_HOLDOUT, _AGE = timedelta(days=28), timedelta(days=14)
_METRICS = ("ndcg", "capped_recall")


def measure() -> None:
    """Print three comparisons and the guards for each date."""
    as_it_is = load_shop(REPOSITORY / "shops", "online_retail")
    spark = session("bench refit_value")
    with tempfile.TemporaryDirectory(prefix="refit-bench-") as folder:
        root = Path(Addresses("online_retail", os.environ.get("BENCH_LAKE", folder), "").lake_root)
        lake = Lake(str(root), LAKE_CATALOG, FolderObjectStore(root), as_it_is.calendar.clock)
        if not lake.days("interactions", _DATES[-1], JUDGED_UNTIL):
            land(as_it_is, spark, lake)
        past = _Past(spark, lake, as_it_is)
        for date in _DATES:
            past.judge_refitting(date)
            past.judge_champions(date)
    spark.stop()


@dataclass(frozen=True)
class _Past:
    spark: SparkSession
    lake: Lake
    shop: Shop

    def judge_refitting(self, date: datetime) -> None:
        """Print what the days of the holdout are worth, and what the guards say."""
        twin, refitted = self._model(date - _HOLDOUT, date), self._model(date, date)
        with self._pairs(date, date) as pairs:
            later = self._judged(pairs, date, date + _HOLDOUT, {CHALLENGER: refitted, "twin": twin})
        _say(f"{date.date()} the 28 days after it, refitted - judged twin", later, CHALLENGER, "twin")
        with self._pairs(date - _HOLDOUT, date) as pairs:
            seen = self._judged(pairs, date - _HOLDOUT, date, {CHALLENGER: twin, REFITTED: refitted})
        verdict = judge_refit(seen, twin, refitted, self.shop.refit_guards, metric=self.shop.promotion.metric)
        numbers = ", ".join(f"{one.name} {one.value:.3g} (limit {one.limit:.3g})" for one in verdict.measures)
        print(f"{date.date()} guards: {verdict.decision}; {numbers}", flush=True)

    def judge_champions(self, date: datetime) -> None:
        """Print how a challenger fares against a fresher champion of its own recipe."""
        challenger, champion = self._model(date - _HOLDOUT, date), self._model(date - _AGE, date - _AGE)
        models = {CHALLENGER: challenger, "champion": champion}
        with self._pairs(date - _HOLDOUT, date) as pairs:
            for since, what in ((date - _AGE, "14 days that no one has seen"), (date - _HOLDOUT, "all 28 days")):
                judged = self._judged(pairs, since, date, models)
                _say(f"{date.date()} {what}, challenger - champion", judged, CHALLENGER, "champion")

    def _model(self, cutoff: datetime, as_of: datetime) -> ItemFactors:
        settings = self.shop.model_settings("blend")
        with self._pairs(cutoff, as_of) as pairs:
            row = pairs.where(F.col(Columns.CONFIDENCE) > 0).agg(
                F.count(F.lit(1)), F.count_distinct(Columns.USER), F.count_distinct(Columns.ITEM)
            )
            facts = dict(zip(("pairs", "people", "items"), row.collect()[0], strict=True))
            return train(pairs, settings, facts, factoriser=ImplicitLibrary(), checkpoints="")

    @contextmanager
    def _pairs(self, cutoff: datetime, as_of: datetime) -> Iterator[DataFrame]:
        """Give the pairs before *cutoff* in the training window of a set as of *as_of*."""
        pairs = person_item_pairs(
            history_before(self.spark, self.lake, self.shop, cutoff),
            since=self.shop.calendar.clock.back(as_of, self.shop.training.window_days),
            as_of=cutoff,
            events=self.shop.serving_events,
            confidence=self.shop.confidence,
        ).persist()
        yield pairs
        pairs.unpersist()

    def _judged(self, pairs: DataFrame, since: datetime, until: datetime, models: Mapping[str, ItemFactors]) -> Judged:
        events = history_before(self.spark, self.lake, self.shop, until)
        wanted = holdout(events, pairs, cutoff=since, as_of=until, events=self.shop.serving_events)
        return judge_people(histories(pairs), wanted, models, self.shop.evaluation)


def _say(what: str, judged: Judged, one: str, other: str) -> None:
    for metric in _METRICS:
        ours, theirs = judged.values(one, metric), judged.values(other, metric)
        found = bootstrap((ours - theirs)[:, None], level=0.95, resamples=2_000, seed=1)[0]
        print(
            f"{what}: {metric}@{judged.k} {ours.mean():.4f} - {theirs.mean():.4f} = {found.mean:+.4f} ({found}), "
            f"{ours.mean() / theirs.mean() - 1:+.1%}, {judged.people:,} people",
            flush=True,
        )
