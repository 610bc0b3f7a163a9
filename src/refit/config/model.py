"""How models are trained, compared and published."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from refit.config.parts import Count, Positive, Section, Share


class Confidence(Section):
    """How events give the confidence r of a pair: sum of weight * f(value) * 2^(-age / half-life)."""

    value: Literal["ignore", "log", "linear"] = "ignore"
    """f(value): 1, ln(1 + value) or value; a null or negative value counts as 0."""
    half_life_days: Positive | None = None
    """Age at which an event counts half; none for no decay."""
    combine: Literal["sum", "log_sum", "mean", "latest"] = "sum"
    """How repeated events combine: sum; ln(1 + sum), which damps repetition; for ratings mean or latest."""


class Training(Section):
    """The days that a model is trained and judged on."""

    window_days: Count = 365
    """Length of the window that ends at `as_of`; the holdout is its last part."""
    holdout_days: Count = 14
    """Days before `as_of` that are held out from training to judge the models."""
    min_interactions: Count = 1_000
    """Fewest person-item pairs for training."""
    min_people: Count = 50
    """Fewest people in the training part and in the holdout."""
    min_items: Count = 20
    """Fewest items."""
    max_staleness_days: Annotated[int, Field(ge=0)] = 3
    """Largest number of open days missing between the newest landed day and `as_of`."""

    @property
    def window(self) -> timedelta:
        """Length of the window."""
        return timedelta(days=self.window_days)


class Als(Section):
    """Settings of alternating least squares, the same for every engine."""

    engine: Literal["auto", "mllib", "implicit"] = "auto"
    """`mllib` runs on a Spark cluster, `implicit` is ten times cheaper on one machine; auto: by size."""
    preferences: Literal["implicit", "explicit"] = "implicit"
    """Implicit: preferences weighted by confidence. Explicit: the confidence of a pair is a rating to predict."""
    rank: Count = 32
    """Number of latent factors."""
    iterations: Count = 10
    """Alternations; each solves both sides once."""
    regularisation: Positive = 0.1
    """L2 strength; multiplied by n ** frequency_exponent for a person or item with n pairs."""
    frequency_exponent: Share = 1.0
    """1 as in MLlib, 0 for equal strength for all; values other than 1 need the engine `implicit`."""
    alpha: Positive = 1.0
    """Confidence of a pair is 1 + alpha * r."""
    solver: Literal["conjugate_gradient", "cholesky"] = "conjugate_gradient"
    """For the engine `implicit`: a few steps towards each solution, which is cheaper, or the exact solution."""
    nonnegative: bool = False
    """Whether factors must be nonnegative; needs the engine `mllib`."""
    local_memory_gb: Positive = 4.0
    """Largest estimated memory of work on one machine: the engine `implicit`, and links between items."""
    seed: int = Field(examples=[20260101])
    """No default on purpose: choose it explicitly."""

    @model_validator(mode="after")
    def _an_engine_can_do_it(self) -> Self:
        scaled = f"frequency_exponent = {self.frequency_exponent:g}"
        spread = ["nonnegative = true"] if self.nonnegative else []
        spread += ["preferences = 'explicit'"] if self.preferences == "explicit" else []
        if self.engine == "mllib" and self.frequency_exponent != 1:
            raise ValueError(f"{scaled} needs engine = 'implicit'; MLlib always multiplies the regularisation by n")
        if self.engine == "implicit" and spread:
            raise ValueError(f"{' and '.join(spread)} needs engine = 'mllib'; the library implicit knows neither")
        if self.frequency_exponent != 1 and spread:
            raise ValueError(f"no engine has {scaled} together with {' and '.join(spread)}; use frequency_exponent = 1")
        return self
