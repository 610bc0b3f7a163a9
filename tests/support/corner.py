"""A corner shop with its two landing steps, for tests of what becomes of its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from pipelines import replay_quarantine
from pipelines.land_interactions import Receipt, run
from pipelines.settings import REPOSITORY
from refit.adapters.expectations import GreatExpectations
from refit.config import Shop, load_shop
from refit.interfaces import Check, Validator
from refit.lake.lake import Lake
from refit.lake.pseudonyms import PseudonymKey
from refit.sources import Warehouse

KEY = PseudonymKey(b"a key for these tests", "k1")
TOLERANT = "\n[validation]\nmax_lost_share = 0.9\n"
STOCK = "sku,name,price\ntea,Green tea,4.5\nmug,Mug,\n"
GOOD_LINE = "ann,tea,2026-01-05 10:00:00,1"
NAMES = ("ann", "ben", "cem", "dia", "eve ", "eve")


ONLY_MONDAYS = {
    'closed_weekdays = ["sunday"]': (
        'closed_weekdays = ["tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]'
    )
}
"""What makes weeks cheap to land."""


def day(number: int, month: int = 1) -> datetime:
    """Return the first moment of a day of 2026."""
    return datetime(2026, month, number, tzinfo=UTC)


class Lenient:
    """
    Finds nothing wrong with any table but *judged*, for tests that are about something else.

    Rows are judged all the same. Of landing a few rows the suites take half the time.
    """

    def __init__(self, *judged: str) -> None:
        self._judged = judged
        self._strict = GreatExpectations()

    def require_known(self, suite: Mapping[str, Any]) -> None:
        """Look for misspelt rules in the suites that are judged."""
        if suite["name"] in self._judged:
            self._strict.require_known(suite)

    def validate(self, frame: DataFrame, suite: Mapping[str, Any]) -> tuple[Check, ...]:
        """Return the checks of a table that is judged, and none of another."""
        return self._strict.validate(frame, suite) if suite["name"] in self._judged else ()


@dataclass
class Corner:
    """The corner shop of `write_shop` with the lake of one test."""

    spark: SparkSession
    lake: Lake
    write_shop: Callable[..., Path]
    write_orders: Callable[..., Path]
    suites: Path = REPOSITORY / "expectations"
    validator: Validator = field(default_factory=GreatExpectations)

    def lenient(self, *judged: str) -> Corner:
        """Return the shop with the suites of the tables *judged* alone."""
        return replace(self, validator=Lenient(*judged))

    def write(self, name: str, lines: list[str], **more: Any) -> Path:
        """Write the raw file of one day and return the folder of the data."""
        return self.write_orders(name, lines, **more)

    def shop(self, settings: str = TOLERANT, **changes: Any) -> Shop:
        """Return the shop with *settings* added to its shop.toml and other *changes* of `write_shop`."""
        return load_shop(self.write_shop(append=settings, **changes), "corner")

    def land(
        self, since: datetime, until: datetime, *, shop: Shop | None = None, data: str = "", stock: str = STOCK
    ) -> Receipt:
        """Land [since, until) from the files written so far, or from *data*, with *stock* as the catalogue."""
        if not data:
            folder = self.write("2025-12-31", [])
            (folder / "stock.csv").write_text(stock, encoding="utf-8")
            data = str(folder)
        shop = shop or self.shop()
        return run(
            since,
            until,
            shop=shop,
            warehouse=Warehouse(self.spark, shop, data),
            key=KEY,
            suites=self.suites,
            spark=self.spark,
            lake=replace(self.lake, clock=shop.calendar.clock),
            validator=self.validator,
        )

    def replay(self, since: datetime, until: datetime, *, shop: Shop | None = None) -> replay_quarantine.Receipt:
        """Replay the quarantine of [since, until)."""
        return replay_quarantine.run(
            since,
            until,
            shop=shop or self.shop(),
            suites=self.suites,
            spark=self.spark,
            lake=self.lake,
            validator=self.validator,
        )

    def kept(self) -> list[tuple[str, str]]:
        """Return person and item of every landed event."""
        rows = self.lake.read(self.spark, "interactions", self.lake.days("interactions", day(1), day(31, 12)))
        people = {KEY.pseudonym(name): name for name in NAMES}
        return sorted((people[row["user_id"]], row["item_id"]) for row in rows.collect())
