"""Landing an interval from the shop's sources into the lake: all of it or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from pyspark.sql import Observation, SparkSession
from pyspark.sql import functions as F

from refit.columns import Columns
from refit.config import Shop
from refit.errors import ConfigurationError, DataRefusedError, SourceError
from refit.interfaces import Validator
from refit.lake.lake import Lake, Landed
from refit.lake.pseudonyms import PseudonymKey, pseudonymise
from refit.landing.catalogue_losses import catalogue_parameters, describe_values_lost, values_lost
from refit.landing.day_landing import DayLanding, Totals, describe_losses, totals
from refit.landing.raw_events import events_of, keep_consenting
from refit.landing.staging import Staging, staging
from refit.landing.suites import Inspection
from refit.sources import Warehouse, explained


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of landing one interval."""

    day: str
    """First day of the interval."""
    sums: Totals
    landing: str = ""
    """Id of the landing; empty if nothing was committed."""
    items: int = 0
    people: int | None = None
    """Number of people who consent; None for a shop without a users table."""
    withheld: int = 0
    """Events of people who have not given consent; never written anywhere."""
    digest: str = ""
    not_filed: tuple[str, ...] = ()
    """Snapshots that were read but not committed, because younger ones are landed."""
    checks: int = 0
    report: str = ""
    """Address of the last day's page."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Lander:
    """Lands intervals with the given collaborators."""

    shop: Shop
    warehouse: Warehouse
    key: PseudonymKey
    suites: Path
    spark: SparkSession
    lake: Lake
    validator: Validator

    def land(self, since: datetime, until: datetime, *, only_changed: bool = False) -> Outcome:
        """
        Land [*since*, *until*), two midnights of the shop's clock; with *only_changed* only if the rows differ.

        Raises:
            DataRefusedError: a critical rule is broken; nothing of the interval became visible.
            SourceError: a source cannot be read as it was declared.
        """
        shop, lake, landing = self.shop, self.lake, uuid4().hex[:12]
        if lake.clock != shop.calendar.clock:
            raise ConfigurationError(
                f"the lake is opened with the clock of {lake.clock.zone}, and shop {shop.name!r} has that of "
                f"{shop.calendar.zone}; open it with the calendar's clock"
            )
        lake.require_key(self.key)
        first, end = shop.calendar.day_of(since), shop.calendar.day_of(until)
        inspection = Inspection(self.validator, self.suites, f"{first} to {end}")
        tables, read = partial(self.warehouse.read, since=since, until=until), Observation("read")
        with (
            explained(f"landing {first} of {shop.name!r}", self.warehouse.source_of),
            staging(self.spark, lake, landing) as stage,
        ):
            day_landing = DayLanding(stage, shop, shop.calendar.clock.days(since, until), inspection)
            everybody, catalogue, events = tables("users"), tables("items"), tables("interactions")
            if catalogue is None or events is None:
                raise ConfigurationError(f"shop {shop.name!r} maps no items or no interactions; add the SQL")
            items = stage.snapshot("items", catalogue, until)
            inspection.look("items", items, catalogue_parameters(shop))
            if known := lake.snapshot("items", until):
                lost = values_lost(lake.read(self.spark, "items", [known]), items)
                inspection.warnings += describe_values_lost(lost, known.day)
            judged = day_landing.judged(events_of(events, since, until, shop.calendar.clock), items)
            # Raw ids have been checked; from here on there are only pseudonyms.
            events = pseudonymise(judged, self.key).observe(read, F.count(F.lit(1)).alias("rows"))
            if everybody is not None:
                inspection.look("users", everybody, {})
                people = stage.snapshot("users", pseudonymise(everybody.where(Columns.CONSENT), self.key), until)
                events = keep_consenting(events, people)
            inspection.refuse()
            raw_events, before = stage.stage_raw_events(events), lake.days("interactions", since, until)
            if not shop.calendar.open_days(first, end) and not before and raw_events.isEmpty():
                stage.discard()
                return Outcome(
                    day=str(first),
                    sums=Totals(),
                    withheld=int(read.get["rows"]),
                    warnings=("the shop is closed on every day of the interval, and nothing has happened",),
                )
            days = day_landing.run(raw_events)
            shown = not only_changed or self._differs(stage, since, until)
            not_filed: list[str] = []
            if shown:
                not_filed = stage.commit(key=self.key)
            else:
                stage.discard()
        sums = totals(days)
        return Outcome(
            day=str(first),
            sums=sums,
            landing=landing if shown else "",
            items=stage.rows("items"),
            people=stage.rows("users") if everybody is not None else None,
            withheld=int(read.get["rows"]) - sums.rows_in,
            digest=stage.digest("interactions"),
            not_filed=tuple(not_filed),
            checks=len(inspection.checks),
            report=day_landing.reports.address(landing, days[-1].day) if days else "",
            warnings=(*inspection.warnings, *describe_losses(sums)),
        )

    def land_late(self, before: date) -> tuple[list[Outcome], list[str]]:
        """
        Read the last `calendar.look_back_days` days before *before* again, and land those that have changed.

        Return an outcome for each day that was landed, and a sentence for each day that was refused and so stays as it
        is in the lake.
        """
        calendar, found, refused = self.shop.calendar, [], []
        for n in range(calendar.look_back_days, 0, -1):
            day = before - timedelta(days=n)
            if day < calendar.first_day:
                continue
            try:
                outcome = self.land(*calendar.clock.span(day, day + timedelta(days=1)), only_changed=True)
            except (DataRefusedError, SourceError) as error:
                refused.append(f"{day} stays as it is in the lake: {error}")
                continue
            if outcome.landing:
                found.append(outcome)
        return found, refused

    def _differs(self, stage: Staging, since: datetime, until: datetime) -> bool:
        """Return whether any staged day differs from what the lake has."""

        def rows(entries: Sequence[Landed]) -> dict[str, Any]:
            return {entry.day: (entry.rows, entry.digest) for entry in entries if entry.rows}

        return any(
            rows(stage.entries(table)) != rows(self.lake.days(table, since, until))
            for table in ("interactions", "quarantine")
        )
