"""Which settings are searched, how, and what that may cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from refit.config.parts import Count, Positive, Section

Value = bool | int | float | str
Name = Annotated[str, Field(pattern=r"^[a-z_]+(\.[A-Za-z0-9_]+)+$")]
NOTHING = "none"
"""The choice that stands for no value, as TOML has none: no half-life."""


class Range(Section):
    """Values that one setting may take: from `low` to `high`, or one of `choices`."""

    low: int | float | None = None
    high: int | float | None = None
    """Both whole: only whole numbers are tried."""
    log: bool = False
    """Equal factors are equally likely instead of equal differences."""
    choices: tuple[Value, ...] = ()

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if self.choices:
            if self.low is not None or self.high is not None or self.log:
                raise ValueError("give either choices or low and high")
            if len(set(map(repr, self.choices))) < len(self.choices):
                raise ValueError(f"a value stands twice among the choices {', '.join(map(str, self.choices))}")
            return self
        if self.low is None or self.high is None:
            raise ValueError("it has nothing to choose from; give low and high, or choices")
        if self.low > self.high or not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise ValueError(f"low = {self.low:g} lies above high = {self.high:g}; exchange them")
        if self.log and self.low <= 0:
            raise ValueError(f"low = {self.low:g} has no logarithm; a range with log begins above 0")
        return self

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are tried."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that must be possible for all others to be so."""
        return tuple(map(plain, self.choices)) if self.choices else (self.low, self.high)


def plain(value: Value) -> Value | None:
    """Return a choice as the setting takes it: None for `none`."""
    return None if value == NOTHING else value


class Tuning(Section):
    """How settings are found before a model is trained."""

    sampler: Literal["tpe", "random", "grid"] = "tpe"
    """How the next settings are chosen: by what did well so far, by chance, or one after the other."""
    trials: Annotated[int, Field(ge=0)] = 0
    """Most settings that are tried, those of the champion first; 0: nothing is searched."""
    seconds: Positive = 1_800.0
    """No further trial is begun after so many seconds."""
    folds: Count = 3
    """Cut-offs before the training cutoff; the days after each, as many as the holdout has, judge the trial."""
    prune: bool = True
    """Whether a trial that is below the median of the others after a fold is given up."""
    max_people: Count = 5_000
    """At most so many people are judged in each fold, drawn anew for each cut-off."""
    space: dict[Name, Range] = Field(default_factory=dict)
    """Setting -> its range; the names are those of `shop.toml`, such as `als.rank`, `confidence.half_life_days`, and
    `weights.TYPE` for the weight of an event type."""
    seed: int = 0
    """Of the sampler; the people of a fold are drawn by it and the cut-off."""

    @field_validator("space", mode="before")
    @classmethod
    def _tables_in_tables(cls, space: Any) -> Any:
        return _flat(space) if isinstance(space, Mapping) else space

    @model_validator(mode="after")
    def _can_be_searched(self) -> Self:
        if self.trials > 1 and not self.space:
            raise ValueError(f"{self.trials} trials have no space to search; add [tuning.space.NAME] or set trials = 0")
        if self.sampler == "grid" and self.space:
            endless = sorted(name for name, range_ in self.space.items() if not range_.choices)
            if endless:
                raise ValueError(f"a grid needs choices, and {', '.join(endless)} has low and high; list its values")
            points = math.prod(len(range_.choices) for range_ in self.space.values())
            if self.trials and points > self.trials:
                raise ValueError(
                    f"the grid has {points:,} points and only {self.trials:,} trials are allowed; "
                    "raise trials or remove choices"
                )
        return self


def _flat(space: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return `als.rank` for the table `rank` in the table `als`."""
    found: dict[str, Any] = {}
    for key, value in space.items():
        inner = isinstance(value, Mapping) and value and all(isinstance(part, Mapping) for part in value.values())
        found |= _flat(value, f"{above}{key}.") if inner else {f"{above}{key}": value}
    return found
