"""What is removed from a day, or repaired in it, before training; each kind is enabled by naming it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from refit.config.parts import Count, Positive, Section


class Bots(Section):
    """When a person's day counts as automated: at least `signs` of rate, breadth and regularity are beyond limits."""

    min_events: Count = 200
    """A person with fewer events in a day never counts as automated."""
    signs: Annotated[int, Field(ge=1, le=3)] = 2
    """Number of the three signs that must be present."""
    max_moments_per_hour: Count = 600
    """Rate: distinct times with events in the busiest hour; the lines of one order share one time."""
    max_items: Count = 500
    """Breadth: distinct items in the day."""
    min_gap_variation: Positive = 0.2
    """Regularity: standard deviation of the gaps between moments over their mean; people are near or above 1."""


class Outliers(Section):
    """Values far beyond what the day's other events of the same type have."""

    method: Literal["robust_z", "quantile_cap"] = Field(examples=["robust_z"])
    """`robust_z` removes events, `quantile_cap` lowers their value to the quantile."""
    max_z: Positive = 6.0
    """Of ln(1 + value): distance from the median in units of 1.4826 x the median absolute deviation."""
    quantile: Annotated[float, Field(gt=0.5, lt=1)] = 0.999
    """Quantile of the value that becomes the largest one."""
    min_events: Count = 100
    """Types with fewer events in the day have no outliers."""


class Normalise(Section):
    """Spellings and units to normalise; done row by row, so that landing again gives the same result."""

    text: tuple[str, ...] = ()
    """Text columns whose outer white space is removed and whose inner white space becomes one blank."""
    divide_value_by: dict[str, Positive] = Field(default_factory=dict)
    """Event type -> divisor of its value, e.g. 60 to turn seconds into minutes."""


class Cleaning(Section):
    """Every kind works within one day, so that landing a year at once and day by day gives the same result."""

    exact_repeats: bool = True
    """Keep one of several events that are equal in every column."""
    keyed_repeats: Literal["newest", "oldest"] | None = None
    """Keep the newest or the oldest of a person's events with equal `events.key`."""
    cancellations: bool = False
    """`events.cancellation` cancels earlier orders of the person: of the same day here, of others when reading."""
    bots: Bots | None = None
    """Remove person-days that look automated."""
    outliers: Outliers | None = None
    """Remove or lower implausible values."""
    max_events_per_person: Count | None = 5_000
    """
    Largest number of events, the newest ones, kept per person and day; protects later steps from huge histories.

    Events that were removed for another reason, such as repeats, do not count.
    """
    impute: dict[str, Literal["median", "mode"]] = Field(default_factory=dict)
    """Context column -> how its missing values are filled from the rest of the day."""
    normalise: Normalise = Normalise()
    """Normalise spellings and units."""

    @model_validator(mode="after")
    def _contract_columns_are_not_guessed(self) -> Cleaning:
        guessed = sorted({"user_id", "item_id", "event_type", "event_time", "value"} & set(self.impute))
        if guessed:
            raise ValueError(f"cleaning.impute names {guessed}; only context columns may be filled, never these")
        return self
