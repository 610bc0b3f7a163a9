"""
Step: land one interval of the shop's data.

Reads:  the shop's sources for [since, until).
Writes: clean interactions by event date, the catalogue of items and the people as of `until`, in the lake.
Re-run: safe; landing an interval again replaces exactly its days, and a refused or killed landing shows nothing.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, time
from pathlib import Path
from typing import Any
from uuid import uuid4

from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

from pipelines import wiring
from pipelines.instants import Instant
from refit.columns import Columns
from refit.config import Shop
from refit.digests import digest_of
from refit.errors import ConfigurationError
from refit.interfaces import Validator
from refit.lake import Lake
from refit.landing import refuse_thin_days, staging, within
from refit.pseudonyms import PseudonymKey, pseudonymise
from refit.sources import explained, read_table
from refit.suites import load_suite, refuse_broken


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    since: str
    until: str
    landing: str
    open_days: int
    """Days of the interval on which the shop's calendar expects events."""
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
    if since >= until or since.time() != time() or until.time() != time():
        raise ConfigurationError(
            f"since={since.isoformat()} until={until.isoformat()} do not span whole days of UTC; "
            "give two dates; the second one itself is not landed"
        )
    open_days = shop.calendar.open_days(since.date(), until.date())
    landing = uuid4().hex[:12]
    span: dict[str, Any] = {
        "since": since.isoformat(),
        "until": until.isoformat(),
        "landing": landing,
        "open_days": len(open_days),
    }
    if not open_days:
        return Receipt(**span, warnings=["the shop is closed on every day of the interval; nothing was expected"])
    checks = 0
    warnings: list[str] = []

    def table(name: str) -> DataFrame | None:
        return read_table(spark, shop, name, data=data, since=since, until=until)

    def check(name: str, frame: DataFrame, **parameters: Any) -> None:
        nonlocal checks
        results = validator.validate(frame, load_suite(suites, name), parameters)
        checks += len(results)
        warnings.extend(refuse_broken(f"{name} of {since.date()} to {until.date()}", results))

    read = Observation("read")
    what = f"landing {since.date()} to {until.date()} of shop {shop.name!r}"
    with explained(what), staging(spark, lake, landing) as stage:
        everybody, catalogue, events = table("users"), table("items"), table("interactions")
        if catalogue is None or events is None:
            raise ConfigurationError(f"shop {shop.name!r} maps no items or no interactions; add the SQL")
        check("items", stage.snapshot("items", catalogue, until), max_price=shop.validation.max_price)
        events = pseudonymise(within(events, since, until), key).observe(read, F.count(F.lit(1)).alias("rows"))
        if everybody is not None:
            check("users", everybody)
            people = stage.snapshot("users", pseudonymise(everybody.where(Columns.CONSENT), key), until)
            # A null id stays in, so that validation counts it instead of the join losing it.
            consents = events[Columns.USER].isNull() | (events[Columns.USER] == people[Columns.USER])
            events = events.join(people, consents, "left_semi")
        landed = stage.days("interactions", events)
        entries = stage.entries("interactions")
        refuse_thin_days({entry.day: entry.rows for entry in entries}, open_days, shop.validation.min_rows_per_open_day)
        check(
            "interactions",
            landed,
            min_rows=shop.validation.min_rows_per_open_day * len(open_days),
            max_value=shop.validation.max_value,
            event_types=sorted(shop.events.weights),
            since=since.replace(tzinfo=None),
            until=until.replace(tzinfo=None),
            fresh_after=datetime.combine(open_days[-1], time()),
        )
        stage.show()
    rows = sum(entry.rows for entry in entries)
    return Receipt(
        **span,
        rows=rows,
        items=stage.entries("items")[0].rows,
        people=stage.entries("users")[0].rows if everybody is not None else None,
        withheld=int(read.get["rows"]) - rows,
        digest=digest_of([[entry.day, entry.digest] for entry in entries]),
        checks=checks,
        warnings=warnings,
    )


def main(since: Instant, until: Instant) -> dict[str, Any]:
    """Land with the real collaborators."""
    settings = wiring.settings()
    receipt = run(
        since,
        until,
        shop=wiring.shop(),
        data=settings.data,
        key=wiring.pseudonym_key(),
        suites=settings.expectations,
        spark=wiring.spark("land_interactions"),
        lake=wiring.lake(),
        validator=wiring.validator(),
    )
    return asdict(receipt)
