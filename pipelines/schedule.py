"""What DAG files need to know about a shop while they are parsed; light enough to be imported every few seconds."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from pipelines.settings import read_settings
from refit.errors import ConfigurationError
from refit.texts import read_text

INTERACTIONS = "refit_interactions"
"""Asset: a day of interactions has been landed."""
CHAMPION = "refit_champion"
"""Asset: the champion has changed."""
DECISIONS = "refit_decisions"
"""Asset: somebody has answered for a challenger in MLflow."""


@dataclass(frozen=True)
class Schedule:
    """Between which instants runs are scheduled, and how long a person may think."""

    shop: str
    first: datetime
    """The first day of the shop: a run for an earlier day would end green without having done anything."""
    start: datetime
    end: datetime | None
    approval: timedelta
    approvers: tuple[str, ...]
    """Who may answer; empty: whoever Airflow lets."""

    @property
    def assigned_users(self) -> list[dict[str, str]] | None:
        """The approvers as Airflow's questions name them; None for everybody."""
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
    return Schedule(
        shop=settings.shop,
        first=datetime.combine(min(first, calendar["first_day"]), time(), tzinfo=UTC),
        start=datetime.combine(first, time(), tzinfo=UTC),
        # The run that lands the last day has that day as its data interval.
        end=datetime.combine(last, time(), tzinfo=UTC) if last else None,
        approval=timedelta(hours=settings.approval_hours),
        approvers=tuple(shop.get("approval", {}).get("approvers", ())),
    )


def _day(name: str, text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise ConfigurationError(f"{name}={text!r} is no date; write YYYY-MM-DD") from error
