"""
Landing raw events: gives every event a status, checks the kept rows, and writes a ledger and a page for each day.

Landing from the sources and replaying a quarantine differ only in where the raw events come from.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from operator import and_
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from refit.cleaning import QUARANTINED, clean
from refit.cleaning.pipeline import CHECKED_ONLY
from refit.clocks.spark_columns import clock_time
from refit.columns import Columns
from refit.config import Shop
from refit.interfaces import Check
from refit.landing.day_ledger import DayLedger, ledger_frame, ledgers, missing_days
from refit.landing.day_reports import Reports
from refit.landing.day_rules import counted, describe_days
from refit.landing.raw_events import with_known_items
from refit.landing.row_examples import examples_of
from refit.landing.row_rules import RowRule, count_broken, judged, row_rules
from refit.landing.staging import Staging, Written
from refit.landing.suites import Inspection
from refit.row_hashes import row_hashes

_LOG = logging.getLogger("refit.landing.staging")
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
EVENT_HASHES = ("event_hash", "event_hash_2")
"""Hashes that identify an event: of person and `events.key` if no part of the key is null, else of all columns."""


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Event counts of one landing, for its receipt. `rows_in == quarantined + sum(removed) + rows`."""

    rows_in: int = 0
    """Events read for these days, from people who consent."""
    quarantined: int = 0
    broken: dict[str, int] = field(default_factory=dict)
    """Row rule -> events that break it; one event may break several."""
    removed: dict[str, int] = field(default_factory=dict)
    """Kind of cleaning -> events it removed."""
    changed: dict[str, int] = field(default_factory=dict)
    """Kind of cleaning -> events it altered and kept."""
    rows: int = 0
    """Events kept."""


def interval_parameters(shop: Shop, open_days: Sequence[date]) -> dict[str, Any]:
    """Return the $PARAMETER values of the suite of interactions for landing *open_days*."""
    limits = shop.validation
    expected = [] if shop.calendar.empty_days_are_normal else open_days
    return {
        "min_rows": limits.min_rows_per_open_day * len(expected),
        "max_value": limits.max_value,
        "max_item_id_length": limits.max_item_id_length,
        "item_id_pattern": limits.item_id_pattern,
        "event_types": shop.events.types,
        "event_key": [*EVENT_HASHES],
        # If no day is expected to have events, any event is fresh enough.
        "fresh_after": (shop.calendar.start_of(expected[-1]) if expected else _EVER)
        .astimezone(UTC)
        .replace(tzinfo=None),
        "time_zone": shop.calendar.zone,
    }


