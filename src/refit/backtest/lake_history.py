"""The past of a shop, recomputed: models, profiles, verdicts and metrics as of earlier moments, each made once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from itertools import groupby
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

from refit.backtest.replay import BacktestStep, Cost
from refit.columns import Columns
from refit.config import Drift, ModelSettings, Shop
from refit.drift.collection import current_days, day_number, reference_profile
from refit.drift.policy import judge_drift, measure_windows
from refit.drift.profiles import DailyCounts, Profile
from refit.evaluation.comparison import compare
from refit.evaluation.evaluate import judge_challenger, judge_refitted, same_histories
from refit.evaluation.holdout_lists import CHALLENGER, judge_people
from refit.evaluation.promotion_gate import judge_promotion
from refit.evaluation.refit_guards import OFFER
from refit.interfaces import Factoriser, Proposer
from refit.lake.as_of import days_before, history_before
from refit.lake.lake import Lake, Landed
from refit.lake.pairs import histories, person_item_pairs
from refit.model.item_factors import ItemFactors
from refit.training import train
from refit.training.model_settings import pairs_here, shop_with, training_facts
from refit.training.training_set import Recipe, holdout, require_enough
from refit.tuning import Folds, ListedTrials, Study, warm_starts
from refit.verdicts import Verdict


@dataclass
class LakeHistory:
    """
    The lake before the last of *moments*, as it could be read at each of them.

    A step is the index of a moment. Training sets, models and gate verdicts are made as in the retraining loop, below a
    separate folder. In a shop that refits, the promotion gate judges a step's model and its refitted model serves,
    unless a refit guard keeps the judged one.
    """

    spark: SparkSession
    lake: Lake
    shop: Shop
    moments: Sequence[BacktestStep]
    scratch: str
    """Folder of training sets and checkpoints, relative to the root of the lake; the caller deletes it."""
    factoriser: Factoriser
    proposer: Proposer
    tuned: bool = False
    """Whether settings are searched for every model; otherwise only one search is timed."""
    _sets: dict[int, TrainingSet] = field(default_factory=dict)
    _whole_sets: dict[int, TrainingSet] = field(default_factory=dict)
    _models: dict[int, tuple[ItemFactors, float]] = field(default_factory=dict)
    _serving: dict[int, tuple[ItemFactors, float]] = field(default_factory=dict)
    _searches: dict[int, tuple[ModelSettings, float]] = field(default_factory=dict)
    _profiles: dict[int, Profile] = field(default_factory=dict)
    _daily: dict[int, DailyCounts] = field(default_factory=dict)
    _gates: dict[tuple[int, int | None], Verdict] = field(default_factory=dict)
    _quality: dict[tuple[int, int], float] = field(default_factory=dict)

    def model(self, step: int) -> ItemFactors:
        """Return the model judged at *step*; NotEnoughDataError if too little was landed before it."""
        return self._trained(step)[0]

    def serving(self, step: int) -> ItemFactors:
        """Return the model that serves after a promotion at *step*: refitted, if the shop does so."""
        return self._served(step)[0]

    def cost(self, step: int) -> Cost:
        """Return the seconds of a retraining at *step*; without `tuned`, tuning time is that of the last step."""
        searched = self._search(step if self.tuned else len(self.moments) - 1)[1]
        return Cost(training=self._served(step)[1], tuning=searched)

    def verdict(self, champion: int, step: int, drift: Drift) -> Verdict:
        """Return the verdict of a check at *step* under policy *drift* while the model trained at *champion* serves."""
        now, cutoff = self.moments[step].as_of, self._learnt(champion)
        last = day_number(now.date())
        before = {day: counts for day, counts in self._days(champion).items() if day < last}
        windows = measure_windows(self._profile(champion), before, drift, cutoff=day_number(cutoff.date()))
        return judge_drift(windows, drift, cutoff=cutoff, as_of=now, forced=None)

    def gates(self, step: int, champions: Iterable[int | None]) -> dict[int | None, Verdict]:
        """
        Return champion (None: there is none) -> the promotion gate's verdict on the model trained at *step*.

        There is no anchor to accumulate losses against: without tuning, all models share one recipe.
        """
        requested = list(champions)
        missing = [champion for champion in dict.fromkeys(requested) if (step, champion) not in self._gates]
        if missing:
            made, shop = self._set(step), self._gate_shop
            same = {n for n in missing if n is not None and self._only_days_differ(n, step)}
            models = {CHALLENGER: self.model(step)}
            models |= {_name(n): self._fair(n, step) for n in missing if n is not None}
            found = judge_challenger(self.spark, self.lake, shop, made.place, made.manifest, models)
            drawn, everybody = shop.evaluation.drawn_for(made.manifest["digest"]), made.manifest["counts"]["people"]
            for champion in missing:
                between = found.judged.between(None if champion is None else _name(champion), list(models))
                compared = compare(between, models[CHALLENGER], drawn, shop.promotion, everybody=everybody)
                self._gates[step, champion] = judge_promotion(compared, shop.promotion, same_recipe=champion in same)
        return {champion: self._gates[step, champion] for champion in requested}

    def quality(self, step: int, trained: Iterable[int], days: int) -> dict[int, float]:
        """
        Return step of training -> the shop's promotion metric on the *days* days after *step*.

        All models are evaluated on the items of the model trained at *step*, as in the promotion gate, so an older
        model is penalised for items it never learnt. Histories are those at *step*, whatever the age of a model, as in
        the lists.
        """
        requested = set(trained)
        missing = sorted(requested - {other for at, other in self._quality if at == step})
        if missing:
            names = {other: CHALLENGER if other == step else _name(other) for other in {step, *missing}}
            models = {names[other]: self.serving(other) for other in sorted(names, reverse=True)}
            wanted = {names[other]: self._settings(other) for other in names}
            now = self.moments[step].as_of
            end = now + timedelta(days=days)
            pairs = self._pairs(now, wanted[CHALLENGER]).persist()
            try:
                events = history_before(self.spark, self.lake, self.shop, end)
                judged = judge_people(
                    histories(pairs),
                    holdout(events, pairs, cutoff=now, as_of=end, events=self.shop.serving_events),
                    models,
                    self.shop.evaluation,
                    own={
                        name: histories(self._pairs(now, settings))
                        for name, settings in wanted.items()
                        if not same_histories(settings, wanted[CHALLENGER])
                    },
                )
            finally:
                pairs.unpersist()
            for other in missing:
                self._quality[step, other] = judged.mean(names[other], self.shop.promotion.metric)
        return {other: self._quality[step, other] for other in sorted(requested)}

    def judgeable(self, days: int) -> list[int]:
        """Return the steps followed by *days* landed days, including days without trade."""
        newest = self.lake.newest_day("interactions") or date.min
        return [n for n, at in enumerate(self.moments) if at.as_of.date() + timedelta(days=days - 1) <= newest]

    @cached_property
    def _gate_shop(self) -> Shop:
        """The shop with only the baselines that the promotion gate uses; the others take far longer."""
        baselines = tuple(name for name in self.shop.evaluation.baselines if name == "recent_popularity")
        return self.shop.model_copy(
            update={"evaluation": self.shop.evaluation.model_copy(update={"baselines": baselines})}
        )

    def _set(self, step: int) -> TrainingSet:
        if step not in self._sets:
            as_of = self.moments[step].as_of
            users = self.lake.snapshot("users", as_of)
            recipe = Recipe.of(self.shop, as_of, days_before(self.lake, as_of), users)
            folder = f"{self.scratch}/{recipe.digest}"
            written = recipe.write(self.spark, self.lake, folder)
            require_enough(written.counts, self.shop.training)
            self._sets[step] = TrainingSet(folder, recipe.manifest(written))
        return self._sets[step]

    def _whole_set(self, step: int) -> TrainingSet:
        """Return the set with every day before the step, which the refitted model learns from."""
        if step not in self._whole_sets:
            recipe = Recipe.from_manifest(self._set(step).manifest).whole()
            folder = f"{self.scratch}/{recipe.digest}"
            written = recipe.write(self.spark, self.lake, folder)
            self._whole_sets[step] = TrainingSet(folder, recipe.manifest(written))
        return self._whole_sets[step]

    def _trained(self, step: int) -> tuple[ItemFactors, float]:
        if step not in self._models:
            self._models[step] = self._train(self._set(step), self._settings(step))
        return self._models[step]

    def _served(self, step: int) -> tuple[ItemFactors, float]:
        if not self.shop.refit:
            return self._trained(step)
        if step not in self._serving:
            (twin, seconds), made = self._trained(step), self._set(step)
            refitted, more = self._train(self._whole_set(step), self._settings(step))
            guards = judge_refitted(self.spark, self.lake, self.shop, made.place, made.manifest, twin, refitted)
            self._serving[step] = refitted if guards.decision == OFFER else twin, seconds + more
        return self._serving[step]

    def _train(self, made: TrainingSet, settings: ModelSettings) -> tuple[ItemFactors, float]:
        """Return the model trained on *made* and the seconds that it took."""
        pairs = pairs_here(settings, lambda: self.spark, self.lake, made.place, made.manifest)
        facts = training_facts(made.manifest, shop_with(settings, self.shop))
        began = time.monotonic()
        model = train(pairs, settings, facts, factoriser=self.factoriser, checkpoints=self._checkpoints)
        return model, time.monotonic() - began

    def _learnt(self, step: int) -> datetime:
        """Return the instant before which the model that serves after *step* has seen everything."""
        return datetime.fromisoformat(str(self.serving(step).facts["cutoff"]))

    def _has_seen(self, champion: int, step: int) -> bool:
        """Return whether the model of *champion* has seen days that judge at *step*."""
        return self._learnt(champion) > self.moments[step].cutoff

    def _same_recipe(self, champion: int, step: int) -> bool:
        return self._settings(champion) == self._settings(step)

    def _only_days_differ(self, champion: int, step: int) -> bool:
        """Return whether there is nothing to compare; see `refit.evaluation.fair_champion`."""
        return self._same_recipe(champion, step) and (self.shop.refit or self._has_seen(champion, step))

    def _fair(self, champion: int, step: int) -> ItemFactors:
        """Return what is judged as *champion* at *step*; see `refit.evaluation.fair_champion`."""
        if self._only_days_differ(champion, step):
            return self.model(step)
        if not self._has_seen(champion, step):
            return self.serving(champion)
        return self._train(self._set(step), self._settings(champion))[0]

    def _settings(self, step: int) -> ModelSettings:
        return self._search(step)[0] if self.tuned else self.shop.model_settings(self.shop.models.candidates[0])

    def _search(self, step: int) -> tuple[ModelSettings, float]:
        if step not in self._searches:
            recipe = Recipe.from_manifest(self._set(step).manifest)
            folds = Folds(self.shop, recipe.cutoff, self.factoriser, self._checkpoints)
            study = Study(
                starts=warm_starts(self.shop, None),
                tuning=self.shop.tuning,
                folds=lambda: folds.make(recipe.events_before(self.spark, self.lake, recipe.cutoff)),
                proposer=self.proposer,
            )
            began = time.monotonic()
            found = study.run(ListedTrials())
            self._searches[step] = found.settings, time.monotonic() - began
        return self._searches[step]

    @property
    def _checkpoints(self) -> str:
        return self.lake.path(f"{self.scratch}/checkpoints")

    def _profile(self, step: int) -> Profile:
        if step not in self._profiles:
            cutoff, users = self._learnt(step), self.lake.snapshot("users", self.moments[step].as_of)
            days = days_before(self.lake, cutoff)
            self._profiles[step] = reference_profile(self.spark, self.lake, self.shop, days, cutoff, users=users)
        return self._profiles[step]

    def _days(self, champion: int) -> DailyCounts:
        """Read every day since the champion's cutoff once, with the item and user snapshots of each check."""
        if champion not in self._daily:
            model, learnt = self.serving(champion), self._learnt(champion)
            taught = self._set(champion) if learnt == self.moments[champion].cutoff else self._whole_set(champion)
            pairs = self.spark.read.parquet(self.lake.path(f"{taught.place}/pairs"))
            people = pairs.select(Columns.USER).distinct().persist()
            items = self.spark.createDataFrame(pa.table({Columns.ITEM: model.items}))
            found: DailyCounts = {}
            since = learnt.date()
            for _, group in groupby(self.moments[champion + 1 :], self._known):
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
            self._daily[champion] = found
        return self._daily[champion]

    def _known(self, at: BacktestStep) -> tuple[Landed | None, Landed | None]:
        """Return the items and users snapshots that a check at moment *at* reads."""
        return self.lake.snapshot("items", at.as_of), self.lake.snapshot("users", at.as_of)

    def _pairs(self, now: datetime, settings: ModelSettings) -> DataFrame:
        shop = shop_with(settings, self.shop)
        return person_item_pairs(
            history_before(self.spark, self.lake, shop, now),
            since=now - shop.training.window,
            as_of=now,
            events=shop.serving_events,
            confidence=shop.confidence,
        )


@dataclass(frozen=True)
class TrainingSet:
    """A training set of the past, below the scratch folder of the replay."""

    place: str
    manifest: Mapping[str, Any]


def _name(step: int) -> str:
    return f"step_{step}"
