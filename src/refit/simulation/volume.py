"""The number of events of each day."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from refit.simulation.laws import apportioned, looked_up
from refit.simulation.shop import SimulatedShop

_WEEK = (1.00, 0.95, 0.95, 1.00, 1.08, 1.15, 1.05)
"""Relative volume from Monday to Sunday."""
_YEARLY_SWING = 0.10
"""Relative excess of the best day of the year (end of November) over the mean."""
_BIGGEST_CHUNK = 500_000
"""Largest number of events per skeleton row, whose numbers form one array in memory."""


@dataclass(frozen=True)
class Chunk:
    """Events *first* to *last* (inclusive), which happen on one day."""

    day_number: int
    first: int
    last: int


def calendar(shop: SimulatedShop) -> list[Chunk]:
    """Distribute the events over the days, with a mild weekly and yearly pattern and the exact total."""
    days = [shop.first_day + timedelta(days=number) for number in range(shop.days)]
    season = [2 * math.pi * (day.timetuple().tm_yday - 330) / 365.25 for day in days]
    volume = [
        _WEEK[day.weekday()] * (1 + _YEARLY_SWING * math.cos(angle)) for day, angle in zip(days, season, strict=True)
    ]
    chunks, first = [], 0
    for day_number, count in enumerate(apportioned(shop.events, volume)):
        end = first + count
        while first < end:
            last = min(first + _BIGGEST_CHUNK, end) - 1
            chunks.append(Chunk(day_number, first, last))
            first = last + 1
    return chunks


def numbered_events(spark: SparkSession, shop: SimulatedShop, *, tasks: int) -> DataFrame:
    """Return `number` and `day_number` of every event, in the order of the days."""
    chunks = calendar(shop)
    first = looked_up([chunk.first for chunk in chunks], F.col("id"))
    last = looked_up([chunk.last for chunk in chunks], F.col("id"))
    return spark.range(0, len(chunks), 1, min(tasks, len(chunks))).select(
        looked_up([chunk.day_number for chunk in chunks], F.col("id")).alias("day_number"),
        F.explode(F.sequence(first, last)).alias("number"),
    )
