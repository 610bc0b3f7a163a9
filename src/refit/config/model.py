"""How models are trained, compared and published."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from refit.config.parts import Count, Part, Positive, Share


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
