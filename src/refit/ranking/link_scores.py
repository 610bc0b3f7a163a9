"""Link scores: what past items add to the scores of other items through the links of a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refit.model.item_links import ItemItemWeights
from refit.ranking.flat_histories import Histories


@dataclass(frozen=True, eq=False)
class Added:
    """One entry per pair of a past item and an item that it links to."""

    people: NDArray[np.int64]
    """Ascending."""
    entries: NDArray[np.int64]
    """Entry numbers of the past items in the histories."""
    positions: NDArray[np.int64]
    """Positions of the linked items."""
    values: NDArray[np.float64]
    """Amounts added to the scores of the linked items."""

    def to_columns(
        self, columns: NDArray[np.int64], people: int, width: int, boosts: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Return the boosted sums as *people* x *width*; *columns* maps positions to columns, -1 for none."""
        linked_columns = columns[self.positions]
        on = linked_columns >= 0
        cells = self.people[on] * width + linked_columns[on]
        values = self.values[on] * boosts[self.positions[on]]
        sums = np.bincount(cells, weights=values, minlength=people * width)
        return sums.astype(np.float64, copy=False).reshape(people, width)


def link_sizes(links: ItemItemWeights, histories: Histories) -> NDArray[np.int64]:
    """Return the number of entries that `add_links` makes for each person."""
    taught = histories.teaches(links.items)
    each = np.diff(links.starts)[histories.positions[taught]]
    return np.bincount(histories.rows[taught], weights=each, minlength=len(histories)).astype(np.int64)


def add_links(links: ItemItemWeights, histories: Histories) -> Added:
    """Return what each past item adds through its links: r ** power times the value of the link."""
    entries = np.flatnonzero(histories.teaches(links.items))
    past = histories.positions[entries]
    sizes = links.starts[past + 1] - links.starts[past]
    before = np.cumsum(sizes) - sizes
    link_indices = np.arange(int(sizes.sum())) + np.repeat(links.starts[past] - before, sizes)
    strengths = links.strengths(histories.confidences[entries])
    return Added(
        people=np.repeat(histories.rows[entries], sizes),
        entries=np.repeat(entries, sizes),
        positions=links.targets[link_indices].astype(np.int64),
        values=np.repeat(strengths, sizes) * links.values[link_indices],
    )
