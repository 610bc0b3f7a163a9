"""Judges a challenger on a training set, beside the champion and the baselines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from refit.cleaning import without_cancelled
from refit.columns import Columns
from refit.config import Evaluation, ModelSettings, Shop
from refit.evaluation.baselines import PairSample, PeopleNeighbours, collect_pairs, item_neighbours, recent_popularity
from refit.evaluation.cohorts import traits
from refit.evaluation.comparison import Comparison, compare
from refit.evaluation.holdout_lists import CHALLENGER, CHAMPION, Judged, judge_people
from refit.evaluation.list_examples import Example, examples
from refit.evaluation.rankers import ByModel, ByPeople, Contender
from refit.evaluation.ratings import ITEM_MEAN, ByItemMean
from refit.evaluation.refit_guards import REFITTED, judge_refit
from refit.lake.lake import Lake
from refit.lake.pairs import histories
from refit.model.item_factors import ItemFactors
from refit.storage.object_store import ObjectStore
from refit.training.model_settings import pairs_of, settings_of
from refit.training.training_set import Recipe, holdout
from refit.verdicts import Verdict

_SHOWN = 10
"""Number of people whose lists are shown."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Results of judging a challenger."""

    judged: Judged
    compared: Comparison
    examples: tuple[Example, ...]
    notes: tuple[str, ...]
    """Sentences about what was left out."""


def judge_challenger(
    spark: SparkSession,
    lake: Lake,
    shop: Shop,
    place: str,
    manifest: Mapping[str, Any],
    models: Mapping[str, ItemFactors],
    *,
    wanted_since: datetime | None = None,
) -> Judgement:
    """
    Judge `challenger`, and `champion` if *models* has one, on the training set at *place* with *manifest*.

    Every model gets histories with its own confidences, made from the same events before the cutoff. Baselines learn
    from the challenger's pairs. With *wanted_since* only what people wanted from that instant on is judged.
    """
    recipe = Recipe.from_manifest(manifest)
    challenger, settings = models[CHALLENGER], shop.evaluation.drawn_for(manifest["digest"])
    wanted = {name: settings_of(model) for name, model in models.items()}
    made = {name: pairs_of(each, spark, lake, place, manifest) for name, each in wanted.items()}
    # What a holdout leaves out is counted for the whole of it.
    counted = "left_out" in manifest.get("content", {}) and wanted_since is None
    pairs = made[CHALLENGER].persist()
    try:
        events = recipe.history(spark, lake)
        snapshot = lake.snapshot("users", recipe.cutoff)
        users = lake.read(spark, "users", [snapshot]) if snapshot else None
        sample = collect_pairs(pairs, challenger.items, most=settings.neighbour_pairs, seed=settings.seed)
        since = lake.clock.back(recipe.cutoff, settings.recent_days)
        recent = events.where(
            (F.col(Columns.EVENT_TIME) >= F.lit(since)) & F.col(Columns.EVENT_TYPE).isin(*recipe.events.weights)
        )
        challenger_histories = histories(pairs)
        judged = judge_people(
            challenger_histories,
            holdout_of(spark, lake, place)
            if wanted_since is None
            else _holdout_since(spark, lake, place, recipe, wanted_since),
            models,
            settings,
            own={
                name: histories(theirs)
                for name, theirs in made.items()
                if name != CHALLENGER and not same_histories(wanted[name], wanted[CHALLENGER])
            },
            rivals=baselines(challenger, sample, recent, settings),
            raters={ITEM_MEAN: ByItemMean.of(sample)} if recipe.rated else {},
            traits=traits(events, users, settings.cohorts, cutoff=recipe.cutoff),
            left_out=spark.read.parquet(lake.path(f"{place}/left_out")) if counted else None,
        )
        compared = compare(
            judged,
            challenger,
            settings,
            shop.promotion,
            everybody=manifest["counts"]["people"],
            sample=sample,
            asked=manifest.get("asked") if wanted_since is None else None,
            judges=manifest["counts"]["judges"],
        )
        catalogue = lake.snapshot("items", recipe.cutoff)
        shown = [name for name in (CHAMPION, CHALLENGER) if name in models]
        found = examples(
            judged,
            challenger_histories,
            lake.read(spark, "items", [catalogue] if catalogue else []),
            shown,
            most=_SHOWN,
            seed=settings.seed,
        )
    finally:
        pairs.unpersist()
    return Judgement(
        judged=judged,
        compared=compared,
        examples=tuple(found),
        notes=_notes(judged, sample, settings, counted or wanted_since is not None),
    )


