"""Which settings are searched, how, and at what cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from refit.config.parts import Count, Positive, Section

Value = bool | int | float | str
Name = Annotated[str, Field(pattern=r"^[a-z_]+(\.[A-Za-z0-9_]+)+$")]
NOTHING = "none"
"""The choice that stands for no value, such as no half-life, because TOML has no null."""


class Range(Section):
    """Values that one setting may take: from `low` to `high`, or one of `choices`."""

    low: int | float | None = None
    high: int | float | None = None
    """If both ends are whole, only whole numbers are tried."""
    log: bool = False
    """Whether to sample uniformly on a logarithmic scale."""
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
        """The extreme values; if they are valid, all others are."""
        return tuple(map(plain, self.choices)) if self.choices else (self.low, self.high)


def plain(value: Value) -> Value | None:
    """Return the setting's value for a choice: None for `none`."""
    return None if value == NOTHING else value


class Tuning(Section):
    """How settings are found before a model is trained."""

    sampler: Literal["tpe", "random", "grid"] = "tpe"
    """How the next settings are chosen: from good earlier trials, at random, or one after the other."""
    trials: Annotated[int, Field(ge=0)] = 0
    """Largest number of trials, the champion's settings first; 0: no search."""
    seconds: Positive = 1_800.0
    """Seconds after which no further trial is begun."""
    folds: Count = 3
    """Number of cut-offs before the training cutoff; a trial is judged on a holdout's length of days after each."""
    prune: bool = True
    """Whether a trial below the median of the others after a fold is pruned."""
    max_people: Count = 5_000
    """Largest number of judged people per fold, drawn anew for each cut-off."""
    space: dict[Name, Range] = Field(default_factory=dict)
    """Setting -> its range; the names are those of `shop.toml`, such as `als.rank`, `confidence.half_life_days`, and
    `weights.TYPE` for the weight of an event type."""
    seed: int = 0
    """Seed of the sampler and, combined with the cut-off, of the people of a fold."""

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
