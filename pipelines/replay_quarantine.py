"""
Step: judge the quarantined events of [since, until) again, and land those that pass now.

Reads:  the raw events of the days with a quarantine, today's rules, the newest catalogue and consent.
Writes: new versions of the days in which events pass now, with the rest in a new quarantine.
Re-run: safe; landed events are not in the new quarantine, so they are landed exactly once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from pipelines import wiring
from pipelines.instants import Instant, whole_days
from pipelines.parameters import Since, Until
from refit.columns import Columns
from refit.config import Shop
from refit.errors import NotFoundError
from refit.interfaces import Validator
from refit.lake.consent import consenting
from refit.lake.lake import Lake
from refit.lake.people import with_segment
from refit.landing.day_landing import DayLanding, Totals, describe_losses, totals
from refit.landing.raw_events import keep_consenting, landed_raw_events
from refit.landing.staging import staging
from refit.landing.suites import Inspection


@dataclass(frozen=True, kw_only=True)
class Receipt(Totals):
    """What this step did; totals cover the days that it landed again."""

    since: str
    until: str
    days: list[str]
    """Days with a new version."""
    replayed: int = 0
    """Events that are no longer quarantined."""
    landing: str = ""
    report: str = ""
    """Address of the last day's page."""
    warnings: list[str]


def run(
    since: Instant, until: Instant, *, shop: Shop, suites: Path, spark: SparkSession, lake: Lake, validator: Validator
) -> Receipt:
    """Replay the quarantine of [since, until), two midnights of the shop's clock."""
    since, until = whole_days(since, until, shop)
    span: dict[str, Any] = {"since": str(since.date()), "until": str(until.date())}
    apart = {entry.day: entry.rows for entry in lake.days("quarantine", since, until) if entry.rows}
    raw_events = [entry for entry in lake.days("intake", since, until) if entry.day in apart]
    catalogue, people = lake.newest_snapshot("items"), lake.newest_snapshot("users")
    if not raw_events or catalogue is None:
        return Receipt(**span, days=[], warnings=["nothing is set apart in the interval"])
    if len(raw_events) != len(apart):
        raise NotFoundError(f"the intake of some of {', '.join(apart)} is gone; land these days again from the source")
    replacing = [entry for entry in lake.days("interactions", since, until) if entry.day in apart]
    before = landed_raw_events(spark, lake, raw_events)
    if people is not None:
        before = keep_consenting(before, consenting(with_segment(lake.read(spark, "users", [people]), None)))
    inspection = Inspection(validator, suites, f"replaying {since.date()} to {until.date()}")
    with staging(spark, lake, uuid4().hex[:12]) as stage:
        every = DayLanding(stage, shop, [date.fromisoformat(day) for day in apart], inspection)
        again = every.judged_again(before, lake.read(spark, "items", [catalogue]))
        broken = again.where(F.col(Columns.BROKEN).isNotNull()).groupBy(Columns.EVENT_DATE).count()
        still = {day.isoformat(): count for day, count in broken.collect()}
        replayed = {
            date.fromisoformat(day): rows - still.get(day, 0) for day, rows in apart.items() if rows > still.get(day, 0)
        }
        if not replayed:
            return Receipt(**span, days=[], warnings=["nothing that was set apart has been mended"])
        day_landing = DayLanding(stage, shop, sorted(replayed), inspection)
        mine = again.where(F.col(Columns.EVENT_DATE).isin(sorted(replayed)))
        days = day_landing.run(mine)
        stage.commit(replacing=[entry for entry in replacing if date.fromisoformat(entry.day) in replayed])
    sums = totals(days)
    return Receipt(
        **span,
        **asdict(sums),
        days=[day.day for day in days],
        replayed=sum(replayed.values()),
        landing=stage.landing,
        report=day_landing.reports.address(stage.landing, days[-1].day),
        warnings=[*inspection.warnings, *describe_losses(sums)],
    )


def main(since: Since, until: Until) -> dict[str, Any]:
    """Replay with the real collaborators."""
    receipt = run(
        since,
        until,
        shop=wiring.shop(),
        suites=wiring.settings().expectations,
        spark=wiring.spark("replay_quarantine"),
        lake=wiring.lake(),
        validator=wiring.validator(),
    )
    return asdict(receipt)
