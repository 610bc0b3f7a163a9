"""The past of a shop, asked again: models, profiles, verdicts and their worth as of earlier moments, each made once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import groupby

from pyspark.sql import DataFrame, SparkSession

from refit.as_of import days_before, history_before
from refit.columns import Columns
from refit.config import Drift, Shop
from refit.drift_policy import judge_drift, measure_windows
from refit.evaluation.judged import judge_people
from refit.factors import ItemFactors
from refit.histories import histories, person_item_pairs
from refit.interfaces import Factoriser
from refit.lake import Lake
from refit.profiles import DailyCounts, Profile
from refit.replays import Moment
from refit.training import train
from refit.training_sets import holdout
from refit.verdicts import Verdict
from refit.watching import current_days, day_number, reference_profile


@dataclass
class Past:
    """What was landed before the last of *moments*, as it could be read at each of them."""

    spark: SparkSession
    lake: Lake
    shop: Shop
    moments: Sequence[Moment]
    scratch: str
    """Folder for checkpoints that every executor can write."""
    factoriser: Factoriser
    seconds: dict[int, float] = field(default_factory=dict)
    """Step -> seconds that its training took."""
    _models: dict[int, ItemFactors] = field(default_factory=dict)
    _profiles: dict[int, Profile] = field(default_factory=dict)
    _daily: dict[int, DailyCounts] = field(default_factory=dict)
    _quality: dict[tuple[int, int], float] = field(default_factory=dict)

    def model(self, step: int) -> ItemFactors:
        """Return the model trained at *step*."""
        if step not in self._models:
            began = time.monotonic()
            self._models[step] = train(
                self._pairs(self.moments[step].cutoff, self.moments[step].as_of),
                self.shop.model_settings(self.shop.models.candidates[0]),
                {},
                factoriser=self.factoriser,
                checkpoints=f"{self.scratch}/checkpoints",
            )
            self.seconds[step] = time.monotonic() - began
        return self._models[step]

    def verdict(self, champion: int, step: int, drift: Drift) -> Verdict:
        """Return what a check at *step* decides under policy *drift* when the model trained at *champion* serves."""
        now, cutoff = self.moments[step].as_of, self.moments[champion].cutoff
        last = day_number(now.date())
        before = {day: counts for day, counts in self._days(champion).items() if day < last}
        windows = measure_windows(self._profile(champion), before, drift, cutoff=day_number(cutoff.date()))
        return judge_drift(windows, drift, cutoff=cutoff, as_of=now, forced=None)

    def quality(self, step: int, trained: Iterable[int], days: int) -> dict[int, float]:
        """
        Return step of training -> the shop's promotion metric on the *days* days after *step*.

        The histories of people are those at *step*, whatever the age of the model, as when lists are made.
        """
        asked = set(trained)
        missing = sorted(asked - {other for at, other in self._quality if at == step})
        if missing:
            now = self.moments[step].as_of
            end = now + timedelta(days=days)
            pairs = self._pairs(now, now).persist()
            try:
                events = history_before(self.spark, self.lake, self.shop, end)
                judges = holdout(events, pairs, cutoff=now, as_of=end, events=self.shop.serving_events)
                models = {"challenger": self.model(missing[0])} | {str(n): self.model(n) for n in missing[1:]}
                judged = judge_people(histories(pairs), judges, models, self.shop.evaluation)
            finally:
                pairs.unpersist()
            for name, other in zip(models, missing, strict=True):
                self._quality[step, other] = judged.mean(name, self.shop.promotion.metric)
        return {other: self._quality[step, other] for other in sorted(asked)}

    def judgeable(self, days: int) -> list[int]:
        """Return the steps that are followed by *days* landed days, those without trade included."""
        newest = self.lake.newest_day("interactions") or date.min
        return [n for n, at in enumerate(self.moments) if at.as_of.date() + timedelta(days=days - 1) <= newest]

    def _profile(self, step: int) -> Profile:
        if step not in self._profiles:
            cutoff, users = self.moments[step].cutoff, self.lake.snapshot("users", self.moments[step].as_of)
            days = days_before(self.lake, cutoff)
            self._profiles[step] = reference_profile(self.spark, self.lake, self.shop, days, cutoff, users=users)
        return self._profiles[step]

    def _days(self, champion: int) -> DailyCounts:
        """Read every day since the champion's cutoff once, with the catalogue that was known at the step after it."""
        if champion not in self._daily:
            cutoff = self.moments[champion].cutoff
            known = self._pairs(cutoff, cutoff)
            people, items = (known.select(name).distinct().persist() for name in (Columns.USER, Columns.ITEM))
            found: DailyCounts = {}
            since = cutoff.date()
            for _, group in groupby(self.moments[champion + 1 :], lambda at: self.lake.snapshot("items", at.as_of)):
                until = list(group)[-1].as_of
                days = days_before(self.lake, until)
                if any(day.day >= since.isoformat() for day in days):
                    newer = current_days(
                        self.spark,
                        self.lake,
                        self.shop,
                        self._profile(champion),
                        days=days,
                        since=since,
                        as_of=until,
                        people=people,
                        items=items,
                    )
                    found = {**found, **newer}
                since = until.date()
            people.unpersist()
            items.unpersist()
            self._daily[champion] = found
        return self._daily[champion]

    def _pairs(self, cutoff: datetime, as_of: datetime) -> DataFrame:
        return person_item_pairs(
            history_before(self.spark, self.lake, self.shop, cutoff, consent_at=as_of),
            since=as_of - self.shop.training.window,
            as_of=cutoff,
            events=self.shop.serving_events,
            confidence=self.shop.confidence,
        )
