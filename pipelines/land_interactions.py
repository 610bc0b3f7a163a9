"""
Step: land one interval of the shop's data.

Reads:  the shop's sources for [since, until).
Writes: clean interactions by event date, their quarantine and reports, the catalogue and the people as of `until`.
Re-run: safe; landing an interval again replaces exactly its days, and a refused or killed landing has no effect.
        Snapshots of items and people are stored only if no younger one is landed, so an old day keeps its catalogue.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from pipelines import wiring
from pipelines.instants import Instant, whole_days
from pipelines.parameters import Since, Until
from refit.config import Shop
from refit.interfaces import Validator
from refit.lake.lake import Lake
from refit.lake.pseudonyms import PseudonymKey
from refit.landing.day_landing import Totals
from refit.landing.landing import Lander
from refit.sources import Warehouse


@dataclass(frozen=True, kw_only=True)
class Receipt(Totals):
    """What this step did."""

    since: str
    until: str
    open_days: int  # days on which the shop's calendar expects events
    landing: str = ""
    items: int = 0
    people: int | None = None
    """Number of people who consent; None for a shop without a users table."""
    withheld: int = 0
    """Events of people who have not given consent; never written anywhere."""
    digest: str = ""
    not_filed: list[str] = field(default_factory=list)
    """Snapshots (items, users) that were read but not stored, because younger ones are landed."""
    checks: int = 0
    report: str = ""  # address of the last day's page
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
    """Land [since, until), two midnights of the shop's clock."""
    calendar, (since, until) = shop.calendar, whole_days(since, until, shop)
    lander = Lander(shop=shop, warehouse=warehouse, key=key, suites=suites, spark=spark, lake=lake, validator=validator)
    outcome = lander.land(since, until)
    return Receipt(
        **asdict(outcome.sums),
        since=str(calendar.day_of(since)),
        until=str(calendar.day_of(until)),
        open_days=len(calendar.open_days(calendar.day_of(since), calendar.day_of(until))),
        landing=outcome.landing,
        items=outcome.items,
        people=outcome.people,
        withheld=outcome.withheld,
        digest=outcome.digest,
        not_filed=list(outcome.not_filed),
        checks=outcome.checks,
        report=outcome.report,
        warnings=list(outcome.warnings),
    )


def main(since: Since, until: Until) -> dict[str, Any]:
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
