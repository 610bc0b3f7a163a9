"""Linking: what the past items of people add to the scores of other items through the links of a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refit.model.item_links import ItemItemWeights
from refit.ranking.flat_histories import Histories


@dataclass(frozen=True, eq=False)
class Added:
    """One entry per past item and item that it is linked to."""

    people: NDArray[np.int64]
    """Ascending."""
    entries: NDArray[np.int64]
    """Entry of the histories: which past item."""
    positions: NDArray[np.int64]
    """What it is linked to."""
    values: NDArray[np.float64]
    """What it adds to that score."""

    def to_columns(
        self, columns: NDArray[np.int64], people: int, width: int, boosts: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Return the sums as a table of *people* x *width*, where *columns* gives the column of each position."""
        places = columns[self.positions]
        on = places >= 0
        cells = self.people[on] * width + places[on]
        values = self.values[on] * boosts[self.positions[on]]
        sums = np.bincount(cells, weights=values, minlength=people * width)
        return sums.astype(np.float64, copy=False).reshape(people, width)


def link_sizes(links: ItemItemWeights, histories: Histories) -> NDArray[np.int64]:
    """Return for each person how many entries `add_links` makes."""
    taught = histories.teaches(links.items)
    each = np.diff(links.starts)[histories.positions[taught]]
    return np.bincount(histories.rows[taught], weights=each, minlength=len(histories)).astype(np.int64)


def add_links(links: ItemItemWeights, histories: Histories) -> Added:
    """Return what each past item adds: r ** power times the value of each of its links."""
    entries = np.flatnonzero(histories.teaches(links.items))
    past = histories.positions[entries]
    sizes = links.starts[past + 1] - links.starts[past]
    before = np.cumsum(sizes) - sizes
    places = np.arange(int(sizes.sum())) + np.repeat(links.starts[past] - before, sizes)
    strengths = links.strengths(histories.confidences[entries])
    return Added(
        people=np.repeat(histories.rows[entries], sizes),
        entries=np.repeat(entries, sizes),
        positions=links.targets[places].astype(np.int64),
        values=np.repeat(strengths, sizes) * links.values[places],
    )
