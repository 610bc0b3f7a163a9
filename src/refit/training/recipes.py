"""Trains on a training set stored in the lake."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pyspark.sql import SparkSession

from refit.config import ModelSettings, Shop
from refit.interfaces import Factoriser
from refit.lake.lake import Lake
from refit.model.item_factors import ItemFactors
from refit.training.engines import train
from refit.training.model_settings import pairs_here, shop_with, training_facts


def train_on_set(
    settings: ModelSettings,
    open_spark: Callable[[], SparkSession],
    lake: Lake,
    shop: Shop,
    place: str,
    manifest: Mapping[str, Any],
    *,
    factoriser: Factoriser,
) -> ItemFactors:
    """Return the model trained with *settings* on the training set at *place*; raises what `train` raises."""
    return train(
        pairs_here(settings, open_spark, lake, place, manifest),
        settings,
        training_facts(manifest, shop_with(settings, shop)),
        factoriser=factoriser,
        checkpoints=lake.path(f"{place}/checkpoints"),
    )
