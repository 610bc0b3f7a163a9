"""Parses points in time as written by people and Airflow."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, ValidationInfo

from refit.clocks.shop_clock import ShopClock
from refit.errors import ConfigurationError, NotEnoughDataError

if TYPE_CHECKING:
    # Both import Spark, which `--help` does not need.
    from refit.config import Shop
    from refit.lake.lake import Lake


def _parse(value: object, info: ValidationInfo) -> object:
    if not isinstance(value, str):
        return value
    try:
        if ShopClock.names_its_zone(value) or not info.context:
            return ShopClock().read(value)
        clock: ShopClock = info.context["clock"]()
        return clock.read(value)
    except ValueError as error:
        raise ValueError(f"{value!r} is no date; write YYYY-MM-DD or an ISO 8601 instant") from error


Instant = Annotated[datetime, BeforeValidator(_parse)]
"""
An instant; a plain date means its first moment by the shop's clock, a time without a zone is local to that clock.

The command line passes a function that returns the clock as `clock` in the validation context; the default is UTC.
"""


def whole_days(since: datetime, until: datetime, shop: Shop) -> tuple[datetime, datetime]:
    """Return both by the shop's clock; ConfigurationError unless [since, until) is one or more of its whole days."""
    clock = shop.calendar.clock
    if since >= until or not clock.is_midnight(since) or not clock.is_midnight(until):
        raise ConfigurationError(
            f"since={since.isoformat()} until={until.isoformat()} do not span whole days of {clock.zone}; "
            "give two dates; the second one itself is not landed"
        )
    return clock.local(since), clock.local(until)


def landed_as_of(as_of: datetime | None, lake: Lake, shop: Shop, *, live: bool = False) -> datetime:
    """
    Return *as_of* by the shop's clock, or by default the end of the newest landed day.

    For lists that may go *live*, no open day before *as_of* may be missing: lists of a later day would hide those of
    the days between.

    Raises:
        NotEnoughDataError: nothing is landed, or more open days before *as_of* are missing than allowed.
    """
    calendar = shop.calendar
    newest = lake.newest_day("interactions")
    if newest is None:
        raise NotEnoughDataError(f"nothing is landed for shop {shop.name!r}; run ingest first")
    end = newest + timedelta(days=1)
    if as_of is None:
        return calendar.start_of(end)
    missing = calendar.open_days(end, calendar.clock.day_from(as_of))
    tolerated = 0 if live else shop.training.max_staleness_days
    if len(missing) > tolerated:
        raise NotEnoughDataError(
            f"as_of={calendar.day_of(as_of)} but the newest landed day is {newest}: {len(missing)} open days are "
            f"missing, {tolerated} are tolerated; land them, or give as_of={end}"
        )
    return calendar.clock.local(as_of)
