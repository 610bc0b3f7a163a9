"""The ledger of a landed day: where every row that was read went, so that the sum is exact."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from statistics import median
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from refit.cleaning import KEPT, QUARANTINED
from refit.config import Shop

_FEWEST_WEEKS = 3
"""A median of fewer weeks says nothing about what is usual."""
LEDGER = (
    "day string, rows_in long, kept long, kept_when_open long, quarantined long, "
    "share_lost double, share_removed double, weekday_median double, weekday_ratio double"
)
"""Columns by which the suite of days judges."""


@dataclass(frozen=True, kw_only=True)
class DayLedger:
    """One day of events. `rows_in == quarantined + sum(removed) + kept`."""

    day: str
    """YYYY-MM-DD, in UTC."""
    rows_in: int
    """Events that were read for the day, of people who consent."""
    quarantined: int
    """Events set apart because they break at least one row rule."""
    broken: Mapping[str, int]
    """Row rule -> events that break it; an event that breaks two counts under both."""
    removed: Mapping[str, int]
    """Kind of cleaning -> events it left out; each event under one kind."""
    changed: Mapping[str, int]
    """Kind of cleaning -> events it altered and kept."""
    kept: int
    weekday_median: float | None = None
    """Median of the events kept on the same weekday of the weeks before; None with too few of them."""

    @property
    def share_lost(self) -> float:
        """Share of the events that were set apart."""
        return self.quarantined / self.rows_in if self.rows_in else 0.0

    @property
    def share_removed(self) -> float:
        """Share of the events that cleaning left out."""
        return sum(self.removed.values()) / self.rows_in if self.rows_in else 0.0

    @property
    def weekday_ratio(self) -> float | None:
        """Events kept over the median of the same weekday."""
        return self.kept / self.weekday_median if self.weekday_median else None

    def as_record(self) -> dict[str, Any]:
        """Return the ledger as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> DayLedger:
        """Return the ledger that `as_record` wrote."""
        return cls(**record)


@dataclass(frozen=True, kw_only=True)
class Example:
    """One event that was set apart or left out, as it was read; the person is a pseudonym."""

    day: str
    """Day of the ledger that counts it."""
    reason: str
    """The row rule or the kind of cleaning."""
    row: Mapping[str, Any]
    """Column -> value, plain JSON values."""


Counts = Mapping[str, Mapping[str, int]]
"""Day -> what is counted -> events."""


def ledgers(counts: Counts, broken: Counts, changed: Counts, before: Mapping[str, int], shop: Shop) -> list[DayLedger]:
    """
    Return the ledger of each day of *counts* (day -> fate -> events), oldest first.

    *before* says how many events earlier days kept; what is usual on a day is told from days before it alone.
    """
    kept = {**before, **{day: fates.get(KEPT, 0) for day, fates in counts.items()}}
    return [
        DayLedger(
            day=day,
            rows_in=sum(fates.values()),
            quarantined=fates.get(QUARANTINED, 0),
            broken=dict(broken.get(day, {})),
            removed={fate: count for fate, count in fates.items() if fate not in {KEPT, QUARANTINED}},
            changed=dict(changed.get(day, {})),
            kept=fates.get(KEPT, 0),
            weekday_median=_usual(date.fromisoformat(day), kept, shop),
        )
        for day, fates in sorted(counts.items())
    ]


def missing_days(days: Iterable[date], landed: Iterable[DayLedger]) -> list[DayLedger]:
    """Return an empty ledger for each of the open *days* that *landed* lacks, so that rules see an empty day too."""
    known = {ledger.day for ledger in landed}
    nothing: dict[str, Any] = {"rows_in": 0, "quarantined": 0, "broken": {}, "removed": {}, "changed": {}, "kept": 0}
    return [DayLedger(day=day.isoformat(), **nothing) for day in days if day.isoformat() not in known]


def ledger_frame(spark: SparkSession, days: Iterable[DayLedger], shop: Shop) -> DataFrame:
    """Return one row a day with the columns of LEDGER; `kept_when_open` is null on a day that the calendar closes."""
    rows = [
        (
            ledger.day,
            ledger.rows_in,
            ledger.kept,
            ledger.kept if shop.calendar.is_open(date.fromisoformat(ledger.day)) else None,
            ledger.quarantined,
            ledger.share_lost,
            ledger.share_removed,
            ledger.weekday_median,
            ledger.weekday_ratio,
        )
        for ledger in days
    ]
    return spark.createDataFrame(rows, LEDGER).coalesce(1)


def _usual(day: date, kept: Mapping[str, int], shop: Shop) -> float | None:
    weeks = (day - timedelta(weeks=n) for n in range(1, shop.validation.weekday_weeks + 1))
    known = [kept[week.isoformat()] for week in weeks if kept.get(week.isoformat())]
    return float(median(known)) if len(known) >= _FEWEST_WEEKS else None
