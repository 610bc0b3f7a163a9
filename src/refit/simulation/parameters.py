"""The parameters stored beside a simulated shop: they mark it as complete and identify it."""

from __future__ import annotations

import json

from refit.errors import ConfigurationError
from refit.simulation.shop import SimulatedShop

GENERATOR = 1
"""Increase this whenever equal parameters no longer give the same rows."""


def described(shop: SimulatedShop) -> str:
    """Return the parameters of *shop* as JSON."""
    return json.dumps({"generator": GENERATOR, "shop": shop.model_dump(mode="json")}, indent=2) + "\n"


def refuse_other_shop(shop: SimulatedShop, found: str, where: str, remedy: str) -> None:
    """Raise ConfigurationError, naming every difference, unless the text *found* at *where* describes *shop*."""
    there, here = json.loads(found), json.loads(described(shop))
    if there == here:
        return
    there, here = ({"generator": side.get("generator"), **side.get("shop", {})} for side in (there, here))
    differing = "; ".join(
        f"{name} is {there.get(name)!r} there and {here.get(name)!r} here"
        for name in here | there
        if there.get(name) != here.get(name)
    )
    raise ConfigurationError(f"{where} holds a shop simulated with other parameters ({differing}); {remedy}")
