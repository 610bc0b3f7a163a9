"""List counts: the inputs of the list gate, counted where the lists are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from refit.candidates.candidate_set import CandidateSet
from refit.columns import Columns
from refit.lists.exposures import Exposures, pack
from refit.lists.filling import NEW, POPULARITY, Drafts
from refit.ranking.category_caps import earlier_of_group
from refit.ranking.flat_histories import Histories

_FEW = 3
"""Smallest number of equal scores that marks a list as unranked; two equal scores may be chance."""


@dataclass
class Numbers:
    """Sums over people."""

    received: int = 0
    """People received for scoring."""
    without_consent: int = 0
    """Received people without consent in the users table."""
    people: int = 0
    """People for whom a list was made."""
    filled: int = 0
    empty: int = 0
    by_popularity: int = 0
    """People whose list begins with popular items because the model knows nothing about them."""
    with_new: int = 0
    """Lists that contain an item placed because it is new."""
    repeats: int = 0
    bought: int = 0
    withdrawn: int = 0
    gaps: int = 0
    """Lists with an empty rank before an item, which would make ranks wrong."""
    disordered: int = 0
    """Lists with a score that is not finite, or that rises between adjacent items of one source."""
    flat: int = 0
    """Lists in which the model ranked three or more items, all with the same score."""
    over_cap: int = 0
    unknown: int = 0
    """Lists that were written with an id outside the candidate set."""
    twice: int = 0
    """Written rows whose user id does not follow the previous one; each person could be in the batch twice."""


@dataclass
class Counts:
    """Counts for the list gate over one block of people, checked against their inputs."""

    candidate_set: CandidateSet
    numbers: Numbers = field(default_factory=Numbers)
    exposures: Exposures = field(init=False)
    """Number of lists that contain each item of the candidate set."""
    _last: str | None = None

    def __post_init__(self) -> None:
        """Start with no item shown."""
        self.exposures = np.zeros(len(self.candidate_set.items), dtype=np.int64)

    def receive(self, people: pa.RecordBatch) -> None:
        """Count received people; *people* has the columns of `refit.lake.people.everybody`."""
        self.numbers.received += len(people)
        consent = people.schema.get_field_index(Columns.CONSENT)
        if consent >= 0:
            given = pc.fill_null(people.column(consent), False)
            self.numbers.without_consent += len(people) - given.true_count

    def add(self, drafts: Drafts, histories: Histories) -> None:
        """Count the lists of some people, checked against their inputs independently of how they were made."""
        numbers, candidate_set = self.numbers, self.candidate_set
        positions, scores = drafts.positions, drafts.scores
        people, items = len(positions), len(candidate_set.items)
        there = positions >= 0
        numbers.people += people
        numbers.filled += int(there.all(axis=1).sum())
        numbers.empty += int((~there.any(axis=1)).sum())
        numbers.gaps += int((there[:, 1:] & ~there[:, :-1]).any(axis=1).sum())
        popular = _labelled(drafts, POPULARITY)
        new = _labelled(drafts, NEW)
        numbers.by_popularity += int((there[:, 0] & popular[drafts.sources[:, 0]]).sum())
        if new.any():
            numbers.with_new += int((there & new[drafts.sources]).any(axis=1).sum())
        ordered = np.sort(positions, axis=1)
        numbers.repeats += int(((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(axis=1).sum())
        # All lists as one ascending array of keys, so that each bought item is looked up once.
        keys = (ordered + np.arange(people)[:, None] * (items + 1)).ravel()
        wanted = histories.positions[histories.bought] + histories.rows[histories.bought] * (items + 1)
        hit = keys[np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)] == wanted if len(keys) else wanted < 0
        numbers.bought += len(np.unique(histories.rows[histories.bought][hit]))
        numbers.withdrawn += int((there & ~candidate_set.allowed[positions]).any(axis=1).sum())
        self._add_scores(scores, there, drafts.sources, ~(popular | new))
        if candidate_set.cap is not None:
            groups = np.where(there, candidate_set.groups[positions], -1).astype(np.int32)
            numbers.over_cap += int((earlier_of_group(groups) >= candidate_set.cap).any(axis=1).sum())
        self.exposures += np.bincount(positions[there], minlength=items)

    def add_rows(self, rows: pa.RecordBatch) -> None:
        """Check people and item ids of written rows; *rows* must follow those of the previous call."""
        people = rows.column(0)
        before = pa.concat_arrays([pa.array([self._last], people.type), people[:-1]])
        # A missing id and the missing predecessor of the very first row are null.
        rising = pc.fill_null(pc.less(before, people), False)
        first = 1 if self._last is None and people[0].is_valid else 0
        self.numbers.twice += len(people) - rising.true_count - first
        self._last = people[-1].as_py()
        lists = rows.column(1)
        ids = lists.flatten().field("item_id")
        unlisted = np.array([name not in self._names for name in ids.dictionary.to_pylist()], dtype=np.bool_)
        if unlisted.any():
            found = np.flatnonzero(unlisted[ids.indices.to_numpy()])
            self.numbers.unknown += len(np.unique(np.searchsorted(lists.offsets.to_numpy(), found, side="right")))

    def as_record(self) -> dict[str, Any]:
        """Return the counts as plain JSON values, with packed exposures."""
        size = {"items": len(self.candidate_set.items), "allowed": int(self.candidate_set.allowed.sum())}
        return {**vars(self.numbers), **size, "exposures": pack(self.exposures)}

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self.candidate_set.items.to_pylist())

    def _add_scores(
        self,
        scores: NDArray[np.float32],
        there: NDArray[np.bool_],
        sources: NDArray[np.int16],
        ranked: NDArray[np.bool_],
    ) -> None:
        both = there[:, 1:] & there[:, :-1]
        same = (sources[:, 1:] == sources[:, :-1]) & both
        rises = (same & ~(scores[:, 1:] <= scores[:, :-1])).any(axis=1)
        self.numbers.disordered += int((rises | (there & ~np.isfinite(scores)).any(axis=1)).sum())
        # Model scores descend, so a list is flat if its first and last model scores are equal.
        by_model = there & ranked[sources]
        count = by_model.sum(axis=1)
        last = np.take_along_axis(scores, np.maximum(count - 1, 0)[:, None], axis=1)[:, 0]
        self.numbers.flat += int(((count >= _FEW) & by_model[:, 0] & (scores[:, 0] == last)).sum())


def _labelled(drafts: Drafts, name: str) -> NDArray[np.bool_]:
    """Return a mask over source numbers: those whose label is *name*, with any segment suffix."""
    return np.array([label.split(":")[0] == name for label in drafts.labels], dtype=np.bool_)
