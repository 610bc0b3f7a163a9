"""The candidate set: what may be recommended on one day, and by which rules, in the positions of one model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

EVERYBODY = ""
"""The segment that stands in for every segment that is too small or unknown."""


@dataclass(frozen=True, eq=False)
class Popular:
    """What many people touched lately, most popular first."""

    positions: NDArray[np.int64]
    """On the shelf; only items that are allowed."""
    scores: NDArray[np.float32]
    """Share of the segment's people who wanted the item, falling."""


@dataclass(frozen=True, eq=False)
class CandidateSet:
    """
    The items of a model and, after them, new items that the model does not know.

    A position below the number of the model's items is the model's own position.
    """

    items: pa.Array
    """Ids: those of the model, then the new ones."""
    allowed: NDArray[np.bool_]
    """Which items may be shown at all: available, listed, not denied, inside the shop's conditions."""
    boosts: NDArray[np.float32]
    """Factor on the score of each item, above 0; 1 leaves it as it is."""
    groups: NDArray[np.int32]
    """Number of the category of each item, -1 for none."""
    cap: int | None = None
    """At most so many items of one category in a list."""
    popular: Mapping[str, Popular] = field(default_factory=dict)
    """Segment -> popular items; holds `EVERYBODY` at least when it is not empty."""
    new_per_list: int = 0
    """Places at the end of a list that are kept for new items."""

    @classmethod
    def plain(cls, items: pa.Array, allowed: NDArray[np.bool_] | None = None) -> CandidateSet:
        """Return the shelf of a shop without rules."""
        n = len(items)
        return cls(
            items=items,
            allowed=np.ones(n, dtype=np.bool_) if allowed is None else allowed,
            boosts=np.ones(n, dtype=np.float32),
            groups=np.full(n, -1, dtype=np.int32),
        )
