"""What is left out of a day, or mended in it, before anybody learns from it; each kind is switched on by naming it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from refit.config.parts import Count, Positive, Section


class Bots(Section):
    """When a person's day looks like a program: at least `signs` of rate, breadth and regularity are beyond limits."""

    min_events: Count = 200
    """Somebody with fewer events in a day is never taken for a program."""
    signs: Annotated[int, Field(ge=1, le=3)] = 2
    """How many of the three signs it takes."""
    max_moments_per_hour: Count = 600
    """Rate: different moments with events in the busiest hour; the lines of one order are one moment."""
    max_items: Count = 500
    """Breadth: different items in the day."""
    min_gap_variation: Positive = 0.2
    """Regularity: standard deviation of the gaps between moments over their mean; people are near or above 1."""


class Outliers(Section):
    """Values far beyond what the day's other events of the same type have."""

    method: Literal["robust_z", "quantile_cap"] = Field(examples=["robust_z"])
    """`robust_z` leaves events out, `quantile_cap` lowers their value to the quantile."""
    max_z: Positive = 6.0
    """Of ln(1 + value): distance from the median in units of 1.4826 x the median absolute deviation."""
    quantile: Annotated[float, Field(gt=0.5, lt=1)] = 0.999
    """Quantile of the value that becomes the largest one."""
    min_events: Count = 100
    """Types with fewer events in the day have no outliers."""


class Normalise(Section):
    """Spellings and units that are brought to one form; row by row, so landing again gives the same."""

    text: tuple[str, ...] = ()
    """Text columns whose outer white space goes and whose inner white space becomes one blank."""
    divide_value_by: dict[str, Positive] = Field(default_factory=dict)
    """Event type -> number that its value is divided by, e.g. 60 for seconds that are meant as minutes."""


class Cleaning(Section):
    """Every kind works within one day, so that landing a year at once and day by day give the same."""

    exact_repeats: bool = True
    """Of events that are equal in every column one is kept."""
    keyed_repeats: Literal["newest", "oldest"] | None = None
    """Of one person's events with equal `events.key` the newest or oldest is kept."""
    cancellations: bool = False
    """`events.cancellation` takes back what the person ordered before: that day here, earlier days when reading."""
    bots: Bots | None = None
    """Leave out people-days that look like programs."""
    outliers: Outliers | None = None
    """Leave out or lower absurd values."""
    max_events_per_person: Count | None = 5_000
    """
    Of one person's day the newest so many events are kept; guards every later step against one endless history.

    Events that were left out for another reason, such as repeats, do not count.
    """
    impute: dict[str, Literal["median", "mode"]] = Field(default_factory=dict)
    """Context column -> how its missing values are filled from the rest of the day."""
    normalise: Normalise = Normalise()
    """Bring spellings and units to one form."""

    @model_validator(mode="after")
    def _contract_columns_are_not_guessed(self) -> Cleaning:
        guessed = sorted({"user_id", "item_id", "event_type", "event_time", "value"} & set(self.impute))
        if guessed:
            raise ValueError(f"cleaning.impute names {guessed}; only context columns may be filled, never these")
        return self
