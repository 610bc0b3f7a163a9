"""Measures the mapped events as landing would see them: days, volumes, rule violations and repeats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from refit.columns import Columns

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_FEWEST_WEEKS = 3
"""Fewest weeks from which a statement about a weekday is made."""
_MOST_GAPS = 0.05
"""Above this share of days without events (18 a year), such days count as normal."""
_ID = r"^[^\s\p{C}]+\z"
_LONGEST_ID = 200


@dataclass(frozen=True)
class Day:
    """One day of events by the shop's clock."""

    rows: int
    broken: int
    """Rows that break a rule about single rows."""
    kept: int
    """Rows that break no rule, equal rows counted once."""


@dataclass(frozen=True)
class Measures:
    """The days of a shop's history."""

    days: Mapping[date, Day]
    most_value: float
    undated: int
    """Rows whose time does not parse."""
    people: int
    known: float
    """Share of events whose item is in the catalogue."""

    @property
    def first(self) -> date:
        """First day with events."""
        return min(self.days)

    @property
    def last(self) -> date:
        """Last day with events."""
        return max(self.days)

    @property
    def closed_weekdays(self) -> tuple[str, ...]:
        """Weekdays that occurred several times and never had events."""
        every = self._every
        seen = {day.weekday() for day in self.days}
        many = [sum(day.weekday() == number for day in every) for number in range(7)]
        return tuple(_WEEKDAYS[n] for n in range(7) if n not in seen and many[n] >= _FEWEST_WEEKS)

    @property
    def closed_days(self) -> tuple[date, ...]:
        """Other days without events between the first and the last day."""
        closed = self.closed_weekdays
        return tuple(day for day in self._every if day not in self.days and _WEEKDAYS[day.weekday()] not in closed)

    @property
    def has_usual_gaps(self) -> bool:
        """Whether days without events are too many to list."""
        return len(self.closed_days) > _MOST_GAPS * len(self._every)

    @property
    def fewest(self) -> int:
        """Events kept on the smallest day."""
        return min(day.kept for day in self.days.values())

    @property
    def lost(self) -> float:
        """Largest share of a day that breaks rules; a row without a time may belong to any day."""
        return max(min(1.0, (day.broken + self.undated) / (day.rows + self.undated)) for day in self.days.values())

    @property
    def repeated(self) -> float:
        """Largest share of a day that are repeats of other rows."""
        return max((day.rows - day.broken - day.kept) / day.rows for day in self.days.values())

    def ratios(self, weeks: int) -> tuple[float, float] | None:
        """
        Return the smallest and largest ratio of a day to the median of its weekday in the *weeks* before it.

        None if the history is too short to say what is usual.
        """
        found = []
        for day, counted in self.days.items():
            before = [self.days.get(day - timedelta(weeks=n)) for n in range(1, weeks + 1)]
            usual = [known.kept for known in before if known and known.kept]
            if len(usual) >= _FEWEST_WEEKS:
                found.append(counted.kept / median(usual))
        return (min(found), max(found)) if found else None

    @property
    def _every(self) -> list[date]:
        return [self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1)]


def measure(events: DataFrame, items: DataFrame, time_zone: str) -> Measures:
    """
    Measure *events* and *items*, as their mappings give them.

    Days follow a clock in *time_zone*; an `event_time` without a zone is local time of that clock.
    """
    time = F.col(Columns.EVENT_TIME)
    if dict(events.dtypes)[Columns.EVENT_TIME] == "timestamp":
        time = F.from_utc_timestamp(time, time_zone)
    catalogue = items.select(F.col(Columns.ITEM).alias("_item"), F.lit(True).alias("_known")).dropDuplicates(["_item"])
    rows = events.withColumn("_day", F.to_date(time)).join(
        F.broadcast(catalogue), F.col(Columns.ITEM) == F.col("_item"), "left"
    )
    value = F.col(Columns.VALUE)
    good = F.coalesce(F.col("_known"), F.lit(False)) & F.coalesce((value > 0) & (value < float("inf")), F.lit(False))
    for column in (Columns.USER, Columns.ITEM):
        text = F.col(column)
        good &= F.coalesce(text.rlike(_ID) & (F.length(text) <= _LONGEST_ID), F.lit(False))
    good &= F.col(Columns.EVENT_TYPE).isNotNull()
    every = [F.col(f"`{name}`") for name in events.columns]
    hashed = rows.withColumns(
        {
            "_good": good,
            "_same": F.when(good, F.struct(F.xxhash64(*every), F.hash(*[part.isNull() for part in every], *every))),
        }
    )
    by_day = hashed.groupBy("_day").agg(
        F.count(F.lit(1)).alias("rows"),
        F.count_if(~F.col("_good")).alias("broken"),
        F.count_distinct("_same").alias("kept"),
        F.count_if(F.col("_known").isNotNull()).alias("known"),
        F.max(value).alias("most"),
    )
    counted = {row["_day"]: row for row in by_day.collect()}
    people = events.agg(F.count_distinct(Columns.USER)).collect()[0][0]
    total = sum(row["rows"] for row in counted.values())
    dated = {day: row for day, row in counted.items() if day is not None and row["kept"]}
    return Measures(
        days={day: Day(row["rows"], row["broken"], row["kept"]) for day, row in sorted(dated.items())},
        most_value=max((row["most"] for row in counted.values() if row["most"] is not None), default=1.0),
        undated=counted[None]["rows"] if None in counted else 0,
        people=people,
        known=sum(row["known"] for row in counted.values()) / total if total else 0.0,
    )
