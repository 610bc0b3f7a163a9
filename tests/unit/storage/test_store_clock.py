"""The clock of the object store bounds the instants that callers give, whatever zone they are told in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from refit.storage.store_clock import AheadOfClockError, require_past

CLOCK = datetime(2026, 1, 5, 3, tzinfo=UTC)


@pytest.mark.parametrize("hours", [-5, 0, 1, 13])
def test_an_instant_is_held_against_the_clock_in_whatever_zone_it_is_told(hours: int) -> None:
    """A quarter of an hour is a difference between two clocks, a second more is the future."""
    moved = timedelta(hours=hours)
    told = f"{(CLOCK + moved).replace(tzinfo=None) + timedelta(minutes=15)}{hours:+03d}:00"
    require_past("at", told, CLOCK)
    with pytest.raises(AheadOfClockError, match=r"^at=2026-01-0\dT.* is 0\.3 hours after the clock"):
        require_past("at", datetime.fromisoformat(told) + timedelta(seconds=1), CLOCK)


def test_an_instant_without_a_zone_is_one_of_utc() -> None:
    require_past("at", "2026-01-05T03:15:00", CLOCK)
    with pytest.raises(AheadOfClockError, match=r"^at=2026-01-05T03:15:01\+00:00 is"):
        require_past("at", "2026-01-05T03:15:01", CLOCK)
