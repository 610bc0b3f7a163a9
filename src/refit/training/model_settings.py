"""The settings a model was trained with, and the shop configuration that matches them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError
from pyspark.sql import DataFrame, SparkSession

from refit.config import ModelSettings, Shop
from refit.errors import ModelDamagedError, NotFoundError
from refit.lake.lake import Lake
from refit.lake.pairs import person_item_pairs
from refit.model.item_factors import ItemFactors
from refit.training.stored_pairs import StoredPairs, spread
from refit.training.training_set import Recipe
from refit.validation_errors import with_given


def settings_of(model: ItemFactors) -> ModelSettings | None:
    """Return the settings in the facts of *model*; None for an older model without them."""
    return read_settings(model.facts["settings"], "the model") if "settings" in model.facts else None


def read_settings(values: Any, what: str) -> ModelSettings:
    """Parse settings from *values* (plain JSON); ModelDamagedError if they are invalid."""
    try:
        return ModelSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelDamagedError(
            f"the settings of {what} cannot be read: {where} {with_given(first)}; train again"
        ) from error


def load_settings(lake: Lake, key: str) -> ModelSettings:
    """Return the settings that tuning stored under *key*; NotFoundError if there are none."""
    stored = lake.store.get(key)
    if stored is None:
        raise NotFoundError(f"{lake.path(key)} holds no settings; run tune_model first, or train without settings")
    return read_settings(json.loads(stored.content)["settings"], lake.path(key))


def shop_of(model: ItemFactors, shop: Shop) -> Shop:
    """
    Return *shop* with the confidences and event weights that *model* was trained with.

    Histories for folding in must be made with this shop: tuning may have chosen a half-life other than in shop.toml.
    """
    settings = settings_of(model)
    return shop if settings is None else shop_with(settings, shop)


def shop_with(settings: ModelSettings, shop: Shop) -> Shop:
    """Return *shop* with the confidences and event weights of *settings*."""
    events = shop.events.model_copy(update={"weights": settings.weights})
    return shop.model_copy(update={"events": events, "confidence": settings.confidence})


def training_facts(manifest: Mapping[str, Any], shop: Shop) -> dict[str, Any]:
    """Return a model's facts about the training set with *manifest*; confidences and events are those of *shop*."""
    made = manifest["ingredients"]
    return {
        "shop": shop.name,
        "training_set": manifest["digest"],
        "since": made["since"],
        "cutoff": made["cutoff"],
        "as_of": made["as_of"],
        "confidence": shop.confidence.model_dump(),
        "events": shop.events.model_dump(mode="json"),
        "window_days": shop.training.window_days,
        **manifest["counts"],
    }


def pairs_of(
    settings: ModelSettings | None, spark: SparkSession, lake: Lake, place: str, manifest: Mapping[str, Any]
) -> DataFrame:
    """
    Return the pairs of the training set at *place* under *settings*; None: as the set was written.

    If half-life, weights or combination differ from those of the set, the pairs are rebuilt from exactly the landed
    versions in its manifest and with its window.
    """
    return spread(pairs_here(settings, lambda: spark, lake, place, manifest))


def pairs_here(
    settings: ModelSettings | None,
    open_spark: Callable[[], SparkSession],
    lake: Lake,
    place: str,
    manifest: Mapping[str, Any],
) -> DataFrame | StoredPairs:
    """Return what `pairs_of` returns, without opening Spark if the stored pairs already fit *settings*."""
    recipe = Recipe.from_manifest(manifest)
    if settings is None or (settings.confidence, settings.weights) == (recipe.confidence, recipe.events.weights):
        return StoredPairs(lake, f"{place}/pairs", open_spark)
    return person_item_pairs(
        recipe.history(open_spark(), lake),
        since=recipe.since,
        as_of=recipe.cutoff,
        events=recipe.events.model_copy(update={"weights": settings.weights}),
        confidence=settings.confidence,
    )
