"""The ledger of a landed day: where every row that was read went, so that the sum is exact."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from statistics import median
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from refit.cleaning import KEPT, QUARANTINED
from refit.config import Shop
from refit.landing.volumes import FEWEST_WEEKS, likely, silent_share

LEDGER = (
    "day string, rows_in long, kept long, kept_when_open long, kept_when_closed long, quarantined long, "
    "share_lost double, share_removed double, weekday_median double, "
    "weekday_ratio double, weekday_ratio_low double, weekday_ratio_high double, "
    "silent_share double, silent_share_of_newest double"
)
"""Columns by which the suite of days judges."""


@dataclass(frozen=True, kw_only=True)
class DayLedger:
    """One day of events. `rows_in == quarantined + sum(removed) + kept`."""

    day: str
    """YYYY-MM-DD, by the shop's clock."""
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
    hours: tuple[int, ...] = ()
    """Events kept in each hour of the shop's clock, from 0 to 23; empty for a ledger without them."""
    silent_share: float | None = None
    """Share of such a weekday that usually comes after the hour of the last event, as `landing.volumes` tells it."""

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

    @property
    def likely_ratios(self) -> tuple[float, float] | None:
        """Between which ratios to the median of the weekday the day lies if its events came by chance."""
        if not self.weekday_median:
            return None
        low, high = likely(self.kept)
        return low / self.weekday_median, high / self.weekday_median

    def as_record(self) -> dict[str, Any]:
        """Return the ledger as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> DayLedger:
        """Return the ledger that `as_record` wrote."""
        return cls(**{**record, "hours": tuple(record.get("hours", ()))})


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
Hours = Mapping[str, Sequence[int]]
"""Day -> events of each hour of the shop's clock, from 0 to 23."""


def ledgers(
    counts: Counts,
    broken: Counts,
    changed: Counts,
    before: Mapping[str, int],
    shop: Shop,
    *,
    hours: Hours | None = None,
    hours_before: Hours | None = None,
) -> list[DayLedger]:
    """
    Return the ledger of each day of *counts* (day -> fate -> events), oldest first.

    *before* says how many events earlier days kept, *hours* and *hours_before* in which hours the days themselves and
    earlier ones kept them; what is usual on a day is told from days before it alone.
    """
    hours = hours or {}
    known = {**(hours_before or {}), **hours}
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
            hours=tuple(hours.get(day, ())),
            silent_share=silent_share(
                hours.get(day, ()),
                [known[week] for week in _weeks_before(date.fromisoformat(day), shop) if known.get(week)],
            ),
        )
        for day, fates in sorted(counts.items())
    ]


def missing_days(days: Iterable[date], landed: Iterable[DayLedger]) -> list[DayLedger]:
    """Return an empty ledger for each of the open *days* that *landed* lacks, so that rules see an empty day too."""
    known = {ledger.day for ledger in landed}
    nothing: dict[str, Any] = {"rows_in": 0, "quarantined": 0, "broken": {}, "removed": {}, "changed": {}, "kept": 0}
    return [DayLedger(day=day.isoformat(), **nothing) for day in days if day.isoformat() not in known]


def ledger_frame(
    spark: SparkSession, days: Iterable[DayLedger], shop: Shop, *, newest: date | None = None
) -> DataFrame:
    """
    Return one row a day with the columns of LEDGER.

    A column is null where there is nothing to judge: `kept_when_open` on a day that the calendar closes, or that is
    empty in a shop where that is normal, ratios and silent shares on a closed day or beside a median that is no
    measure, and `silent_share_of_newest` on any other day than *newest*, the only one that may still be on its way.
    """
    rows = []
    for ledger in days:
        day = date.fromisoformat(ledger.day)
        opened = shop.calendar.is_open(day)
        expected = opened and (ledger.kept > 0 or not shop.calendar.empty_days_are_normal)
        measured = expected and (ledger.weekday_median or 0.0) >= shop.validation.min_weekday_median
        low, high = (ledger.likely_ratios if measured else None) or (None, None)
        rows.append(
            (
                ledger.day,
                ledger.rows_in,
                ledger.kept,
                ledger.kept if expected else None,
                None if opened else ledger.kept,
                ledger.quarantined,
                ledger.share_lost,
                ledger.share_removed,
                ledger.weekday_median,
                ledger.weekday_ratio if measured else None,
                low,
                high,
                ledger.silent_share if expected else None,
                ledger.silent_share if expected and day == newest else None,
            )
        )
    return spark.createDataFrame(rows, LEDGER).coalesce(1)


def _weeks_before(day: date, shop: Shop) -> list[str]:
    return [(day - timedelta(weeks=n)).isoformat() for n in range(1, shop.validation.weekday_weeks + 1)]


def _usual(day: date, kept: Mapping[str, int], shop: Shop) -> float | None:
    known = [kept[week] for week in _weeks_before(day, shop) if kept.get(week)]
    return float(median(known)) if len(known) >= FEWEST_WEEKS else None
