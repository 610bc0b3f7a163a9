"""Builds the candidate set of one day for one model, with the number of items that each rule excludes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from refit.candidates.candidate_set import EVERYBODY, CandidateSet
from refit.candidates.eligibility import ALLOWED, RULES, EligibleCatalogue
from refit.candidates.popularity import RecentInteractions, rank_popular
from refit.config import Lists
from refit.errors import ListsRefusedError
from refit.model.item_factors import ItemFactors

_EXCLUDED_BY = {
    "withdrawn": "{} are not in the catalogue",
    "unavailable": "{} are not available",
    "unlisted": "{} are not listed yet",
    "deny": "lists.deny keeps off {}",
    "allow": "lists.allow keeps off {}",
    "where": "lists.where keeps off {}",
    "min_price": "lists.min_price keeps off {}",
}


@dataclass(frozen=True, eq=False)
class BuiltCandidates:
    """A candidate set and the counts behind it."""

    candidate_set: CandidateSet
    kept_off: Mapping[str, int]
    """Rule -> number of model items it excludes; an item counts for the first rule that excludes it."""
    new: int
    """Number of candidates that the model does not know."""
    people: Mapping[str, int]
    """Segment -> number of people active in the recent days; `EVERYBODY` -> all of them."""
    warnings: tuple[str, ...]

    def as_record(self) -> dict[str, Any]:
        """Return the counts as plain JSON values; the size does not grow with the shop."""
        return {
            "items": len(self.candidate_set.items) - self.new,
            "allowed": int(self.candidate_set.allowed.sum()) - self.new,
            "kept_off": dict(self.kept_off),
            "new": self.new,
            "recent_people": self.people.get(EVERYBODY, 0),
            "segments": len(set(self.people) - {EVERYBODY}),
        }


def build_candidates(
    model: ItemFactors, assortment: EligibleCatalogue, touches: RecentInteractions, policy: Lists
) -> BuiltCandidates:
    """
    Build the candidate set of *model* from the *assortment* and the recent interactions *touches* of one day.

    Raises:
        ListsRefusedError: the rules leave nothing to recommend.
    """
    model_positions = model.positions(assortment.items)
    known = model_positions >= 0
    kept_off = np.full(len(model.items), RULES.index("withdrawn"), dtype=np.int8)
    kept_off[model_positions[known]] = assortment.kept_off[known]
    new = np.flatnonzero(_is_new(assortment, touches, policy, known))
    counts = {rule: int((kept_off == number).sum()) for number, rule in enumerate(RULES)}
    allowed = np.concatenate([kept_off == ALLOWED, np.ones(len(new), dtype=np.bool_)])
    if not allowed.any():
        raise ListsRefusedError(_nothing_left(len(model.items), counts))

    items = pa.concat_arrays([model.items, assortment.items.take(pa.array(new)).cast(model.items.type)])
    n = len(items)
    # Catalogue rows that are candidates, and their positions in the candidate set.
    rows = np.concatenate([np.flatnonzero(known), new])
    positions = np.concatenate([model_positions[known], np.arange(len(model.items), n)])
    boosts = np.ones(n, dtype=np.float32)
    boosts[positions] = assortment.boosts[rows]
    groups = np.full(n, -1, dtype=np.int32)
    groups[positions] = _groups(assortment.categories)[rows]
    candidate_set = CandidateSet(
        items=items,
        allowed=allowed,
        boosts=boosts,
        groups=groups,
        cap=policy.cap_per_category,
        popular=rank_popular(touches, items, allowed, model.people),
        new_per_list=policy.new_items,
    )
    return BuiltCandidates(
        candidate_set, counts, len(new), touches.people, (*assortment.warnings, *_ineffective_rules(policy, touches))
    )


def _is_new(
    catalogue: EligibleCatalogue, recent: RecentInteractions, policy: Lists, known: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    if not policy.new_items:
        return np.zeros(len(known), dtype=np.bool_)
    often = recent.people_of(catalogue.items) >= policy.min_new_people
    return np.asarray(~known & (catalogue.kept_off == ALLOWED) & often, dtype=np.bool_)


def _groups(categories: pa.Array) -> NDArray[np.int32]:
    found = pc.fill_null(pc.index_in(categories, value_set=pc.unique(categories.drop_null())), -1)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int32)


def _ineffective_rules(policy: Lists, recent: RecentInteractions) -> list[str]:
    if policy.segment is None or set(recent.people) - {EVERYBODY}:
        return []
    return [
        f"lists.segment = {policy.segment!r} changes nothing: no value of it has lists.min_segment_people = "
        f"{policy.min_segment_people:,} people who wanted anything in the last {policy.recent_days} days, "
        f"of {recent.people.get(EVERYBODY, 0):,} in all"
    ]


def _nothing_left(items: int, counts: Mapping[str, int]) -> str:
    parts = [_EXCLUDED_BY[rule].format(f"{count:,}") for rule, count in counts.items() if count]
    return (
        f"there is nothing to recommend: of the model's {items:,} items {', '.join(parts)}; nothing was written and "
        "the last good batch stays live; correct [lists] of shop.toml or the catalogue"
    )
