"""
Step: read the last days again, and land those that have changed.

Reads:  the shop's sources for each of the `calendar.look_back_days` days before `before`, and their landed versions.
Writes: days whose rows differ, as `land_interactions` does; the other days are left unchanged.
Re-run: safe; a day that matches the sources is not landed again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from pipelines import wiring
from pipelines.instants import Instant
from pipelines.parameters import Before
from refit.config import Shop
from refit.interfaces import Validator
from refit.lake.lake import Lake
from refit.lake.pseudonyms import PseudonymKey
from refit.landing.landing import Lander
from refit.sources import Warehouse


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    days: list[str]
    """Days that were landed again."""
    landed: bool
    rows: int = 0
    """Events kept of these days."""
    reports: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def run(
    before: Instant | None,
    *,
    shop: Shop,
    open_warehouse: Callable[[SparkSession], Warehouse],
    key: PseudonymKey,
    suites: Path,
    open_spark: Callable[[], SparkSession],
    lake: Lake,
    validator: Validator,
) -> Receipt:
    """Read the days before *before* again; without it nothing is read, and Spark is not opened."""
    if before is None or not shop.calendar.look_back_days:
        return Receipt(days=[], landed=False)
    spark = open_spark()
    lander = Lander(
        shop=shop,
        warehouse=open_warehouse(spark),
        key=key,
        suites=suites,
        spark=spark,
        lake=lake,
        validator=validator,
    )
    outcomes, refused = lander.land_late(shop.calendar.day_of(before))
    return Receipt(
        days=[outcome.day for outcome in outcomes],
        landed=bool(outcomes),
        rows=sum(outcome.sums.rows for outcome in outcomes),
        reports=[outcome.report for outcome in outcomes],
        warnings=[*(warning for outcome in outcomes for warning in outcome.warnings), *refused],
    )


def main(before: Before = None) -> dict[str, Any]:
    """Look back with the real collaborators."""
    receipt = run(
        before,
        shop=wiring.shop(),
        open_warehouse=wiring.warehouse,
        key=wiring.pseudonym_key(),
        suites=wiring.settings().expectations,
        open_spark=partial(wiring.spark, "land_late_days"),
        lake=wiring.lake(),
        validator=wiring.validator(),
    )
    return asdict(receipt)
