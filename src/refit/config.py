"""A shop's behaviour: frozen, typed, with its limits inside; read from one reviewed `shop.toml`."""

from __future__ import annotations

import tomllib
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from refit.errors import ConfigurationError
from refit.simulation import SimulatedShop

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class Part(BaseModel):
    """A table of `shop.toml`: a misspelt key is an error, never a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Calendar(Part):
    """On which days the shop has events at all, so that an empty day never passes by accident."""

    first_day: date
    """First day with data."""
    last_day: date | None = None
    """Last day with data; none for a shop that is alive."""
    closed_weekdays: tuple[Weekday, ...] = ()
    """Weekdays without trade."""
    closed_days: tuple[date, ...] = ()
    """Single days without trade."""

    def is_open(self, day: date) -> bool:
        """Return whether events are expected on *day*."""
        names = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
        return day not in self.closed_days and names[day.weekday()] not in self.closed_weekdays

    def open_days(self, since: date, until: date) -> list[date]:
        """Return the days in [since, until) on which events are expected, oldest first."""
        days = [since + timedelta(days=n) for n in range((until - since).days)]
        return [day for day in days if self.is_open(day)]


class Source(Part):
    """One named Spark source; the mapping SQL reads it by that name."""

    format: str
    """Any format that Spark knows: csv, parquet, json, jdbc, iceberg, ..."""
    path: str | None = None
    """Path with `{DATA}` for the folder of the deployment and `{day}` for one file or folder a day."""
    columns: str | None = None
    """Expected columns as DDL; for CSV the header must name exactly these, in this order."""
    options: dict[str, str] = {}
    """Options of the Spark reader; `{DATA}` is replaced here too."""


class Events(Part):
    """What the shop's event types mean."""

    weights: dict[str, Positive]
    """Weight of one event of each type; a type that is not listed is not read into training."""
    relevant: tuple[str, ...]
    """Event types that count as success when lists are judged."""
    bought: tuple[str, ...] = ()
    """Event types after which the item is left out of the person's lists."""

    @model_validator(mode="after")
    def _types_have_weights(self) -> Events:
        missing = sorted(({*self.relevant, *self.bought}) - set(self.weights))
        if missing:
            raise ValueError(f"event types {missing} have no entry in events.weights")
        return self


class Confidence(Part):
    """How events become MLlib's rating r: sum of weight * f(value) * 2^(-age / half-life)."""

    value: Literal["ignore", "log", "linear"] = "ignore"
    """f(value): 1, ln(1 + value) or value; a null or negative value counts as 0."""
    half_life_days: Positive | None = None
    """Age at which an event counts half; none for no decay."""
    combine: Literal["sum", "log_sum"] = "sum"
    """What repetition does: sum, or ln(1 + sum), which damps people who repeat themselves."""


class Training(Part):
    """Which days a model sees."""

    window_days: Count = 365
    """Length of the window that ends at `as_of`; the holdout is its last part."""
    holdout_days: Count = 14
    """Days before `as_of` that are kept from training and judge the models."""
    min_interactions: Count = 1_000
    """Fewer person-item pairs than this are not worth a model."""
    min_people: Count = 50
    """Fewer people than this in the training part or in the holdout are refused."""
    min_items: Count = 20
    """Fewer items than this are refused."""
    max_staleness_days: Annotated[int, Field(ge=0)] = 3
    """Open days that may be missing between the newest landed day and `as_of`."""

    @property
    def window(self) -> timedelta:
        """Length of the window."""
        return timedelta(days=self.window_days)


class Als(Part):
    """Settings of `pyspark.ml.recommendation.ALS` with implicit preferences."""

    rank: Count = 32
    """Number of latent factors."""
    iterations: Count = 10
    """Alternations; each solves items, then people."""
    regularisation: Positive = 0.1
    """L2 strength; MLlib multiplies it by the number of positive pairs of the person or item."""
    alpha: Positive = 1.0
    """Confidence of a pair is 1 + alpha * r."""
    seed: int
    """No default on purpose: whoever trains chooses it."""


class Evaluation(Part):
    """How models are compared on the holdout."""

    k: Count = 20
    """Length of the lists that are judged."""
    max_people: Count = 50_000
    """At most so many people are judged, chosen by a hash of their id; bounds the memory of the driver."""
    resamples: Annotated[int, Field(ge=100)] = 1_000
    """Bootstrap resamples of people for each interval."""
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Level of the intervals."""
    seed: int
    """Seed of the bootstrap."""


class Promotion(Part):
    """When a challenger may be put before a person."""

    metric: Literal["ndcg", "recall", "precision", "map", "hit_rate"] = "ndcg"
    """The metric that decides."""
    margin: Share = 0.02
    """Loss against the champion that is tolerated, as a share of the champion's metric."""
    min_people: Count = 100
    """Fewer judged people than this are no evidence."""


