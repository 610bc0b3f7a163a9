"""
Profiles: the distribution of a period, by day or by weekday, small enough to store with a model.

Numbers are counted in bins whose edges are quantiles of the reference, so that comparing new days with it takes one
pass over them (`refit.drift.counting`) and none over the old days.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from refit.errors import ModelDamagedError

FORMAT = "refit-profile/2"
_MONDAY = 3
"""1970-01-01 was a Thursday."""

MISSING = -1
"""Bin of null and NaN."""
OUTSIDE = 0
"""Bin of all categories that the reference does not name; `names[n]` is bin n + 1."""

Counts = Mapping[int, int]
"""Bin -> rows."""
DailyCounts = Mapping[int, Mapping[str, Counts]]
"""Day since 1970-01-01 -> feature -> bin -> rows; days without rows are absent."""


@dataclass(frozen=True)
class Binning:
    """The bins of each feature."""

    edges: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Quantiles of each numeric feature, ascending; each edge is a bin, and so is each range between two edges."""
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Categories of each categorical feature that have their own bin, most frequent first."""

    def bins(self, feature: str) -> int:
        """Return the number of bins of *feature*, without the one for missing values."""
        return 2 * len(self.edges[feature]) + 1 if feature in self.edges else len(self.names[feature]) + 1

    def __contains__(self, feature: str) -> bool:
        """Return whether *feature* has edges or names."""
        return feature in self.edges or feature in self.names

    def label(self, feature: str, place: int) -> str:
        """Return the name of a category's bin."""
        return {MISSING: "missing", OUTSIDE: "other"}.get(place) or self.names[feature][place - 1]


@dataclass(frozen=True)
class Profile:
    """The reference: the distribution of the days before a training cutoff."""

    ruler: Binning
    days: Mapping[int, int]
    """Weekday (0 is Monday) -> days with events."""
    counts: Mapping[str, Mapping[int, Counts]]
    """Feature -> weekday -> bin -> rows."""
    tenure: Mapping[str, Counts]
    """`new_people`, `new_items` -> days since the person or item was first seen -> rows."""
    history: int
    """Days of events before the reference; no person or item can have been first seen earlier than that."""

    def to_json(self) -> dict[str, Any]:
        """Return the profile as plain JSON values."""
        return {
            "edges": {name: list(edges) for name, edges in self.ruler.edges.items()},
            "names": {name: list(names) for name, names in self.ruler.names.items()},
            "days": _texts(self.days),
            "counts": {
                name: {str(weekday): _texts(bins) for weekday, bins in weekdays.items()}
                for name, weekdays in self.counts.items()
            },
            "tenure": {name: _texts(counts) for name, counts in self.tenure.items()},
            "history": self.history,
            "format": FORMAT,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Profile:
        """
        Return the profile that `to_json` wrote.

        Raises:
            ModelDamagedError: *values* have another format.
        """
        if values.get("format") != FORMAT:
            raise ModelDamagedError(
                f"the drift profile has format {values.get('format')!r}, this Refit reads {FORMAT}; train a new model "
                "with build_training_set, train_model and promote_model"
            )
        return cls(
            ruler=Binning(
                edges={name: tuple(edges) for name, edges in values["edges"].items()},
                names={name: tuple(names) for name, names in values["names"].items()},
            ),
            days=_numbers(values["days"]),
            counts={
                name: {int(weekday): _numbers(bins) for weekday, bins in weekdays.items()}
                for name, weekdays in values["counts"].items()
            },
            tenure={name: _numbers(counts) for name, counts in values["tenure"].items()},
            history=values["history"],
        )


def weekday(day: int) -> int:
    """
    Return the weekday of a day since 1970-01-01; 0 is Monday.

    >>> weekday(0), weekday(4)
    (3, 0)
    """
    return (day + _MONDAY) % 7


def by_weekday(daily: DailyCounts, features: Sequence[str]) -> dict[str, dict[int, dict[int, int]]]:
    """Return feature -> weekday -> bin -> rows over all days."""
    sums: dict[str, dict[int, dict[int, int]]] = {name: {} for name in features}
    for day, counted in daily.items():
        for name in features:
            for code, count in counted.get(name, {}).items():
                bins = sums[name].setdefault(weekday(day), {})
                bins[code] = bins.get(code, 0) + count
    return sums


def cuts(edges: Sequence[float]) -> list[float]:
    """
    Return the borders between the bins of *edges*: each edge and the next larger float.

    So a value that many rows share has its own bin, and distances of discrete columns are exact.
    """
    return sorted({*edges, *(math.nextafter(edge, math.inf) for edge in edges)})


def _texts(counts: Counts) -> dict[str, int]:
    return {str(code): count for code, count in counts.items()}


def _numbers(counts: Mapping[str, int]) -> dict[int, int]:
    return {int(code): count for code, count in counts.items()}
