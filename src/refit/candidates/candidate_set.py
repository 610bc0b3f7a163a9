"""The candidate set: the items that may be recommended on one day, in the positions of one model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

EVERYBODY = ""
"""The segment used in place of every segment that is too small or unknown."""


@dataclass(frozen=True, eq=False)
class Popular:
    """Recently popular items, most popular first."""

    positions: NDArray[np.int64]
    """Positions in the candidate set; only allowed items."""
    scores: NDArray[np.float32]
    """Share of the segment's people who wanted the item, descending."""


@dataclass(frozen=True, eq=False)
class CandidateSet:
    """
    The items of a model, followed by new items that the model does not know.

    Positions below the number of model items equal the model's own positions.
    """

    items: pa.Array
    """Item ids: those of the model, then the new ones."""
    allowed: NDArray[np.bool_]
    """Whether each item may be shown: available, listed, not denied, within the shop's conditions."""
    boosts: NDArray[np.float32]
    """Factor on the score of each item, above 0; 1 leaves the score unchanged."""
    groups: NDArray[np.int32]
    """Category number of each item, -1 for none."""
    cap: int | None = None
    """Largest number of items of one category in a list; None for no limit."""
    popular: Mapping[str, Popular] = field(default_factory=dict)
    """Segment -> popular items; contains `EVERYBODY` unless empty."""
    new_per_list: int = 0
    """Number of ranks at the end of a list reserved for new items."""

    @classmethod
    def plain(cls, items: pa.Array, allowed: NDArray[np.bool_] | None = None) -> CandidateSet:
        """Return the candidate set of a shop without rules."""
        n = len(items)
        return cls(
            items=items,
            allowed=np.ones(n, dtype=np.bool_) if allowed is None else allowed,
            boosts=np.ones(n, dtype=np.float32),
            groups=np.full(n, -1, dtype=np.int32),
        )
