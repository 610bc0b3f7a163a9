"""The schedule of a shop for DAG files; light enough to be imported on every parse."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from pipelines.settings import read_settings
from refit.clocks.shop_clock import ShopClock
from refit.errors import ConfigurationError
from refit.texts import read_text

INTERACTIONS = "refit_interactions"
"""Asset: a day of interactions has been landed."""
CHAMPION = "refit_champion"
"""Asset: the champion has changed."""
DECISIONS = "refit_decisions"
"""Asset: a person has decided on a challenger in MLflow."""

_LATER = 3
"""Hours from the end of a day's data to the weekly retraining, so that it does not overlap the landing."""
_WAIT_HOURS = 6.0
"""Same default as in `refit.config`, whose import would dominate the time to parse a DAG."""


@dataclass(frozen=True)
class Schedule:
    """The times of runs, by the shop's clock, and the time for an approval."""

    shop: str
    clock: ShopClock
    lands_after: time
    """Time at which the data of the day before are complete."""
    wait: timedelta
    """How long after that `ingest` waits for a missing day."""
    first: datetime
    """Start of the shop's first day: runs for earlier days would succeed without doing anything."""
    start: datetime
    end: datetime | None
    approval: timedelta
    approvers: tuple[str, ...]
    """Approvers; empty: any user whom Airflow permits."""

    @property
    def daily(self) -> str:
        """Cron expression for the end of each data interval, when a day is complete."""
        return f"{self.lands_after.minute} {self.lands_after.hour} * * *"

    @property
    def weekly(self) -> str:
        """Cron expression three hours later on Mondays, when Sunday has been landed."""
        return f"{self.lands_after.minute} {self.lands_after.hour + _LATER} * * 1"

    def day_of(self, instant: datetime) -> str:
        """Return the day of *instant* by the shop's clock, as a step parameter."""
        return self.clock.day_of(instant).isoformat()

    def give_up(self, instant: datetime) -> str:
        """Return when a run that is due at *instant* stops waiting for its day."""
        return (instant + self.wait).isoformat()

    @property
    def filters(self) -> dict[str, Callable[[datetime], str]]:
        """Template filters for DAGs: `shop_day` and `give_up`."""
        return {"shop_day": self.day_of, "give_up": self.give_up}

    @property
    def assigned_users(self) -> list[dict[str, str]] | None:
        """The approvers in the format of Airflow's HITL tasks; None for all users."""
        return [{"id": name, "name": name} for name in self.approvers] or None


def read_schedule() -> Schedule:
    """Return the schedule of the shop that this deployment serves."""
    settings = read_settings()
    path = settings.shops / settings.shop / "shop.toml"
    if not path.is_file():
        raise ConfigurationError(f"there is no shop {settings.shop!r} in {settings.shops}; set REFIT_SHOP")
    shop = tomllib.loads(read_text(path))
    calendar = shop["calendar"]
    first = _day("REFIT_SCHEDULE_FROM", settings.schedule_from) or calendar["first_day"]
    last = _day("REFIT_SCHEDULE_UNTIL", settings.schedule_until) or calendar.get("last_day")
    clock, moment = ShopClock(calendar.get("time_zone", "UTC")), _moment(calendar.get("lands_after", time()))
    return Schedule(
        shop=settings.shop,
        clock=clock,
        lands_after=moment,
        wait=timedelta(hours=calendar.get("wait_hours", _WAIT_HOURS)),
        first=clock.start_of(min(first, calendar["first_day"])),
        start=clock.start_of(first),
        # The data interval of the run that lands the last day begins on that day.
        end=clock.at(last, moment) if last else None,
        approval=timedelta(hours=settings.approval_hours),
        approvers=tuple(shop.get("approval", {}).get("approvers", ())),
    )


def _moment(written: str | time) -> time:
    try:
        moment = time.fromisoformat(written) if isinstance(written, str) else written
    except ValueError as error:
        raise ConfigurationError(f'calendar.lands_after = {written!r} is no time; write e.g. "03:30"') from error
    if moment > time(23 - _LATER):
        raise ConfigurationError(f"calendar.lands_after = {moment} is too late; write a time up to {23 - _LATER}:00")
    return moment


def _day(name: str, text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise ConfigurationError(f"{name}={text!r} is no date; write YYYY-MM-DD") from error
