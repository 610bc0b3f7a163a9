"""Reports of landings, stored beside the data in the lake: one ledger file per landing, one page per day."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from refit.config import Shop
from refit.digests import canonical_json
from refit.lake.lake import Lake
from refit.landing.day_ledger import DayLedger, Example
from refit.landing.day_page import data_page
from refit.landing.suites import Inspection

_HISTORY = timedelta(days=60)


@dataclass(frozen=True)
class Reports:
    """Reads and writes the reports of one shop."""

    lake: Lake
    shop: Shop
    whys: Mapping[str, str]
    """Row rule -> why it exists."""

    def write(
        self,
        landing: str,
        days: Sequence[DayLedger],
        inspection: Inspection,
        examples: Sequence[Example],
        earlier: Sequence[DayLedger],
    ) -> None:
        """
        Write the ledgers and pages of *days*; they become part of the history only when their landing is committed.

        *earlier* are the ledgers of the days before them.
        """
        self.lake.store.create(self._ledgers(landing), canonical_json([day.as_record() for day in days]))
        for position, day in enumerate(days):
            text = data_page(
                shop_title=self.shop.title,
                ledger=day,
                history=[*earlier, *days[:position]],
                checks=inspection.checks,
                examples=[example for example in examples if example.day == day.day],
                whys=self.whys,
                landing=landing,
                refused=inspection.reasons,
            )
            self.lake.store.create(self._page(landing, day.day), text.encode())

    def address(self, landing: str, day: str) -> str:
        """Return the address of one page."""
        return self.lake.path(self._page(landing, day))

    def history(self, before: date) -> list[DayLedger]:
        """Return the ledgers of the current versions of the landed days in the 60 days before *before*."""
        since, end = self.lake.clock.span(before - _HISTORY, before)
        found: dict[str, dict[str, DayLedger]] = {}
        days = []
        for entry in self.lake.days("interactions", since, end):
            if entry.landing not in found:
                stored = self.lake.store.get(self._ledgers(entry.landing))
                records = json.loads(stored.content) if stored else []
                found[entry.landing] = {record["day"]: DayLedger.from_record(record) for record in records}
            if entry.day in found[entry.landing]:
                days.append(found[entry.landing][entry.day])
        return days

    def _ledgers(self, landing: str) -> str:
        return f"reports/landing={landing}/ledgers.json"

    def _page(self, landing: str, day: str) -> str:
        return f"reports/landing={landing}/{day}.html"