@dataclass(frozen=True)
class DayLanding:
    """Cleans, checks and stages the events of one landing."""

    stage: Staging
    shop: Shop
    days: Sequence[date]
    """Days to land, by the shop's clock, oldest first."""
    inspection: Inspection

    def judged(self, events: DataFrame, catalogue: DataFrame) -> DataFrame:
        """Return *events*, of `refit.landing.raw_events.events_of`, with `item_known` and `broken`."""
        return judged(with_known_items(events, catalogue), self._rules())

    def judged_again(self, intake: DataFrame, catalogue: DataFrame) -> DataFrame:
        """
        Return the raw events of an earlier landing, judged by today's rules and *catalogue*.

        Person ids were checked before they became pseudonyms, so the earlier findings about them are kept.
        """
        rules = self._rules()
        about_people = F.array(*[F.lit(rule.name) for rule in rules if rule.about_people])
        person_rules = F.coalesce(F.array_intersect(Columns.BROKEN, about_people), F.array().cast("array<string>"))
        fresh = judged(with_known_items(intake.withColumn("_told", person_rules), catalogue), rules)
        every = F.array_union("_told", F.coalesce(Columns.BROKEN, F.array().cast("array<string>")))
        return fresh.withColumn(Columns.BROKEN, F.when(F.size(every) > 0, every)).drop("_told")

    def run(self, intake: DataFrame) -> list[DayLedger]:
        """
        Clean, check and stage *intake*, the judged raw events as written, and return the ledger of each day.

        Raises:
            DataRefusedError: a critical rule about the whole table or a day is broken; only the pages of the refused
                days remain, and they say why.
        """
        weeks = timedelta(weeks=self.shop.validation.weekday_weeks)
        landed = self._landed(self.days[0] - weeks, self.days[-1])
        earlier = self.reports.history(self.days[0])
        rows, every = intake.count(), len(self.days)
        _LOG.info("read events: %s rows of %s days; cleaning them", f"{rows:,}", f"{every:,}")
        cleaned = clean(intake, rows=rows, days=every, cleaning=self.shop.cleaning, events=self.shop.events)
        # A day that no longer has events must lose the ones landed before.
        kept_days = self._open_days if self.shop.calendar.empty_days_are_normal else []
        written = self.stage.stage_events(
            cleaned, [day for day in self.days if day.isoformat() in landed or day in kept_days]
        )
        apart = written.rows.where(F.col(Columns.FATE) == QUARANTINED)
        days = ledgers(
            written.counts,
            _by_day(count_broken(apart, Columns.EVENT_DATE)),
            _changed(written),
            landed,
            self.shop,
            hours=_hours(written, self.shop.calendar.zone),
            hours_before={day.day: day.hours for day in earlier},
        )
        sums = totals(days)
        _LOG.info(
            "cleaned: %s rows kept, %s set apart, %s left out; judging %s days",
            *[f"{count:,}" for count in (sums.rows, sums.quarantined, sum(sums.removed.values()), len(days))],
        )
        every_day = sorted([*days, *missing_days(self._open_days, days)], key=lambda day: day.day)
        kept = named_events(written.kept(), self._own(intake), self.shop.events.key)
        if rows or not self.shop.calendar.empty_days_are_normal:
            self.inspection.look("interactions", kept, self._parameters())
        refused = self._look_at_days(every_day)
        examples = examples_of(written.rows)
        if self.inspection.reasons:
            bad = [day for day in every_day if day.day in refused] or every_day
            self.reports.write(self.stage.landing, bad, self.inspection, examples, earlier)
            self.inspection.refuse(f"see {self.reports.address(self.stage.landing, bad[0].day)}")
        _LOG.info("judged: nothing is refused, %d warnings; writing the pages", len(self.inspection.warnings))
        self.reports.write(self.stage.landing, days, self.inspection, examples, earlier)
        return days

    @property
    def reports(self) -> Reports:
        """Writer of the reports of this landing."""
        return Reports(self.stage.lake, self.shop, self.inspection.whys("interactions"))

    @property
    def _open_days(self) -> list[date]:
        return [day for day in self.days if self.shop.calendar.is_open(day)]

    def _landed(self, first: date, last: date) -> dict[str, int]:
        """Return the rows of the landed days from *first* to *last*."""
        since, until = self.shop.calendar.clock.span(first, last + timedelta(days=1))
        return {entry.day: entry.rows for entry in self.stage.lake.days("interactions", since, until)}

    def _rules(self) -> list[RowRule]:
        return row_rules(self.inspection.suite("interactions", self._parameters()))

    def _own(self, events: DataFrame) -> list[str]:
        aside = {*CHECKED_ONLY, Columns.FATE, Columns.CHANGED}
        return [name for name in events.columns if name not in aside]

    def _parameters(self) -> dict[str, Any]:
        return interval_parameters(self.shop, self._open_days)

    def _look_at_days(self, days: Sequence[DayLedger]) -> set[str]:
        """Judge the ledgers and return the days that break a critical rule."""
        limits = self.shop.validation.model_dump()
        suite = self.inspection.suite("days", limits)
        landed = self.stage.lake.newest_day("interactions")
        newest = self.days[-1] if landed is None or landed <= self.days[-1] else None
        frame = ledger_frame(self.stage.spark, days, self.shop, newest=newest)
        rules = row_rules(suite, severities=("critical", "warning"))
        by_name = {day.day: day for day in days}
        breaking: dict[str, list[DayLedger]] = {}
        for row in judged(frame, rules).where(F.col(Columns.BROKEN).isNotNull()).orderBy("day").collect():
            for name in row[Columns.BROKEN]:
                breaking.setdefault(name, []).append(by_name[row["day"]])

        def describe(check: Check) -> str:
            return describe_days(check, suite, breaking.get(check.name, ()), len(days))

        checks = self.inspection.look("days", frame, limits, tell=describe)
        critical = {check.name for check in checks if check.severity == "critical"}
        return {day.day for name, found in breaking.items() if name in critical for day in found}


