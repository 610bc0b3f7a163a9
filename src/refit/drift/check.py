"""One drift check of a champion: measurements, verdict and pages."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from pyspark.sql import SparkSession

from refit.config import Shop
from refit.drift.collection import day_number, measurable, sample, watch
from refit.drift.page import Checked, drift_page
from refit.drift.policy import Window, judge_drift, measure_windows
from refit.drift.profiles import DailyCounts, Profile
from refit.errors import ConfigurationError, NotFoundError
from refit.interfaces import DriftReporter, ModelVersion
from refit.lake.as_of import days_before
from refit.lake.lake import Lake, Landed
from refit.model.item_factors import ItemFactors
from refit.training.training_set import load_manifest
from refit.verdicts import Verdict

PAGE, SECOND_OPINION = "drift.html", "evidently.html"
_EPOCH = date(1970, 1, 1)
_SAMPLE = 20_000
"""Number of sampled events per side for the second opinion."""


@dataclass(frozen=True, kw_only=True)
class DriftCheck:
    """The days since a champion's training, measured against its profile."""

    spark: SparkSession
    lake: Lake
    shop: Shop
    version: int
    training_set: str
    cutoff: datetime
    as_of: datetime
    reference: Profile
    daily: DailyCounts
    windows: tuple[Window, ...]

    def judge(self, forced: str | None) -> Verdict:
        """Return the verdict of the shop's policy; *forced* says who demands a retraining and why."""
        return judge_drift(self.windows, self.shop.drift, cutoff=self.cutoff, as_of=self.as_of, forced=forced)

    def pages(self, verdict: Verdict, open_reporter: Callable[[], DriftReporter]) -> dict[str, bytes]:
        """Return the page of *verdict* and, if both sides can still be sampled, the second opinion."""
        pages, note = self._second_opinion(open_reporter)
        checked = Checked(
            shop=self.shop.title,
            champion=self.version,
            cutoff=self.cutoff,
            as_of=self.as_of,
            reference=self.reference,
            daily=self.daily,
            windows=self.windows,
        )
        return {PAGE: drift_page(verdict, checked, self.shop.drift, [note]).encode(), **pages}

    def _second_opinion(self, open_reporter: Callable[[], DriftReporter]) -> tuple[dict[str, bytes], str]:
        drift = measurable(self.shop.drift, self.reference)
        shop = self.shop.model_copy(update={"drift": drift})
        if not self.windows or not (drift.numbers or drift.categories):
            return {}, "There is no report by Evidently: no event of a day since the training can be compared."
        try:
            used = [Landed(**entry) for entry in load_manifest(self.lake, self.training_set)["used"]]
            start = (self.cutoff - timedelta(days=drift.reference_days)).date()
            # People who withdrew consent since the training are left out on both sides.
            users = self.lake.snapshot("users", self.as_of)
            before = sample(self.spark, self.lake, shop, used, start, self.cutoff, _SAMPLE, users=users)
            newest = _EPOCH + timedelta(days=self.windows[0].first)
            landed = days_before(self.lake, self.as_of)
            after = sample(self.spark, self.lake, shop, landed, newest, self.as_of, _SAMPLE, users=users)
        except NotFoundError as error:
            return {}, f"There is no report by Evidently, the reference cannot be sampled: {error}."
        report = open_reporter().report(before, after, numbers=drift.numbers, categories=drift.categories)
        return {SECOND_OPINION: report}, (
            f"{SECOND_OPINION} is Evidently's own report of {len(before):,} events of the reference and {len(after):,} "
            "of the newest window; it decides nothing. It knows p-values and not how far things moved, and has no "
            "weekdays to compare alike."
        )


def check_champion(
    open_spark: Callable[[], SparkSession],
    lake: Lake,
    shop: Shop,
    champion: ModelVersion,
    model: ItemFactors,
    profile: bytes,
    training_set: str,
    as_of: datetime,
) -> DriftCheck:
    """
    Measure the days since the training of *champion* in the bins of its *profile*.

    *model* is the champion's model, *training_set* the folder of its training set in the lake.

    Raises:
        ConfigurationError: the champion was trained on everything before *as_of*.
    """
    cutoff = datetime.fromisoformat(champion.cutoff)
    if cutoff >= as_of:
        raise ConfigurationError(
            f"the champion (version {champion.version}) was trained on data before {cutoff.date()}, which is not "
            f"before as_of={as_of.date()}; there is nothing new to compare; give a later as_of, or force=true and a "
            "reason for an experiment"
        )
    reference = Profile.from_json(json.loads(profile))
    spark = open_spark()
    daily = watch(spark, lake, shop, reference, model.items, training_set, cutoff=cutoff, as_of=as_of)
    return DriftCheck(
        spark=spark,
        lake=lake,
        shop=shop,
        version=champion.version,
        training_set=training_set,
        cutoff=cutoff,
        as_of=as_of,
        reference=reference,
        daily=daily,
        windows=tuple(measure_windows(reference, daily, shop.drift, cutoff=day_number(cutoff.date()))),
    )
