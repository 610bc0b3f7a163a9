"""
Step: land one interval of the shop's data.

Reads:  the shop's sources for [since, until).
Writes: clean interactions by event date, their quarantine and reports, the catalogue and the people as of `until`.
Re-run: safe; landing an interval again replaces exactly its days, and a refused or killed landing shows nothing. What
        is known of items and people is filed under `until` only if nothing younger is: an old day keeps its catalogue.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from pyspark.sql import Observation, SparkSession
from pyspark.sql import functions as F

from pipelines import wiring
from pipelines.instants import Instant, days_of, require_whole_days
from refit.catalogue import catalogue_parameters, tell_values_lost, values_lost
from refit.columns import Columns
from refit.config import Shop
from refit.errors import ConfigurationError
from refit.intakes import events_of, keep_consenting
from refit.interfaces import Validator
from refit.lake import Lake
from refit.landing import staging
from refit.pseudonyms import PseudonymKey, pseudonymise
from refit.settling import Settlement, Totals, tell_losses, totals
from refit.sources import Warehouse, explained
from refit.suites import Inspection


@dataclass(frozen=True, kw_only=True)
class Receipt(Totals):
    """What this step did."""

    since: str
    until: str
    open_days: int  # on which the shop's calendar expects events
    landing: str = ""
    items: int = 0
    people: int | None = None
    """Who consent; None for a shop without a table of people."""
    withheld: int = 0
    """Events of people who have not given consent; never written anywhere."""
    digest: str = ""
    not_filed: list[str] = field(default_factory=list)
    """Snapshots (items, users) that were read and left out, because younger ones are landed: the past keeps its own."""
    checks: int = 0
    report: str = ""  # page of the last day
    warnings: list[str]


def run(
    since: Instant,
    until: Instant,
    *,
    shop: Shop,
    warehouse: Warehouse,
    key: PseudonymKey,
    suites: Path,
    spark: SparkSession,
    lake: Lake,
    validator: Validator,
) -> Receipt:
    """Land [since, until), two midnights of UTC."""
    require_whole_days(since, until)
    lake.require_key(key)
    open_days, landing = shop.calendar.open_days(since.date(), until.date()), uuid4().hex[:12]
    span: dict[str, Any] = {"since": str(since.date()), "until": str(until.date()), "open_days": len(open_days)}
    if not open_days:
        return Receipt(**span, warnings=["the shop is closed on every day of the interval; nothing was expected"])
    tables, read = partial(warehouse.read, since=since, until=until), Observation("read")
    inspection = Inspection(validator, suites, f"{since.date()} to {until.date()}")
    what = f"landing {since.date()} of {shop.name!r}"
    with explained(what, warehouse.source_of), staging(spark, lake, landing) as stage:
        settlement = Settlement(stage, shop, days_of(since, until), inspection)
        everybody, catalogue, events = tables("users"), tables("items"), tables("interactions")
        if catalogue is None or events is None:
            raise ConfigurationError(f"shop {shop.name!r} maps no items or no interactions; add the SQL")
        items = stage.snapshot("items", catalogue, until)
        inspection.look("items", items, catalogue_parameters(shop))
        if before := lake.snapshot("items", until):
            lost = values_lost(lake.read(spark, "items", [before]), items)
            inspection.warnings += tell_values_lost(lost, before.day)
        judged = settlement.judged(events_of(events, since, until), items)
        # Ids were judged as they came; from here on there are only pseudonyms.
        events = pseudonymise(judged, key).observe(read, F.count(F.lit(1)).alias("rows"))
        if everybody is not None:
            inspection.look("users", everybody, {})
            people = stage.snapshot("users", pseudonymise(everybody.where(Columns.CONSENT), key), until)
            events = keep_consenting(events, people)
        inspection.refuse()
        days = settlement.settle(stage.intake(events))
        not_filed = stage.show(key=key)
    sums = totals(days)
    return Receipt(
        **span,
        **asdict(sums),
        landing=landing,
        items=stage.rows("items"),
        people=stage.rows("users") if everybody is not None else None,
        withheld=int(read.get["rows"]) - sums.rows_in,
        digest=stage.digest("interactions"),
        not_filed=not_filed,
        checks=len(inspection.checks),
        report=settlement.reports.address(landing, days[-1].day),
        warnings=[*inspection.warnings, *tell_losses(sums)],
    )


def main(since: Instant, until: Instant) -> dict[str, Any]:
    """Land with the real collaborators."""
    spark = wiring.spark("land_interactions")
    receipt = run(
        since,
        until,
        shop=wiring.shop(),
        warehouse=wiring.warehouse(spark),
        key=wiring.pseudonym_key(),
        suites=wiring.settings().expectations,
        spark=spark,
        lake=wiring.lake(),
        validator=wiring.validator(),
    )
    return asdict(receipt)