def totals(days: Iterable[DayLedger]) -> Totals:
    """Return the sums over *days*."""
    days = list(days)
    return Totals(
        rows_in=sum(day.rows_in for day in days),
        quarantined=sum(day.quarantined for day in days),
        broken=_sum(day.broken for day in days),
        removed=_sum(day.removed for day in days),
        changed=_sum(day.changed for day in days),
        rows=sum(day.kept for day in days),
    )


def describe_losses(sums: Totals) -> list[str]:
    """Return a warning if events were quarantined."""
    if not sums.quarantined:
        return []
    return [
        f"{sums.quarantined:,} of {sums.rows_in:,} events are set apart in quarantine: {counted(sums.broken)}; "
        "mend the cause and run replay_quarantine"
    ]


def named_events(kept: DataFrame, own: Sequence[str], key: Sequence[str]) -> DataFrame:
    """
    Return *kept* with the columns EVENT_HASHES, equal for two rows that describe the same event.

    Two rows describe the same event if they agree on person and *key*. As in cleaning, a key with a null part
    identifies nothing: such rows, and all rows if *key* is empty, must agree on every column of *own*. Comparing 96
    bits of hash costs a tenth of comparing every column.
    """
    whole = row_hashes(_part(kept.schema, own))
    if not key:
        return kept.withColumns(dict(zip(EVENT_HASHES, whole, strict=True)))
    complete = reduce(and_, (F.col(f"`{name}`").isNotNull() for name in key))
    keyed = row_hashes(_part(kept.schema, [Columns.USER, *key]))
    return kept.withColumns(
        {
            name: F.when(complete, of_key).otherwise(of_all)
            for name, of_key, of_all in zip(EVENT_HASHES, keyed, whole, strict=True)
        }
    )


def _part(schema: StructType, names: Sequence[str]) -> StructType:
    return StructType([part for part in schema.fields if part.name in names])


def _changed(written: Written) -> dict[str, dict[str, int]]:
    altered = written.kept().where(F.col(Columns.CHANGED).isNotNull())
    kinds = altered.select(Columns.EVENT_DATE, F.explode(Columns.CHANGED).alias("kind"))
    return _by_day(tuple(row) for row in kinds.groupBy(Columns.EVENT_DATE, "kind").count().collect())


def _hours(written: Written, zone: str) -> dict[str, list[int]]:
    """Return day -> events kept in each hour, by a clock in *zone*."""
    hour = F.hour(clock_time(F.col(Columns.EVENT_TIME), zone))
    found: dict[str, list[int]] = {}
    for day, number, count in written.kept().groupBy(Columns.EVENT_DATE, hour).count().collect():
        if number is not None:  # a shop's own rules may keep events without a time
            found.setdefault(day.isoformat(), [0] * 24)[number] = count
    return found


def _by_day(counted: Iterable[tuple[Any, ...]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for day, name, count in counted:
        found.setdefault(day.isoformat(), {})[name] = count
    return found


def _sum(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for part in parts:
        for name, count in part.items():
            sums[name] = sums.get(name, 0) + count
    return dict(sorted(sums.items()))
