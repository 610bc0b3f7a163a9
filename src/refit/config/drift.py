"""When the data have moved so far that retraining is worth it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from refit.config.parts import Count, Positive, Section, Share

Activity = Literal["recency", "frequency", "monetary"]
Newcomers = Literal["new_people", "new_items"]


class FeatureLimits(Section):
    """Limits of one feature; what is left out is that of `[drift]`."""

    ks: Share | None = None
    """In place of `ks_limit`."""
    psi: Positive | None = None
    """In place of `psi_limit`."""
    missing: Share | None = None
    """In place of `missing_limit`."""
    new: Share | None = None
    """In place of `new_limit`."""


class Drift(Section):
    """When the data have moved so far that retraining is worth it."""

    reference_days: Count = 28
    """Days before the training cutoff that make the reference profile; whole weeks, so that weekdays are equal."""
    activity_days: Count = 28
    """How far recency, frequency and spending of a person look back from each of their days."""
    window_days: Count = 7
    """Days with events that make one window."""
    windows: Count = 1
    """So many of the newest windows are judged, side by side ..."""
    moved_windows: Count = 1
    """... and so many of them must have moved before a retraining is asked for."""
    share_limit: Annotated[float, Field(gt=0, le=1)] = 0.15
    """A window has moved when at least this share of its features is beyond a limit."""
    min_rows: Count = 300
    """
    With fewer events (or days of people) on either side a feature is not judged; those of the reference count by their
    effective number, which is smaller where the weekdays of a window rest on few rows of it.
    """
    ks_limit: Share = 0.1
    """Limit of the Kolmogorov-Smirnov statistic of a numeric feature."""
    psi_limit: Positive = 0.2
    """Limit of the population stability index of any feature."""
    missing_limit: Share = 0.05
    """Limit of how much the share of missing values changes, up or down."""
    new_limit: Share = 0.1
    """Limit of how much more falls into categories, or on people or items, that the model's data do not have."""
    limits: dict[str, FeatureLimits] = Field(default_factory=dict)
    """Feature -> limits of its own."""
    min_age_days: Annotated[int, Field(ge=0)] = 0
    """A champion whose training cutoff is younger than this is not retrained because of drift."""
    max_age_days: Count = 42
    """Retrain when the champion's training cutoff is older than this."""
    numbers: tuple[str, ...] = ("value", "price", "hour")
    """Numeric features of events: `value`, `price`, `hour`, or any numeric context column."""
    categories: tuple[str, ...] = ("weekday", "event_type", "category", "top_item")
    """Categorical features of events: `weekday`, `event_type`, `category`, `top_item` or any context column."""
    activity: tuple[Activity, ...] = ("recency", "frequency", "monetary")
    """Features of people on the days on which they did something."""
    newcomers: tuple[Newcomers, ...] = ("new_people", "new_items")
    """Shares of what the model has never seen."""
    top_items: Count = 50
    """The most popular items of the reference are categories of `top_item`; all others are one."""
    max_categories: Count = 100
    """The most frequent values of any other category; all others are one."""

    @property
    def features(self) -> tuple[str, ...]:
        """Every feature, in the order in which reports name them."""
        return (*self.numbers, *self.categories, *self.activity, *self.newcomers)

    @property
    def days(self) -> int:
        """Days with events that a check looks at."""
        return self.windows * self.window_days

    def limit(self, feature: str, statistic: Literal["ks", "psi", "missing", "new"]) -> float:
        """Return the limit of one statistic of one feature."""
        own: float | None = getattr(self.limits.get(feature, FeatureLimits()), statistic)
        return float(getattr(self, f"{statistic}_limit")) if own is None else own

    @model_validator(mode="after")
    def _rules_fit_together(self) -> Drift:
        names = self.features
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"drift: the features {twice} are listed twice")
        if not names:
            raise ValueError("drift needs at least one feature")
        unknown = sorted(set(self.limits) - set(names))
        if unknown:
            raise ValueError(f"drift.limits names {unknown}, which are no features; the features are {list(names)}")
        if self.moved_windows > self.windows:
            raise ValueError(f"drift.moved_windows {self.moved_windows} is more than drift.windows {self.windows}")
        if self.min_age_days > self.max_age_days:
            raise ValueError(f"drift.min_age_days {self.min_age_days} is more than max_age_days {self.max_age_days}")
        return self
