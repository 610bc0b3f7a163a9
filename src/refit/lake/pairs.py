"""Histories: what each person did, as confidences for training and for folding people in."""

from __future__ import annotations

from datetime import datetime

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from refit.columns import Columns
from refit.config import Confidence, Events

_SECONDS_PER_DAY = 86_400.0


def person_item_pairs(
    interactions: DataFrame, *, since: datetime, as_of: datetime, events: Events, confidence: Confidence
) -> DataFrame:
    """
    Return one row per person and item touched before *as_of*: user_id, item_id, confidence, bought.

    `confidence` is r = sum over events at or after *since* of weight * f(value) * 2^(-age / half-life), or their mean
    or latest value if the shop says so. A pair last seen before *since* has 0: it is not trained on, but still counts
    as bought. Nothing at or after *as_of* is read.
    """
    weight = F.lit(0.0)
    for name, value in sorted(events.weights.items()):
        weight = F.when(F.col(Columns.EVENT_TYPE) == name, F.lit(value)).otherwise(weight)
    strength = weight * _value(confidence) * _recency(confidence, as_of)
    recent = F.when(F.col(Columns.EVENT_TIME) >= F.lit(since), strength)
    total = _combined(recent, confidence)
    bought = F.max(F.col(Columns.EVENT_TYPE).isin(*events.bought)) if events.bought else F.lit(False)
    return (
        interactions.where(F.col(Columns.EVENT_TIME) < F.lit(as_of))
        .where(F.col(Columns.EVENT_TYPE).isin(*events.weights))
        .groupBy(Columns.USER, Columns.ITEM)
        .agg(total.alias(Columns.CONFIDENCE), bought.alias(Columns.BOUGHT))
    )


def histories(pairs: DataFrame, *, silent: bool = True) -> DataFrame:
    """
    Return one row per person: user_id and three parallel arrays items, confidences, bought, in the order of item ids.

    Without *silent*, items that are neither trained on nor bought are left out; a person with only such items stays.

    The fixed order makes sums of floats, and so all later results, the same on one core and on a thousand.
    """
    entry = F.struct(Columns.ITEM, Columns.CONFIDENCE, Columns.BOUGHT)
    if not silent:
        # collect_list skips nulls.
        entry = F.when((F.col(Columns.CONFIDENCE) > 0) | F.col(Columns.BOUGHT), entry)
    entries = F.array_sort(F.collect_list(entry)).alias("entries")
    return (
        pairs.groupBy(Columns.USER)
        .agg(entries)
        .select(
            Columns.USER,
            F.col(f"entries.{Columns.ITEM}").alias(Columns.ITEMS),
            F.col(f"entries.{Columns.CONFIDENCE}").alias(Columns.CONFIDENCES),
            F.col(f"entries.{Columns.BOUGHT}").alias(Columns.BOUGHT),
        )
    )


def _combined(strength: Column, confidence: Confidence) -> Column:
    """Combine the *strength* of each event, null before the window, to one number per pair."""
    if confidence.combine == "latest":
        # Of several events at one moment take the largest, so that the order of rows does not matter.
        return F.coalesce(
            F.max_by(strength, F.when(strength.isNotNull(), F.struct(Columns.EVENT_TIME, strength))), F.lit(0.0)
        )
    if confidence.combine == "mean":
        return F.coalesce(F.avg(strength), F.lit(0.0))
    total = F.sum(F.coalesce(strength, F.lit(0.0)))
    return F.log1p(total) if confidence.combine == "log_sum" else total


def _value(confidence: Confidence) -> Column:
    value = F.greatest(F.coalesce(F.col(Columns.VALUE), F.lit(0.0)), F.lit(0.0))
    return {"ignore": F.lit(1.0), "log": F.log1p(value), "linear": value}[confidence.value]


def _recency(confidence: Confidence, as_of: datetime) -> Column:
    if confidence.half_life_days is None:
        return F.lit(1.0)
    age = (F.unix_micros(F.lit(as_of)) - F.unix_micros(F.col(Columns.EVENT_TIME))) / 1e6 / _SECONDS_PER_DAY
    return F.pow(F.lit(0.5), age / confidence.half_life_days)
