"""What may be recommended, to whom and how often, and what a published list must look like."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from refit.config.list_gate import ListGate
from refit.config.parts import Count, Section


class Boost(Section):
    """Items that are moved up or down."""

    where: Annotated[str, Field(min_length=1, examples=["category = 'tea'"])]
    """Any SQL condition on the catalogue, as in `Lists.where`."""
    factor: Annotated[float, Field(ge=0.001, le=1000, examples=[1.5])]
    """The score of an item that fulfils the condition is multiplied by it; several that fit multiply."""


class Lists(Section):
    """
    The rules of the lists, and what a published batch must look like.

    An item is on the shelf when the catalogue knows it, it is available and listed, and every rule here lets it pass.
    """

    k: Count = 20
    """Recommendations per person; a list is shorter only where the rules leave less."""
    reasons: Annotated[int, Field(ge=0)] = 2
    """Past items stored as reasons with each recommendation."""
    rebuy: bool = False
    """Whether a list may hold what the person has bought; `events.bought` says which events are buying."""
    deny: tuple[str, ...] = ()
    """Ids of items that are never recommended."""
    allow: tuple[str, ...] = ()
    """Ids of the only items that are recommended; none given: all."""
    where: Annotated[str, Field(min_length=1)] | None = None
    """
    Any SQL condition on the catalogue, e.g. "price >= 2 AND category <> 'gift card'".

    It sees every column that `sources/items.sql` gives, and `as_of`, the instant of the lists (so never the clock).
    Where it is null the item is not recommended.
    """
    min_price: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Cheaper items, and items without a price, are not recommended."""
    cap_per_category: Count | None = None
    """At most so many items of one category in a list; items without a category are not capped."""
    boosts: tuple[Boost, ...] = ()
    """What is moved up (factor above 1) or down (below 1)."""
    recent_days: Count = 28
    """Popularity, for people without a history and for new items, looks at so many days before `as_of`."""
    segment: str | None = None
    """Column of the users table: people without a history get what is popular among people with the same value."""
    min_segment_people: Count = 50
    """A segment with fewer people who wanted something in the recent days gets what is popular with everybody."""
    new_items: Annotated[int, Field(ge=0)] = 0
    """Places at the end of a list for items that the model does not know yet, most popular first."""
    min_new_people: Count = 5
    """A new item must have been touched by so many people in the recent days."""
    symlink_manifest: bool = False
    """Whether `symlink/manifest.txt` names the live files for SQL engines that read lists of files (Athena, Trino)."""
    fresh_hours: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 48
    """Published lists are good for so long from the `as_of` they know; `check_freshness` complains afterwards."""
    gate: ListGate = ListGate()
    """What is asked of a batch before readers see it."""

    @property
    def rules(self) -> dict[str, Any]:
        """What decides which items a list holds; limits of the gate do not."""
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
