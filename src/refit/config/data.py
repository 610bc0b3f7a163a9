"""What the shop's data mean, and which data are good enough."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from refit.clocks.shop_clock import ShopClock
from refit.config.parts import Count, Positive, Section, Share, Weekday


class Calendar(Section):
    """The days on which the shop has events, so that an unexpected empty day is noticed."""

    first_day: date = Field(examples=[date(2026, 1, 1)])
    """First day with data."""
    last_day: date | None = None
    """Last day with data; none for an active shop."""
    closed_weekdays: tuple[Weekday, ...] = ()
    """Weekdays without trade."""
    closed_days: tuple[date, ...] = ()
    """Single days without trade."""
    time_zone: str | None = None
    """
    Time zone of the shop's clock, e.g. Europe/London, which determines its days; UTC if not given.

    Required if a mapping gives `event_time` without a zone.
    """

    lands_after: time = time()
    """
    Time on the next day, by the shop's clock, at which a day's data are complete, e.g. "03:30"; `ingest` begins then.

    At most 20:00, so that the weekly retraining, three hours later, is still on that day.
    """
    wait_hours: Annotated[float, Field(ge=0, le=8)] = 6.0
    """Hours after `lands_after` for which `ingest` waits for a missing or incomplete day before it refuses."""
    look_back_days: Annotated[int, Field(ge=0, le=31)] = 2
    """Number of days before the newest one that are read again each night, and landed again if they changed."""
    empty_days_are_normal: bool = False
    """Whether days without any event are normal, as in a shop with few events."""

    @field_validator("lands_after")
    @classmethod
    def _lands_in_time(cls, moment: time) -> time:
        if moment.tzinfo is not None or moment > time(20):
            raise ValueError('write a time of the shop\'s clock without a zone, at the latest "20:00"')
        return moment

    @field_validator("time_zone")
    @classmethod
    def _zone_exists(cls, name: str | None) -> str | None:
        try:
            known = name is None or (bool(ZoneInfo(name)) and name != "localtime")  # that is the machine's own zone
        except (ValueError, OSError, KeyError):
            known = False
        if not known:
            raise ValueError(f"{name!r} is no time zone; use a name of the IANA database such as Europe/London")
        return name

    @property
    def clock(self) -> ShopClock:
        """The shop's clock, which determines its days."""
        return ShopClock(self.time_zone or "UTC")

    @property
    def zone(self) -> str:
        """The zone of the shop's clock; UTC if none is given."""
        return self.clock.zone

    def start_of(self, day: date) -> datetime:
        """Return the first moment of *day* by the shop's clock."""
        return self.clock.start_of(day)

    def day_of(self, instant: datetime) -> date:
        """Return the day on which the shop's clock shows *instant*."""
        return self.clock.day_of(instant)

    def is_open(self, day: date) -> bool:
        """Return whether events are expected on *day*."""
        names = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
        return day not in self.closed_days and names[day.weekday()] not in self.closed_weekdays

    def open_days(self, since: date, until: date) -> list[date]:
        """Return the days in [since, until) on which events are expected, oldest first."""
        days = [since + timedelta(days=n) for n in range((until - since).days)]
        return [day for day in days if self.is_open(day)]


class Events(Section):
    """What the shop's event types mean."""

    weights: dict[str, Positive] = Field(examples=[{"purchase": 1.0}])
    """Weight of one event of each type; types that are not listed are not used for training."""
    relevant: tuple[str, ...] = Field(examples=[("purchase",)])
    """Event types that count as success when lists are evaluated."""
    bought: tuple[str, ...] = ()
    """Event types that mark an item as bought; `lists.rebuy` says whether lists may contain it again."""
    key: tuple[str, ...] = ()
    """Columns that identify an event of a person; empty: all columns."""
    cancellation: str | None = None
    """Event type that cancels earlier events of the same person and item, by the amount of its value."""
    cancels: tuple[str, ...] = ()
    """Event types that a cancellation cancels."""

    @property
    def types(self) -> list[str]:
        """Every event type that may occur."""
        return sorted({*self.weights, *([self.cancellation] if self.cancellation else [])})

    @model_validator(mode="after")
    def _cancellations_cancel_something(self) -> Events:
        if bool(self.cancellation) != bool(self.cancels) or self.cancellation in self.weights:
            raise ValueError("events.cancellation and events.cancels go together, and a cancellation has no weight")
        return self

    @model_validator(mode="after")
    def _types_have_weights(self) -> Events:
        missing = sorted({*self.relevant, *self.bought, *self.cancels} - set(self.weights))
        if missing:
            raise ValueError(f"event types {missing} have no entry in events.weights")
        return self


class Validation(Section):
    """Parameters of the suites in `expectations/`, and limits on the losses of a day."""

    min_rows_per_open_day: Count = 1
    """Fewest events of an open day."""
    max_value: Positive = 1e6
    """Largest plausible `value` of an event."""
    max_price: Positive = 1e6
    """Largest plausible price of an item."""
    min_priced_share: Share = 0.5
    """Share of items with a price below which a landing warns; 0 for a shop without prices."""
    item_id_pattern: str = r"^[^\s\p{C}]+\z"
    """
    Java regular expression that item ids must match; the default refuses white space and invisible characters.

    End it with `\\z`: a `$` accepts a trailing line feed.
    """
    max_item_id_length: Count = 200
    """Longest item id in characters."""
    max_lost_share: Share = 0.01
    """Largest share of a day's events that may be quarantined; with more the day is refused."""
    max_removed_share: Share = 0.2
    """Largest share of a day's events that cleaning may remove; with more the day is refused."""
    weekday_weeks: Count = 8
    """Number of weeks before a day whose median for the same weekday is compared with the day's volume."""
    min_weekday_median: Positive = 30.0
    """Smallest median against which the volume of a day is judged."""
    min_weekday_ratio: Share = 0.5
    """Share of that median below which a day is refused as incomplete, unless chance may explain it."""
    warn_weekday_ratio: Share = 0.7
    """Share of that median below which a day is landed with a warning, unless chance may explain it."""
    max_weekday_ratio: Positive = 4.0
    """Multiple of that median above which a day is refused as delivered twice, unless chance may explain it."""
    max_silent_share: Share = 0.1
    """The newest day is refused as incomplete if a larger share of a day usually comes after its last event."""
    warn_silent_share: Share = 0.01
    """A day is landed with a warning if a larger share of a day usually comes after its last event."""