class Drift(Part):
    """When the data have moved so far that retraining is worth it."""

    reference_days: Count = 28
    """Days before the training cutoff that make the reference profile."""
    min_rows: Count = 1_000
    """With fewer events on either side nothing can be told."""
    ks_limit: Share = 0.1
    """Limit of the Kolmogorov-Smirnov statistic of a numeric feature."""
    psi_limit: Positive = 0.25
    """Limit of the population stability index of any feature."""
    share_limit: Share = 0.3
    """Retrain when at least this share of the features is beyond a limit."""
    max_age_days: Count = 90
    """Retrain when the champion's training cutoff is older than this."""
    numbers: tuple[str, ...] = ("value", "price", "hour")
    """Numeric features: `value`, `price`, `hour`, or any numeric context column."""
    categories: tuple[str, ...] = ("weekday", "event_type", "category", "top_item")
    """Categorical features: `weekday`, `event_type`, `category`, `top_item` or any context column."""


class Lists(Part):
    """What a published list must look like."""

    k: Count = 20
    """Recommendations per person."""
    reasons: Annotated[int, Field(ge=0)] = 2
    """Past items stored as reasons with each recommendation."""
    min_filled: Share = 0.99
    """Share of people whose list must hold k items."""
    min_people: Count = 1
    """Fewer people than this in a batch are refused."""
    min_catalogue: Share = 0.01
    """Share of the model's items that must occur in at least one list."""


class Validation(Part):
    """Parameters of the suites in `expectations/`."""

    min_rows_per_open_day: Count = 1
    """Events that every open day must have at least."""
    max_value: Positive = 1e6
    """Largest plausible `value` of an event."""
    max_price: Positive = 1e6
    """Largest plausible price of an item."""


class FirstRun(Part):
    """What `make run` does with a shop that has a history."""

    as_of: date
    """History before this day is landed in one interval, and the first model is trained as of it."""


class Shop(Part):
    """Everything that `shop.toml` says."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    title: str
    """One line for people."""
    calendar: Calendar
    first_run: FirstRun
    sources: dict[str, Source]
    events: Events
    confidence: Confidence = Confidence()
    training: Training = Training()
    als: Als
    evaluation: Evaluation
    promotion: Promotion = Promotion()
    drift: Drift = Drift()
    lists: Lists = Lists()
    validation: Validation = Validation()
    simulation: SimulatedShop | None = None
    """Present only for a shop whose warehouse is generated."""
    folder: Path
    """Where `sources/*.sql` lie."""

    @model_validator(mode="after")
    def _simulation_fits_calendar(self) -> Shop:
        made = self.simulation
        if made and (made.first_day, made.last_day) != (self.calendar.first_day, self.calendar.last_day):
            raise ValueError(
                f"the simulation spans {made.first_day} to {made.last_day}, "
                f"the calendar {self.calendar.first_day} to {self.calendar.last_day}"
            )
        return self

    def mapping(self, table: str) -> str | None:
        """Return the SQL that makes contract *table*, or None when the shop does not have it."""
        path = self.folder / "sources" / f"{table}.sql"
        return path.read_text(encoding="utf-8") if path.is_file() else None


def load_shop(shops: Path, name: str) -> Shop:
    """
    Return the shop *name* from its folder below *shops*.

    Raises:
        ConfigurationError: no such shop, no valid TOML, or a key or value that does not belong there.
    """
    folder = shops / name
    path = folder / "shop.toml"
    if not path.is_file():
        known = sorted(entry.parent.name for entry in shops.glob("*/shop.toml"))
        raise ConfigurationError(
            f"there is no shop {name!r} in {shops}; known shops are {', '.join(known) or 'none'}; set REFIT_SHOP"
        )
    try:
        shop = Shop.model_validate({"name": name, **tomllib.loads(path.read_text(encoding="utf-8")), "folder": folder})
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{path}: {where or 'shop'}: {first['msg']}; correct it in shop.toml") from error
    for table in ("interactions", "items"):
        if shop.mapping(table) is None:
            raise ConfigurationError(f"shop {name!r} has no {folder}/sources/{table}.sql; every shop maps {table}")
    return shop
