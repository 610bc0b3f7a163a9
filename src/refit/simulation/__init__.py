"""A simulated shop with known ground truth, for demonstrations, tests and benchmarks of any size."""

from __future__ import annotations

from refit.simulation.database import write_simulated_database
from refit.simulation.shop import SimulatedShop, SimulationFacts
from refit.simulation.writing import write_simulated_shop

__all__ = ["SimulatedShop", "SimulationFacts", "write_simulated_database", "write_simulated_shop"]
