"""Points in time as a person or Airflow writes them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated

from pydantic import BeforeValidator

from refit.config import Shop
from refit.errors import ConfigurationError, NotEnoughDataError
from refit.lake import Lake


def _parse(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        parsed = datetime.fromisoformat(value.strip())
    except ValueError as error:
        raise ValueError(f"{value!r} is no date; write YYYY-MM-DD or an ISO 8601 instant") from error
    return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)


Instant = Annotated[datetime, BeforeValidator(_parse)]
"""An instant in UTC; a plain date is its first moment."""


def require_whole_days(since: datetime, until: datetime) -> None:
    """Raise ConfigurationError unless [since, until) is one or more whole days of UTC."""
    if since >= until or since.time() != time() or until.time() != time():
        raise ConfigurationError(
            f"since={since.isoformat()} until={until.isoformat()} do not span whole days of UTC; "
            "give two dates; the second one itself is not landed"
        )


def days_of(since: datetime, until: datetime) -> list[date]:
    """Return the days of [since, until), two midnights, oldest first."""
    return [(since + timedelta(days=number)).date() for number in range((until - since).days)]


def landed_as_of(as_of: datetime | None, lake: Lake, shop: Shop) -> datetime:
    """
    Return *as_of*, or the end of the newest landed day when nobody gave one: the data choose, never the clock.

    Raises:
        NotEnoughDataError: nothing is landed, or more open days before *as_of* are missing than the shop tolerates.
    """
    newest = lake.newest_day("interactions")
    if newest is None:
        raise NotEnoughDataError(f"nothing is landed for shop {shop.name!r}; run ingest first")
    if as_of is None:
        return datetime.combine(newest + timedelta(days=1), time(), tzinfo=UTC)
    missing = shop.calendar.open_days(newest + timedelta(days=1), as_of.date())
    if len(missing) > shop.training.max_staleness_days:
        raise NotEnoughDataError(
            f"as_of={as_of.date()} but the newest landed day is {newest}: {len(missing)} open days are missing, "
            f"{shop.training.max_staleness_days} are tolerated; land them, or give as_of={newest + timedelta(days=1)}"
        )
    return as_of
