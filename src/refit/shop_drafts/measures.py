"""What landing would see of the mapped events: days, volumes, and how many rows would break rules or be repeats."""

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
"""With fewer of them nothing is said about a weekday."""
_MOST_GAPS = 0.05
"""Above this share of days without an event, such days count as usual: 18 in a year."""
_ID = r"^[^\s\p{C}]+\z"
_LONGEST_ID = 200


@dataclass(frozen=True)
class Day:
    """One day of events by the clock of the shop."""

    rows: int
    broken: int
    """Rows that break a rule about single rows."""
    kept: int
    """Rows that break none, each kind of equal rows once."""


@dataclass(frozen=True)
class Measures:
    """The days of a shop's history."""

    days: Mapping[date, Day]
    most_value: float
    undated: int
    """Rows whose time does not parse."""
    people: int
    known: float
    """Share of events whose item the catalogue has."""

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
        """Weekdays on which nothing ever happened, though there were several of them."""
        every = self._every
        seen = {day.weekday() for day in self.days}
        many = [sum(day.weekday() == number for day in every) for number in range(7)]
        return tuple(_WEEKDAYS[n] for n in range(7) if n not in seen and many[n] >= _FEWEST_WEEKS)

    @property
    def closed_days(self) -> tuple[date, ...]:
        """Other days between the first and the last on which nothing happened."""
        closed = self.closed_weekdays
        return tuple(day for day in self._every if day not in self.days and _WEEKDAYS[day.weekday()] not in closed)

    @property
    def has_usual_gaps(self) -> bool:
        """Whether there are too many days without an event to list them one by one."""
        return len(self.closed_days) > _MOST_GAPS * len(self._every)

    @property
    def fewest(self) -> int:
        """Events that are kept of the smallest day."""
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

        None when the history is too short to say what is usual.
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
    Return what is in *events* and *items*, two tables as their mappings give them.

    Days are cut by a clock in *time_zone*; an `event_time` without a zone is what that clock showed.
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
