"""The ledger of a landed day: accounts for every row that was read, so the counts add up exactly."""

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
"""Columns that the suite of days checks."""


@dataclass(frozen=True, kw_only=True)
class DayLedger:
    """One day of events. `rows_in == quarantined + sum(removed) + kept`."""

    day: str
    """YYYY-MM-DD, by the shop's clock."""
    rows_in: int
    """Events read for the day, from people who consent."""
    quarantined: int
    """Events that break at least one row rule."""
    broken: Mapping[str, int]
    """Row rule -> events that break it; an event that breaks two counts under both."""
    removed: Mapping[str, int]
    """Kind of cleaning -> events it removed; each event counts under one kind."""
    changed: Mapping[str, int]
    """Kind of cleaning -> events it altered and kept."""
    kept: int
    weekday_median: float | None = None
    """Median of the events kept on this weekday in the weeks before; None if there are too few weeks."""
    hours: tuple[int, ...] = ()
    """Events kept in each hour (0 to 23) of the shop's clock; empty if the ledger does not record them."""
    silent_share: float | None = None
    """Usual share of this weekday's events after the hour of the last event; see `landing.volumes.silent_share`."""

    @property
    def share_lost(self) -> float:
        """Share of the events that were quarantined."""
        return self.quarantined / self.rows_in if self.rows_in else 0.0

    @property
    def share_removed(self) -> float:
        """Share of the events that cleaning removed."""
        return sum(self.removed.values()) / self.rows_in if self.rows_in else 0.0

    @property
    def weekday_ratio(self) -> float | None:
        """Events kept divided by the median of the same weekday."""
        return self.kept / self.weekday_median if self.weekday_median else None

    @property
    def likely_ratios(self) -> tuple[float, float] | None:
        """Likely range of `weekday_ratio` if the day's volume differs from its mean by chance alone."""
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
    """One quarantined or removed event as it was read; the person is a pseudonym."""

    day: str
    """Day of the ledger that counts this event."""
    reason: str
    """The row rule or the kind of cleaning."""
    row: Mapping[str, Any]
    """Column -> value, plain JSON values."""


Counts = Mapping[str, Mapping[str, int]]
"""Day -> status, rule or kind of cleaning -> events."""
Hours = Mapping[str, Sequence[int]]
"""Day -> events in each hour (0 to 23) of the shop's clock."""


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
    Return the ledger of each day of *counts* (day -> status -> events), oldest first.

    *before* gives the events kept on earlier days; *hours* and *hours_before* give the hourly counts of these days and
    of earlier ones. What is usual on a day is derived from the days before it alone.
    """
    hours = hours or {}
    known = {**(hours_before or {}), **hours}
    kept = {**before, **{day: by_status.get(KEPT, 0) for day, by_status in counts.items()}}
    return [
        DayLedger(
            day=day,
            rows_in=sum(by_status.values()),
            quarantined=by_status.get(QUARANTINED, 0),
            broken=dict(broken.get(day, {})),
            removed={status: count for status, count in by_status.items() if status not in {KEPT, QUARANTINED}},
            changed=dict(changed.get(day, {})),
            kept=by_status.get(KEPT, 0),
            weekday_median=_usual(date.fromisoformat(day), kept, shop),
            hours=tuple(hours.get(day, ())),
            silent_share=silent_share(
                hours.get(day, ()),
                [known[week] for week in _weeks_before(date.fromisoformat(day), shop) if known.get(week)],
            ),
        )
        for day, by_status in sorted(counts.items())
    ]


def missing_days(days: Iterable[date], landed: Iterable[DayLedger]) -> list[DayLedger]:
    """Return an empty ledger for each of the open *days* missing from *landed*, so that rules see empty days too."""
    known = {ledger.day for ledger in landed}
    nothing: dict[str, Any] = {"rows_in": 0, "quarantined": 0, "broken": {}, "removed": {}, "changed": {}, "kept": 0}
    return [DayLedger(day=day.isoformat(), **nothing) for day in days if day.isoformat() not in known]


def ledger_frame(
    spark: SparkSession, days: Iterable[DayLedger], shop: Shop, *, newest: date | None = None
) -> DataFrame:
    """
    Return one row per day with the columns of LEDGER.

    A column is null where there is nothing to judge: `kept_when_open` on a closed day, or on an empty day in a shop
    where empty days are normal; ratios also where the median is too small; silent shares on the same closed or empty
    days; `silent_share_of_newest` on every day but *newest*, the only one whose events may still be on their way.
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