def judge_refitted(
    spark: SparkSession,
    lake: Lake,
    shop: Shop,
    place: str,
    manifest: Mapping[str, Any],
    twin: ItemFactors,
    refitted: ItemFactors,
) -> Verdict:
    """Return the verdict of the refit guards on *refitted*; its *twin* was judged on the set at *place*."""
    pairs = pairs_of(settings_of(twin), spark, lake, place, manifest)
    judged = judge_people(
        histories(pairs),
        holdout_of(spark, lake, place),
        {CHALLENGER: twin, REFITTED: refitted},
        shop.evaluation.drawn_for(manifest["digest"]),
    )
    return judge_refit(judged, twin, refitted, shop.refit_guards, metric=shop.promotion.metric)


def holdout_of(spark: SparkSession, lake: Lake, place: str) -> DataFrame:
    """Return the holdout of the training set at *place*."""
    return spark.read.parquet(lake.path(f"{place}/holdout"))


def _holdout_since(spark: SparkSession, lake: Lake, place: str, recipe: Recipe, since: datetime) -> DataFrame:
    """Return the part of the holdout of *recipe* that people wanted from *since* on, as `holdout` does."""
    wanted = without_cancelled(recipe.events_before(spark, lake, recipe.as_of), recipe.events)
    return holdout(
        wanted,
        spark.read.parquet(lake.path(f"{place}/pairs")),
        cutoff=since,
        as_of=recipe.as_of,
        events=recipe.events,
        ratings=recipe.confidence if recipe.rated else None,
    )


def baselines(
    challenger: ItemFactors, sample: PairSample, recent: DataFrame, settings: Evaluation
) -> dict[str, Contender]:
    """Return the configured baselines over the items of *challenger*; *recent* holds the events of the last days."""
    likeness: Mapping[str, Literal["cosine", "pearson"]] = {"cosine": "cosine", "pearson": "pearson"}
    found: dict[str, Contender] = {}
    for name in settings.baselines:
        side, kind = name.split("_")
        if name == "recent_popularity":
            found[name] = ByModel.over(recent_popularity(challenger, recent), challenger.items)
        elif side == "items":
            model = item_neighbours(challenger, sample, likeness=likeness[kind], most=settings.neighbours)
            found[name] = ByModel.over(model, challenger.items)
        else:
            found[name] = ByPeople(PeopleNeighbours(sample, likeness[kind], settings.neighbours))
    return found


def trials_beside(store: ObjectStore, settings: str) -> list[dict[str, Any]]:
    """Return, in order, the trials of the study that wrote the file *settings* in *store*; none without a study."""
    if not settings:
        return []
    found = (store.get(key) for key in store.keys(f"{settings.rpartition('/')[0]}/trial-"))
    return [json.loads(stored.content) for stored in found if stored is not None]


def stopped_early(store: ObjectStore, settings: str) -> str:
    """Return why the study that wrote the file *settings* in *store* ran fewer trials than planned; mostly empty."""
    stored = store.get(settings) if settings else None
    return str(json.loads(stored.content).get("stopped", "")) if stored is not None else ""


def same_histories(left: ModelSettings | None, right: ModelSettings | None) -> bool:
    """Return whether both settings give the same confidences; None stands for those of the training set."""
    if left is None or right is None:
        return left is right
    return (left.confidence, left.weights) == (right.confidence, right.weights)


def _notes(judged: Judged, sample: PairSample, settings: Evaluation, counted: bool) -> tuple[str, ...]:
    found = []
    if not counted:
        found.append(
            "This training set was made before people and items were counted that a holdout leaves out; the next one "
            "tells them."
        )
    if sample.share < 1:
        found.append(
            f"Neighbourhoods and the variety of lists were learnt from {sample.share:.1%} of {sample.pairs:,} pairs, "
            "those of people chosen by a hash of their id; evaluation.neighbour_pairs allows "
            f"{settings.neighbour_pairs:,}."
        )
    if judged.people >= settings.max_people:
        found.append(
            f"{judged.people:,} people were judged (evaluation.max_people), drawn for this training set; more had "
            "something to be asked about."
        )
    return tuple(found)
