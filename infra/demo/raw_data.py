"""What a shop's raw data ask of the stack, read off its shop.toml without the time that loading the shop takes."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from refit.errors import ConfigurationError

_OWN_DRIVER = "jdbc:postgresql:"


def has_own_database(shop: Path, data: str) -> bool:
    """Return whether the stack serves the database of *shop*: it is simulated, and no DATA names another one."""
    described = _described(shop)
    return not data and "simulation" in described and _reads_database(described)


def needs_driver(shop: Path, data: str) -> bool:
    """Return whether *shop* reads PostgreSQL; drivers of other databases are named by REFIT_SPARK_JARS."""
    return _reads_database(_described(shop)) and (not data or data.startswith(_OWN_DRIVER))


def _reads_database(described: dict[str, Any]) -> bool:
    sources = described.get("sources", {})
    return isinstance(sources, dict) and any(
        isinstance(source, dict) and source.get("format") == "jdbc" for source in sources.values()
    )


def _described(shop: Path) -> dict[str, Any]:
    path = shop / "shop.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}  # whoever loads the shop says so
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
