"""Kinds of models that a shop may train, with the settings of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from refit.config.model import Als, Confidence
from refit.config.parts import Count, Positive, Section, Share
from refit.errors import ConfigurationError
from refit.validation_errors import with_given

Kind = Literal["als", "neighbours", "closed_form", "blend"]
PARTS_OF: Mapping[str, tuple[str, ...]] = {
    "als": ("als", "habit", "confidence", "weights"),
    "neighbours": ("neighbours", "habit", "confidence", "weights"),
    "closed_form": ("closed_form", "habit", "confidence", "weights"),
    "blend": ("als", "neighbours", "closed_form", "blend", "habit", "confidence", "weights"),
}
"""Kind -> the parts of `ModelSettings` that affect it."""

Power = Annotated[float, Field(ge=0, le=2)]


class Neighbours(Section):
    """Item-item neighbours: the shrunk cosine of two items' confidences over people."""

    neighbours: Count = 100
    """Number of most similar items kept for each past item."""
    shrinkage: Annotated[float, Field(ge=0)] = 10.0
    """Added to the denominator of the cosine, so that a few common people are only weak evidence."""
    power: Power = 0.5
    """A pair counts r ** power: 0 for all alike, 1 for its confidence."""


class ClosedForm(Section):
    """The closed-form item model (Steck 2019, EASE): each item as a ridge regression on all others."""

    regularisation: Positive = 200.0
    """Added to the diagonal of the items' Gram matrix."""
    links: Count = 300
    """Number of strongest links kept for each past item."""
    power: Power = 0.5
    """A pair counts r ** power: 0 for all alike, 1 for its confidence."""
    max_items: Count = 10_000
    """
    Largest number of items that are all in one equation: time grows with its cube, memory is 8 bytes times its square.
    In a larger catalogue each item is explained by its closest `neighbourhood` items alone.
    """
    neighbourhood: Count = 200
    """Number of items that explain one in a catalogue of more than `max_items`."""
    held: Count = 1_000
    """Largest number of common counts held for each item of such a catalogue, those with the largest cosines."""


class RepeatWeight(Section):
    """Weight of repeated purchases; relevant if bought items may be recommended."""

    weight: Annotated[float, Field(ge=0)] = 0.0
    """What a past item of confidence 1 adds to its own score, in standard deviations of a person's other scores."""


class Blend(Section):
    """Factors and links in one model."""

    links: Literal["neighbours", "closed_form"] = "closed_form"
    """Which links are added to the factors of `als`."""
    weight: Share = 0.5
    """Share of the links after scaling both parts to the same spread: 0 for factors alone, 1 for links alone."""


class Models(Section):
    """Which kinds of models compete."""

    candidates: tuple[Kind, ...] = ("als",)
    """Candidate kinds; the best one on the validation folds becomes the challenger."""

    @field_validator("candidates")
    @classmethod
    def _names_each_kind_once(cls, candidates: tuple[Kind, ...]) -> tuple[Kind, ...]:
        if not candidates or len(set(candidates)) < len(candidates):
            raise ValueError("name at least one kind of model, and each one once")
        return candidates


class ModelSettings(Section):
    """All settings that determine what a model learns from the events of a shop."""

    kind: Kind
    als: Als
    neighbours: Neighbours
    closed_form: ClosedForm
    habit: RepeatWeight
    blend: Blend
    confidence: Confidence
    weights: dict[str, Positive]
    """Weight of one event of each type."""

    @model_validator(mode="after")
    def _ratings_stay_ratings(self) -> Self:
        if self.als.preferences != "explicit":
            return self
        if self.kind != "als":
            raise ValueError(
                f"als.preferences is 'explicit', but a {self.kind} model cannot predict ratings; train als"
            )
        made = self.confidence
        if made.value != "linear" or made.half_life_days is not None or made.combine not in ("mean", "latest"):
            raise ValueError(
                "als.preferences is 'explicit', so a pair must keep its rating; set confidence.value = 'linear', "
                "confidence.combine = 'latest' or 'mean', and no half_life_days"
            )
        return self

    @property
    def has_factors(self) -> bool:
        """Whether the model has factors from alternating least squares."""
        return self.kind in ("als", "blend")

    @property
    def linked_by(self) -> Literal["neighbours", "closed_form"] | None:
        """Return the kind of links between items, or None for factors alone."""
        if self.kind == "blend":
            return self.blend.links
        return None if self.kind == "als" else self.kind

    def parameters(self) -> dict[str, Any]:
        """Return the kind and every setting that affects this model, by names such as `als.rank`."""
        parts = {name: values for name, values in self.model_dump().items() if name in PARTS_OF[self.kind]}
        return {"kind": self.kind} | {
            f"{part}.{name}": v for part, values in parts.items() for name, v in values.items()
        }

    def value_of(self, name: str) -> Any:
        """Return the setting called *name*, e.g. `als.rank`; ConfigurationError if there is none."""
        found: Any = self.model_dump()
        for part in name.split("."):
            if not isinstance(found, dict) or part not in found:
                raise ConfigurationError(f"there is no setting {name!r} of a model; {_known_names(self)}")
            found = found[part]
        if isinstance(found, dict):
            raise ConfigurationError(f"{name!r} is a table and no setting; {_known_names(self)}")
        return found

    def with_values(self, values: Mapping[str, Any]) -> Self:
        """Return these settings with other *values*, by names such as `als.rank`; ConfigurationError for a bad one."""
        changed = self.model_dump()
        for name, value in values.items():
            self.value_of(name)
            *path, last = name.split(".")
            part = changed
            for step in path:
                part = part[step]
            part[last] = value
        try:
            return type(self).model_validate(changed)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(step) for step in first["loc"]) or f"a model of kind {self.kind}"
            raise ConfigurationError(f"{where} {with_given(first)}") from error


def _known_names(settings: ModelSettings) -> str:
    names = [
        f"{part}.{name}"
        for part, values in settings.model_dump().items()
        if isinstance(values, dict)
        for name in values
    ]
    return f"the settings are {', '.join(names)}"
