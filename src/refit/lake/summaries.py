"""
Summaries: what scoring needs from the days before the training window, in few rows.

Events before the window are not trained on. They matter only for what a person has bought, which lists may leave out,
and for whether the person exists. So a summary keeps one row per person and item of the event types that count as
buying, and one row per person of the other types. Orders that can be cancelled and cancellations are kept in full,
because a later cancellation may refer to an order of any age.

A summary is named by its inputs, the landed days and the meaning of their events: landing a day again with other
content gives another name, and the summary is made again. It ends with a month, so that most scorings find the one
that they need, and it is made from an earlier summary if there is one. Consent changes independently of the days, so
a summary holds all people, and consent is applied when it is read, as for the days (`refit.lake.consent`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import reduce
from itertools import groupby
from typing import Any
from uuid import uuid4

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from refit.clocks.shop_clock import ShopClock
from refit.columns import Columns
from refit.config import Events
from refit.digests import canonical_json, digest_of
from refit.errors import ConflictError, RefitError
from refit.lake.lake import Lake, Landed
from refit.sources.contract import CONTRACT

__all__ = ["FOLDER", "Split", "named_units", "split", "stand_in"]

FOLDER = "summaries"
FORMAT = "refit-summary/1"
_MONTH = len("2026-01")
_NAME = 32
"""Hexadecimal digits of SHA-256 in a summary's name: 128 bits."""
_COLUMNS = list(CONTRACT["interactions"])
_SCHEMA = ", ".join(f"{name} {kind}" for name, kind in CONTRACT["interactions"].items())
_LOG = logging.getLogger("refit.lake.summaries")


@dataclass(frozen=True)
class Split:
    """Landed days, split where a summary ends."""

    before: Sequence[Landed]
    """Days of whole months before the window, which a summary can replace."""
    after: Sequence[Landed]
    """The other days, which must be read."""


def split(days: Sequence[Landed], since: datetime, clock: ShopClock) -> Split:
    """Split *days* at the beginning of the month of *since*, by the shop's *clock*."""
    month = clock.day_of(since).isoformat()[:_MONTH]
    return Split([day for day in days if day.day[:_MONTH] < month], [day for day in days if day.day[:_MONTH] >= month])


def stand_in(spark: SparkSession, lake: Lake, days: Sequence[Landed], events: Events) -> DataFrame | None:
    """
    Return rows that replace *days*, all landed days before the beginning of a month; None if these have no row.

    They have the contract's columns of interactions. Combined with any later events, they give the same purchases and
    the same people as the days. If the summary cannot be stored, the rows are computed from the days.
    """
    days = [day for day in days if day.path]
    if not days:
        return None
    names = _names(days, events)
    wanted = list(names.values())[-1]
    found = _path(lake, wanted)
    if found is None:
        made = _made(spark, lake, days, names, events)
        try:
            found = _store(lake, wanted, made)
        except (OSError, RefitError, PySparkException, Py4JError) as error:
            _LOG.warning(
                "%s cannot be written (%s), so all landed days up to %s are read each time; allow score_users to write "
                "there",
                lake.path(FOLDER),
                str(error).partition("\n")[0],
                days[-1].day,
            )
            return made
    return _read(spark, lake, found)


def named_units(lake: Lake, days: Sequence[Landed], clock: ShopClock, window_days: int, events: Events) -> set[str]:
    """
    Return the folders, relative to the lake, of the summaries needed to score after *days*, all landed days.

    These are the summary before the current window, from which the next one will be made, and the one before it.
    """
    days = [day for day in days if day.path]
    if not days:
        return set()
    since = clock.back(clock.start_of(date.fromisoformat(days[-1].day)), window_days)
    names = list(_names(split(days, since, clock).before, events).values())[-2:]
    paths = [path for name in names if (path := _path(lake, name))]
    return {f"{FOLDER}/{name}" for name in names} | set(paths)


def _names(days: Sequence[Landed], events: Events) -> dict[str, str]:
    """Return month -> name of the summary that ends with this month, for each month of *days*, oldest first."""
    meaning = {"bought": sorted(events.bought), "cancels": sorted(events.cancels), "cancellation": events.cancellation}
    name, names = digest_of({"format": FORMAT, "events": meaning}), {}
    for month, entries in groupby(days, key=lambda day: day.day[:_MONTH]):
        name = digest_of({"before": name, "days": [[day.day, day.rows, day.digest] for day in entries]})
        names[month] = name[:_NAME]
    return names


def _made(spark: SparkSession, lake: Lake, days: Sequence[Landed], names: dict[str, str], events: Events) -> DataFrame:
    """Return the rows that replace *days*, made from the newest existing summary and the days after it."""
    frames = []
    for month in sorted(names, reverse=True):
        path = _path(lake, names[month])
        if path is not None:
            frames = [_read(spark, lake, path)]
            days = [day for day in days if day.day[:_MONTH] > month]
            break
    rows = lake.read(spark, "interactions", days).select(*_COLUMNS)
    return _reduced(reduce(DataFrame.unionAll, [*frames, rows]), events)


def _reduced(rows: DataFrame, events: Events) -> DataFrame:
    """Return *rows* without redundant ones; idempotent."""
    stays = _is_any(F.col(Columns.EVENT_TYPE), [*events.cancels, *filter(None, [events.cancellation])])
    one_per_item = F.when(_is_any(F.col(Columns.EVENT_TYPE), events.bought), F.col(Columns.ITEM)).alias("_item")
    others = (
        rows.where(~stays)
        .groupBy(Columns.USER, Columns.EVENT_TYPE, one_per_item)
        .agg(F.min(Columns.ITEM).alias(Columns.ITEM), F.max(Columns.EVENT_TIME).alias(Columns.EVENT_TIME))
        .withColumn(Columns.VALUE, F.lit(None).cast("double"))
        .select(*_COLUMNS)
    )
    return others.unionAll(rows.where(stays)) if events.cancels else others


def _is_any(kind: Column, types: Sequence[str]) -> Column:
    """Return whether *kind* is one of *types*; false, never null, for a null type."""
    return F.coalesce(kind.isin(*types), F.lit(False)) if types else F.lit(False)


def _read(spark: SparkSession, lake: Lake, path: str) -> DataFrame:
    return spark.read.schema(_SCHEMA).parquet(lake.path(path))


def _store(lake: Lake, name: str, made: DataFrame) -> str:
    """Write *made* to its own folder, publish it as the summary *name*, and return the published folder."""
    path = f"{FOLDER}/{name}/{uuid4().hex[:12]}"
    made.sortWithinPartitions(Columns.USER).write.parquet(lake.path(path))
    try:
        lake.store.create(_manifest_key(name), canonical_json({"format": FORMAT, "path": path}))
    except ConflictError:
        # Another process made the same summary first; ours is unnamed and will be collected.
        return _path(lake, name) or path
    return path


def _path(lake: Lake, name: str) -> str | None:
    """Return the folder of the summary *name*, or None if it was never finished."""
    stored = lake.store.get(_manifest_key(name))
    if stored is None:
        return None
    manifest: dict[str, Any] = json.loads(stored.content)
    return str(manifest["path"])


def _manifest_key(name: str) -> str:
    # The manifest is collected before the rows: a summary without one does not exist.
    return f"{FOLDER}/{name}/manifest.json"
