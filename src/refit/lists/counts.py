"""List counts: what the list gate must know, counted where the lists are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refit.lists.filling import NEW, POPULARITY, Drafts
from refit.ranking.caps import earlier_of_group
from refit.ranking.flat_histories import Histories
from refit.shelves.shelf import Shelf


@dataclass
class Counts:
    """What the list gate must know, counted where the lists are made and summed over blocks of people."""

    items: int
    """Items on the shelf."""
    people: int = 0
    filled: int = 0
    empty: int = 0
    by_popularity: int = 0
    """People whose list begins with what is popular: the model knows nothing of them."""
    with_new: int = 0
    """Lists with an item that was placed because it is new."""
    repeats: int = 0
    bought: int = 0
    withdrawn: int = 0
    disordered: int = 0
    """Lists with a score that is not finite, or that rises from one item to the next of the same source."""
    over_cap: int = 0
    shown: NDArray[np.bool_] = field(init=False)
    """Which items occur in at least one list."""

    def __post_init__(self) -> None:
        """Begin with no item shown."""
        self.shown = np.zeros(self.items, dtype=np.bool_)

    def add(self, drafts: Drafts, histories: Histories, shelf: Shelf) -> None:
        """Count the lists of some people, checked against their inputs and not against how they were made."""
        positions, scores = drafts.positions, drafts.scores
        people = len(positions)
        there = positions >= 0
        labels = np.array([label.split(":")[0] for label in drafts.labels])[drafts.sources]
        self.people += people
        self.filled += int(there.all(axis=1).sum())
        self.empty += int((~there.any(axis=1)).sum())
        self.by_popularity += int((there[:, 0] & (labels[:, 0] == POPULARITY)).sum())
        self.with_new += int((there & (labels == NEW)).any(axis=1).sum())
        ordered = np.sort(positions, axis=1)
        self.repeats += int(((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(axis=1).sum())
        # Every list in one ascending row of numbers, so that each bought item is looked up once.
        keys = (ordered + np.arange(people)[:, None] * (self.items + 1)).ravel()
        wanted = histories.positions[histories.bought] + histories.rows[histories.bought] * (self.items + 1)
        hit = keys[np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)] == wanted if len(keys) else wanted < 0
        self.bought += len(np.unique(histories.rows[histories.bought][hit]))
        self.withdrawn += int((there & ~shelf.allowed[positions]).any(axis=1).sum())
        same = (drafts.sources[:, 1:] == drafts.sources[:, :-1]) & there[:, 1:] & there[:, :-1]
        rises = (same & ~(scores[:, 1:] <= scores[:, :-1])).any(axis=1)
        self.disordered += int((rises | (there & ~np.isfinite(scores)).any(axis=1)).sum())
        if shelf.cap is not None:
            groups = np.where(there, shelf.groups[positions], -1).astype(np.int32)
            self.over_cap += int((earlier_of_group(groups) >= shelf.cap).any(axis=1).sum())
        self.shown[positions[there]] = True

    def as_record(self) -> dict[str, Any]:
        """Return the counts as plain JSON values; `shown` as hexadecimal bits."""
        record = {name: int(value) for name, value in vars(self).items() if name != "shown"}
        return {**record, "shown": np.packbits(self.shown).tobytes().hex()}
