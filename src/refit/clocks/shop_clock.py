"""
The shop's clock: which day an instant belongs to, and when a day begins.

A day has 23 or 25 hours when the clock changes, so days are counted on the clock and never as 24 hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cached_property
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class ShopClock:
    """
    A clock in *zone*, an IANA time zone. It takes aware datetimes and returns datetimes in its own zone.

    Returned datetimes show the local date and time, and adding n days to them moves by n days of the clock.

    >>> auckland = ShopClock("Pacific/Auckland")
    >>> auckland.start_of(date(2026, 1, 12)).isoformat()
    '2026-01-12T00:00:00+13:00'
    >>> auckland.day_of(datetime(2026, 1, 11, 20, 30, tzinfo=UTC))
    datetime.date(2026, 1, 12)
    """

    zone: str = "UTC"

    @cached_property
    def _info(self) -> tzinfo:
        return UTC if self.zone == "UTC" else ZoneInfo(self.zone)

    def at(self, day: date, moment: time) -> datetime:
        """Return when the clock first shows *moment* on *day*; a skipped time is read as if the clock went on."""
        # The round trip through UTC normalises a skipped time to one that the clock really shows.
        return self.local(datetime.combine(day, moment, tzinfo=self._info).astimezone(UTC))

    def start_of(self, day: date) -> datetime:
        """Return the first moment of *day*."""
        return self.at(day, time())

    def local(self, instant: datetime) -> datetime:
        """Return *instant* as the clock shows it."""
        return instant.astimezone(self._info)

    def day_of(self, instant: datetime) -> date:
        """Return the day on which the clock shows *instant*."""
        return self.local(instant).date()

    def span(self, first: date, end: date) -> tuple[datetime, datetime]:
        """Return the first moments of *first* and of *end*, the day after the last one."""
        return self.start_of(first), self.start_of(end)

    def is_midnight(self, instant: datetime) -> bool:
        """Return whether a day begins at *instant*."""
        return instant == self.start_of(self.day_of(instant))

    def day_from(self, instant: datetime) -> date:
        """Return the first day that has no moment before *instant*."""
        day = self.day_of(instant)
        return day if self.is_midnight(instant) else day + timedelta(days=1)

    def days(self, since: datetime, until: datetime) -> list[date]:
        """Return the days that begin in [*since*, *until*), oldest first; both are first moments of days."""
        first = self.day_of(since)
        return [first + timedelta(days=n) for n in range((self.day_of(until) - first).days)]

    def back(self, instant: datetime, days: int) -> datetime:
        """Return the same local time *days* days before *instant*; a start of day stays a start of day."""
        shown = self.local(instant)
        if self.is_midnight(instant):  # not always 00:00: summer time may begin at midnight
            return self.start_of(shown.date() - timedelta(days=days))
        moved = datetime.combine(shown.date() - timedelta(days=days), shown.time(), tzinfo=self._info)
        return self.local(moved.astimezone(UTC))

    @staticmethod
    def names_its_zone(text: str) -> bool:
        """
        Return whether *text* (ISO 8601) names its own time zone; ValueError if it is neither date nor instant.

        >>> ShopClock.names_its_zone("2026-01-05T12:00Z"), ShopClock.names_its_zone("2026-01-05")
        (True, False)
        """
        return datetime.fromisoformat(text.strip()).tzinfo is not None

    def read(self, text: str) -> datetime:
        """
        Return the instant that *text* (ISO 8601) names; a plain date is the first moment of that day by the clock.

        Raises:
            ValueError: *text* is neither a date nor an instant.
        """
        parsed = datetime.fromisoformat(text.strip())
        return self.local((parsed if parsed.tzinfo else parsed.replace(tzinfo=self._info)).astimezone(UTC))
