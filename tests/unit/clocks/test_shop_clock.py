"""The shop's clock: days have 23, 24 or 25 hours and follow each other without a gap, wherever the shop is."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest

from refit.clocks.shop_clock import ShopClock

ZONES = ("UTC", "Pacific/Auckland", "Europe/London", "America/Santiago", "America/Havana", "Africa/Cairo")
"""Two halves of the world; Santiago and Cairo begin summer time at midnight, Havana ends it at one."""


@pytest.mark.parametrize("zone", ZONES)
def test_each_moment_of_four_years_belongs_to_one_day(zone: str) -> None:
    """The first moment of a day is its own, the moment before it is that of the day before."""
    clock, day, hours = ShopClock(zone), date(2023, 1, 1), set()
    while day < date(2027, 1, 1):
        start, end = clock.span(day, day + timedelta(days=1))
        assert (clock.day_of(start), clock.day_of(end.astimezone(UTC) - timedelta(microseconds=1))) == (day, day)
        assert clock.is_midnight(start)
        assert not clock.is_midnight(start.astimezone(UTC) + timedelta(minutes=30))
        assert clock.back(end, 1) == start
        assert (clock.day_from(start), clock.day_from(start + timedelta(minutes=30))) == (day, day + timedelta(days=1))
        hours.add((end.astimezone(UTC) - start.astimezone(UTC)) / timedelta(hours=1))
        day += timedelta(days=1)
    assert hours == ({24.0} if zone == "UTC" else {23.0, 24.0, 25.0})


def test_days_of_an_interval_are_those_of_the_clock() -> None:
    """Auckland's week with the end of summer time, on 5 April 2026, has seven days and 169 hours."""
    clock = ShopClock("Pacific/Auckland")
    since, until = clock.span(date(2026, 4, 2), date(2026, 4, 9))
    assert until.astimezone(UTC) - since.astimezone(UTC) == timedelta(hours=169)
    assert [day.day for day in clock.days(since, until)] == [2, 3, 4, 5, 6, 7, 8]
    assert clock.back(until, 7) == since == until - timedelta(days=7)
    assert since.isoformat() == "2026-04-02T00:00:00+13:00"
    assert clock.back(until + timedelta(hours=3), 7) == since + timedelta(hours=3)


def test_a_plain_date_is_the_first_moment_of_that_day_by_the_clock() -> None:
    """A time without a zone is one on the clock, too; an instant with an offset means itself."""
    clock = ShopClock("Pacific/Auckland")
    assert clock.read("2026-01-12") == datetime(2026, 1, 11, 11, tzinfo=UTC)
    assert clock.read("2026-01-12T03:30") == datetime(2026, 1, 11, 14, 30, tzinfo=UTC)
    assert clock.read("2026-01-12T00:00:00+00:00") == datetime(2026, 1, 12, tzinfo=UTC)
    assert clock.at(date(2026, 1, 12), time(3, 30)) == datetime(2026, 1, 11, 14, 30, tzinfo=UTC)
    assert ShopClock().read("2026-01-12") == datetime(2026, 1, 12, tzinfo=UTC)
