"""
Step: generate the warehouse of a simulated shop.

Reads:  the `[simulation]` table of shop.toml.
Writes: events, products and customers as Parquet in the folder of the raw data.
Re-run: safe; a finished folder with the same parameters is left as it is, other parameters are refused.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pyspark.sql import SparkSession

from pipelines import wiring
from refit.config import Shop
from refit.errors import ConfigurationError
from refit.simulation import write_simulated_shop


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    folder: str
    events: int
    products: int
    customers: int
    first_day: str
    last_day: str


def run(*, shop: Shop, data: str, spark: SparkSession) -> Receipt:
    """Write the warehouse to *data*."""
    if shop.simulation is None:
        raise ConfigurationError(f"shop {shop.name!r} has no [simulation] table; only simulated shops are generated")
    if not data:
        raise ConfigurationError("no folder is given for the simulated data; set DATA=folder")
    facts = write_simulated_shop(spark, shop.simulation, data)
    return Receipt(
        folder=facts.folder,
        events=facts.events,
        products=facts.products,
        customers=facts.customers,
        first_day=facts.first_day.isoformat(),
        last_day=facts.last_day.isoformat(),
    )


def main() -> dict[str, Any]:
    """Generate with the real collaborators."""
    return asdict(run(shop=wiring.shop(), data=wiring.settings().data, spark=wiring.spark("simulate_shop")))
