"""What may be recommended, to whom and how often, and the requirements on published lists."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from refit.config.list_gate import ListGate
from refit.config.parts import Count, Section


class Boost(Section):
    """A change of the scores of some items."""

    where: Annotated[str, Field(min_length=1, examples=["category = 'tea'"])]
    """Any SQL condition on the catalogue, as in `Lists.where`."""
    factor: Annotated[float, Field(ge=0.001, le=1000, examples=[1.5])]
    """Factor on the scores of items that meet the condition; the factors of several boosts are multiplied."""


class Lists(Section):
    """
    The rules of the lists, and the requirements on a published batch.

    An item is eligible if it is in the catalogue, available and listed, and every rule here admits it.
    """

    k: Count = 20
    """Recommendations per person; a list is shorter only if the rules leave fewer items."""
    reasons: Annotated[int, Field(ge=0)] = 2
    """Past items stored as reasons with each recommendation."""
    rebuy: bool = False
    """Whether a list may contain items that the person has bought; `events.bought` says which events are purchases."""
    deny: tuple[str, ...] = ()
    """Ids of items that are never recommended."""
    allow: tuple[str, ...] = ()
    """Ids of the only items that may be recommended; empty: all."""
    where: Annotated[str, Field(min_length=1)] | None = None
    """
    Any SQL condition on the catalogue, e.g. "price >= 2 AND category <> 'gift card'".

    It sees every column that `sources/items.sql` gives, and `as_of`, the instant of the lists (so never the clock).
    If it is null, the item is not recommended.
    """
    min_price: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Lowest price of recommended items; items without a price are excluded too."""
    cap_per_category: Count | None = None
    """Largest number of items of one category per list; items without a category are not capped."""
    boosts: tuple[Boost, ...] = ()
    """Items to move up (factor above 1) or down (below 1)."""
    recent_days: Count = 28
    """Days before `as_of` from which popularity is computed, for people without a history and for new items."""
    segment: str | None = None
    """Column of the users table: people without a history get what is popular among people with the same value."""
    min_segment_people: Count = 50
    """Fewest recently active people of a segment; smaller segments get what is popular overall."""
    new_items: Annotated[int, Field(ge=0)] = 0
    """Number of positions at the end of a list for items that the model does not know yet, most popular first."""
    min_new_people: Count = 5
    """Fewest people with recent events on a new item for it to be recommended."""
    symlink_manifest: bool = False
    """Whether `symlink/manifest.txt` names the live files for SQL engines that read lists of files (Athena, Trino)."""
    fresh_hours: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 48
    """Hours from `as_of` for which published lists count as fresh; afterwards `check_freshness` fails."""
    gate: ListGate = ListGate()
    """Requirements on a batch before readers see it."""

    @property
    def rules(self) -> dict[str, Any]:
        """The settings that affect the contents of lists, so without the limits of the gate."""
        return self.model_dump(mode="json", exclude={"gate", "fresh_hours", "symlink_manifest"})

    @model_validator(mode="after")
    def _rules_fit_together(self) -> Lists:
        both = sorted(set(self.allow) & set(self.deny))
        if both:
            raise ValueError(f"lists.allow and lists.deny both name {_some(both)}; keep each id in one of them")
        if self.new_items >= self.k:
            raise ValueError(f"lists.new_items {self.new_items} leaves the model no place in a list of k = {self.k}")
        return self


def _some(names: list[str], shown: int = 3) -> str:
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(repr(name) for name in names[:shown]) + more
