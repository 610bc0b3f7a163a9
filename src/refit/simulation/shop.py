"""The parameters of a simulated shop: its size, distributions and drift."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    Field,
    ModelWrapValidatorHandler,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    StringConstraints,
    ValidationError,
    model_validator,
)

from refit.errors import ConfigurationError
from refit.validation_errors import with_given

Share = Annotated[float, Field(ge=0, le=1)]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z ]*$")]

_LAST_NUMBER = 2**31 - 1


class SimulatedShop(BaseModel, frozen=True, extra="forbid"):
    """
    A shop with known ground truth. Equal parameters give equal rows on any machine with any number of cores.

    Without `drift_day` the shop is stationary: apart from a mild weekly and yearly season in volume, all distributions
    are the same on every day, and people and products arrive and leave at constant rates.
    """

    seed: Annotated[int, Field(examples=[7])]
    """No default on purpose: choose it explicitly."""
    first_day: Annotated[date, Field(ge=date(1970, 1, 1), examples=[date(2026, 1, 1)])]
    """First day (UTC) of the history."""
    days: Annotated[int, Field(gt=0, le=36_500, examples=[180])]
    """Length of the history."""
    people: Annotated[int, Field(gt=0, le=_LAST_NUMBER)] = 5_000
    """Registered people, with and without events."""
    items: Annotated[int, Field(gt=0, le=_LAST_NUMBER)] = 2_000
    """Products, listed before and during the history."""
    events: PositiveInt = 400_000
    """Exact number of events (views, carts and purchases) in the history."""
    categories: PositiveInt = 40
    """Product categories; each has the same number of products, give or take one."""

    item_exponent: Annotated[float, Field(ge=0, le=3)] = 0.9
    """Zipf exponent of the popularity of products within their category; 0 makes them equal."""
    category_exponent: Annotated[float, Field(ge=0, le=3)] = 0.4
    """Zipf exponent of the popularity of categories; 0 makes them equal."""
    taste_share: Share = 0.9
    """Share of purchases made in the person's three favourite categories (carts and views: a little less)."""
    activity_exponent: Annotated[float, Field(ge=0, lt=1)] = 0.7
    """Inequality of events per person; at 0.7 the busiest percent has about 12 times the mean."""

    newcomer_share: Annotated[float, Field(ge=0, le=0.8)] = 0.25
    """Share of people who register during the history, evenly over it; as many others leave for good."""
    silent_share: Annotated[float, Field(ge=0, lt=1)] = 0.02
    """Share of people who registered and never did anything."""
    consent_share: Share = 0.98
    """Share of people who allow their data to be used."""
    countries: Annotated[dict[Country, PositiveFloat], Field(min_length=1)] = {
        "United Kingdom": 0.5,
        "Germany": 0.2,
        "France": 0.15,
        "Netherlands": 0.1,
        "Ireland": 0.05,
    }
    """Share of people per country; the shares add up to 1."""

    new_item_share: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Share of products listed during the history, evenly over it."""
    out_of_stock_share: Share = 0.02
    """Share of products that are out of stock now."""
    price_median: PositiveFloat = 20.0
    """Median list price before any drift."""
    price_spread: NonNegativeFloat = 0.6
    """Standard deviation of the logarithm of the prices within a category."""

    drift_day: date | None = None
    """Day from which the shop has drifted; None: it never changes."""
    drift_taste_share: Share = 0.5
    """Share of people who then choose new favourite categories."""
    drift_popularity_share: Share = 0.5
    """Share of products that then swap popularity with another in their category: best with slow sellers."""
    drift_price_factor: PositiveFloat = 1.3
    """All prices are then multiplied by this."""
    drift_country_share: Share = 0.3
    """Share of people who then shop from a country drawn anew: the smallest countries become the largest."""

    @property
    def last_day(self) -> date:
        """Last day with events."""
        return self.first_day + timedelta(days=self.days - 1)

    @property
    def shoppers(self) -> int:
        """Number of people who may have events."""
        return self.people - min(self.people - 1, round(self.people * self.silent_share))

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_nonsense_in_one_sentence(cls, given: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            shop = handler(given)
        except ValidationError as error:
            raise ConfigurationError(f"simulated shop: {_one_sentence(error)}") from error
        if shop.categories > shop.items:
            raise ConfigurationError(
                f"simulated shop: {shop.categories} categories are more than the {shop.items} items; "
                "every category needs an item"
            )
        together = sum(shop.countries.values())
        if not math.isclose(together, 1, abs_tol=1e-6):
            raise ConfigurationError(f"simulated shop: the countries' shares add up to {together:g}, not to 1")
        if shop.first_day.toordinal() + shop.days > date.max.toordinal():
            raise ConfigurationError(f"simulated shop: {shop.days} days after {shop.first_day} end after year 9999")
        if shop.drift_day is not None and not shop.first_day < shop.drift_day <= shop.last_day:
            raise ConfigurationError(
                f"simulated shop: drift_day {shop.drift_day} must lie after the first day {shop.first_day} "
                f"and not after the last day {shop.last_day}"
            )
        return shop


@dataclass(frozen=True, kw_only=True)
class SimulationFacts:
    """Facts about a finished folder or database."""

    folder: str
    """The folder, or the address of the database."""
    events: int
    products: int
    customers: int
    first_day: Annotated[date, Field(ge=date(1970, 1, 1))]
    last_day: date


def _one_sentence(error: ValidationError) -> str:
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc'])} {with_given(problem)}".strip() for problem in error.errors()
    )
