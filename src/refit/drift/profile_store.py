"""The drift profile of a training set: computed once, stored with the set, and part of every model trained on it."""

from __future__ import annotations

from collections.abc import Callable

from pyspark.sql import SparkSession

from refit.config import Shop
from refit.digests import canonical_json, digest_of
from refit.drift.collection import reference_profile
from refit.drift.profiles import FORMAT
from refit.lake.lake import Lake
from refit.training.training_set import Recipe


def stored_profile(
    open_spark: Callable[[], SparkSession], lake: Lake, shop: Shop, recipe: Recipe, folder: str
) -> bytes:
    """
    Return the profile of the days before the cutoff of *recipe* as JSON; Spark is opened only if it is not stored yet.

    It is stored in *folder*, the training set's folder relative to the lake, under a name derived from its inputs: a
    shop that watches other features, or has another catalogue, gets another profile.
    """
    days = [day for day in recipe.days if day.day <= recipe.cutoff.date().isoformat()]
    catalogue = lake.snapshot("items", recipe.cutoff)
    made_from = {
        "format": FORMAT,
        "days": [[day.day, day.rows, day.digest] for day in days],
        "cutoff": recipe.cutoff.isoformat(),
        **({"users": [recipe.users.rows, recipe.users.digest]} if recipe.users else {}),
        "catalogue": [catalogue.day, catalogue.digest] if catalogue else None,
        "drift": shop.drift.model_dump(mode="json"),
        "events": shop.events.model_dump(mode="json"),
        "time_zone": shop.calendar.time_zone,
    }
    key = f"{folder}/profile-{digest_of(made_from)[:16]}.json"
    stored = lake.store.get(key)
    if stored is not None:
        return stored.content
    profile = reference_profile(open_spark(), lake, shop, days, recipe.cutoff, users=recipe.users)
    content = canonical_json(profile.to_json())
    lake.store.create(key, content)
    return content
