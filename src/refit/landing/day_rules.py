"""Messages for broken rules about days, naming the days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from refit.interfaces import Check
from refit.landing.day_ledger import DayLedger
from refit.landing.volumes import last_hour

_SHOWN = 5
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def describe_days(check: Check, suite: Mapping[str, Any], days: Sequence[DayLedger], judged: int) -> str:
    """Return one sentence on a rule of *suite* that *days* break, out of *judged* days in all."""
    limits = next(rule["kwargs"] for rule in suite["expectations"] if rule["name"] == check.name)
    shares = check.column not in {"kept_when_open", "kept_when_closed"}
    allowed = " and ".join(
        f"{word} {f'{limits[key]:.0%}' if shares else f'{limits[key]:,}'}"
        for word, key in (("at least", "min_value"), ("at most", "max_value"))
        if limits.get(key) is not None
    )
    described = ", ".join(_describe_day(day, check.column) for day in days[:_SHOWN])
    more = f" and {len(days) - _SHOWN} more" if len(days) > _SHOWN else ""
    return f"{len(days):,} of {judged:,} days break {check.name} ({allowed}): {described}{more} ({check.why})"


def _describe_day(day: DayLedger, column: str | None) -> str:
    if column in {"kept_when_open", "kept_when_closed"}:
        return f"{day.day} has {day.kept:,} events"
    if column == "share_lost":
        return (
            f"of {day.day} {day.quarantined:,} of {day.rows_in:,} events break rules, {day.share_lost:.1%}: "
            f"{counted(day.broken)}"
        )
    if column == "share_removed":
        left = sum(day.removed.values())
        return (
            f"of {day.day} cleaning leaves out {left:,} of {day.rows_in:,} events, {day.share_removed:.1%}: "
            f"{counted(day.removed)}"
        )
    weekday = _WEEKDAYS[date.fromisoformat(day.day).weekday()]
    if (column or "").startswith("silent_share") and day.silent_share is not None:
        return (
            f"{day.day} has no event after {last_hour(day.hours):02d}:59, and at least {day.silent_share:.0%} of "
            f"a {weekday} usually comes later"
        )
    if (column or "").startswith("weekday_ratio") and day.weekday_ratio is not None:
        usual = f"{day.weekday_ratio:.0%} of the usual {day.weekday_median:,.0f} of a {weekday}"
        return f"{day.day} has {day.kept:,} events, {usual}"
    return day.day


def counted(parts: Mapping[str, int]) -> str:
    """Return each name with its count, largest first, as one text."""
    return ", ".join(f"{name} {count:,}" for name, count in sorted(parts.items(), key=lambda part: (-part[1], part[0])))
