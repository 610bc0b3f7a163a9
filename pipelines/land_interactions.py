"""
Step: land one interval of the shop's data.

Reads:  the shop's sources for [since, until).
Writes: clean interactions by event date, the catalogue of items and the people as of `until`, in the lake.
Re-run: safe; landing an interval again replaces exactly its days, and a refused or killed landing shows nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from pyspark.sql import Observation, SparkSession
from pyspark.sql import functions as F

from pipelines import wiring
from pipelines.instants import Instant, require_whole_days
from refit.columns import Columns
from refit.config import Shop
from refit.digests import digest_of
from refit.errors import ConfigurationError
from refit.interfaces import Validator
from refit.lake import Lake
from refit.landing import interval_parameters, keep_consenting, refuse_thin_days, staging, within
from refit.pseudonyms import PseudonymKey, pseudonymise
from refit.sources import explained, read_table
from refit.suites import Inspection


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    since: str
    until: str
    open_days: int
    """Days of the interval on which the shop's calendar expects events."""
    landing: str = ""
    rows: int = 0
    items: int = 0
    people: int | None = None
    """People who consent; None for a shop without a table of people."""
    withheld: int = 0
    """Events of people who have not given consent."""
    digest: str = ""
    checks: int = 0
    warnings: list[str]


def run(
    since: Instant,
    until: Instant,
    *,
    shop: Shop,
    data: str,
    key: PseudonymKey,
    suites: Path,
    spark: SparkSession,
    lake: Lake,
    validator: Validator,
) -> Receipt:
    """Land [since, until), two midnights of UTC."""
    require_whole_days(since, until)
    open_days = shop.calendar.open_days(since.date(), until.date())
    landing = uuid4().hex[:12]
    span: dict[str, Any] = {"since": str(since.date()), "until": str(until.date()), "open_days": len(open_days)}
    if not open_days:
        return Receipt(**span, warnings=["the shop is closed on every day of the interval; nothing was expected"])
    what = f"{since.date()} to {until.date()}"
    inspection = Inspection(validator, suites, what)
    tables = partial(read_table, spark, shop, data=data, since=since, until=until)
    read = Observation("read")
    with explained(f"landing {what} of shop {shop.name!r}"), staging(spark, lake, landing) as stage:
        everybody, catalogue, events = tables("users"), tables("items"), tables("interactions")
        if catalogue is None or events is None:
            raise ConfigurationError(f"shop {shop.name!r} maps no items or no interactions; add the SQL")
        inspection.check("items", stage.snapshot("items", catalogue, until), max_price=shop.validation.max_price)
        events = pseudonymise(within(events, since, until), key).observe(read, F.count(F.lit(1)).alias("rows"))
        if everybody is not None:
            inspection.check("users", everybody)
            people = stage.snapshot("users", pseudonymise(everybody.where(Columns.CONSENT), key), until)
            events = keep_consenting(events, people)
        landed = stage.days("interactions", events)
        entries = stage.entries("interactions")
        refuse_thin_days(entries, open_days, shop.validation.min_rows_per_open_day)
        inspection.check("interactions", landed, **interval_parameters(shop, since, until, open_days))
        stage.show()
    rows = sum(entry.rows for entry in entries)
    return Receipt(
        **span,
        landing=landing,
        rows=rows,
        items=stage.entries("items")[0].rows,
        people=stage.entries("users")[0].rows if everybody is not None else None,
        withheld=int(read.get["rows"]) - rows,
        digest=digest_of([[entry.day, entry.digest] for entry in entries]),
        checks=inspection.checks,
        warnings=inspection.warnings,
    )


def main(since: Instant, until: Instant) -> dict[str, Any]:
    """Land with the real collaborators."""
    receipt = run(
        since,
        until,
        shop=wiring.shop(),
        data=wiring.settings().data,
        key=wiring.pseudonym_key(),
        suites=wiring.settings().expectations,
        spark=wiring.spark("land_interactions"),
        lake=wiring.lake(),
        validator=wiring.validator(),
    )
    return asdict(receipt)
