"""
Step: generate the warehouse of a simulated shop.

Reads:  the `[simulation]` table of shop.toml.
Writes: events, products and customers, as Parquet in the folder of the raw data or as tables of its database.
Re-run: safe; a finished warehouse with the same parameters is left unchanged, other parameters are refused.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pipelines import wiring
from refit.errors import ConfigurationError
from refit.simulation import write_simulated_database, write_simulated_shop
from refit.sources import Warehouse, explained, refuse_secrets


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    folder: str
    """The folder, or the address of the database."""
    events: int
    products: int
    customers: int
    first_day: str
    last_day: str


def run(*, warehouse: Warehouse) -> Receipt:
    """Fill the *warehouse* of a simulated shop."""
    shop, spark, data = warehouse.shop, warehouse.spark, warehouse.data
    if shop.simulation is None:
        raise ConfigurationError(f"shop {shop.name!r} has no [simulation] table; only simulated shops are generated")
    if not data:
        raise ConfigurationError("no place is given for the simulated data; set DATA=folder")
    reads_database = any(source.is_database for source in shop.sources.values())
    if reads_database != data.startswith("jdbc:"):
        wanted = "jdbc:postgresql://host/database" if reads_database else "folder"
        raise ConfigurationError(f"shop {shop.name!r} would not read what is written to {data}; set DATA={wanted}")
    if reads_database:
        refuse_secrets(data)
        with explained(f"simulating shop {shop.name!r}"):
            facts = write_simulated_database(
                spark, shop.simulation, data, user=warehouse.user, password=warehouse.password
            )
    else:
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
    return asdict(run(warehouse=wiring.warehouse(wiring.spark("simulate_shop"))))
