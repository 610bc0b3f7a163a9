"""When the data have moved so far that retraining is worth it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from refit.config.parts import Count, Positive, Section, Share

Activity = Literal["recency", "frequency", "monetary"]
Newcomers = Literal["new_people", "new_items"]


class FeatureLimits(Section):
    """Limits of one feature; omitted ones are those of `[drift]`."""

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
    """Days over which a person's recency, frequency and spending are measured."""
    window_days: Count = 7
    """Days with events that make one window."""
    windows: Count = 1
    """Number of newest windows that are judged ..."""
    moved_windows: Count = 1
    """... and number of them that must have moved to request a retraining."""
    share_limit: Annotated[float, Field(gt=0, le=1)] = 0.15
    """A window has moved when at least this share of its features is beyond a limit."""
    min_rows: Count = 300
    """
    Fewest events (or person-days) on either side for a feature to be judged; for the reference their effective number
    counts, which is smaller if the weekdays of a window rest on few of its rows.
    """
    ks_limit: Share = 0.1
    """Limit of the Kolmogorov-Smirnov statistic of a numeric feature."""
    psi_limit: Positive = 0.2
    """Limit of the population stability index of any feature."""
    missing_limit: Share = 0.05
    """Limit on the change of the share of missing values, up or down."""
    new_limit: Share = 0.1
    """Limit on the increase of the share of categories, people or items that the model's data do not have."""
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
    """Features of people on days with events."""
    newcomers: tuple[Newcomers, ...] = ("new_people", "new_items")
    """Shares of people and items that the model has never seen."""
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
        """Number of days with events that a check covers."""
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
