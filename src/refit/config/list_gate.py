"""Requirements on a batch of lists before readers see it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from refit.config.parts import Count, Section, Share

AtLeastOne = Annotated[float, Field(ge=1)]


class ListGate(Section):
    """
    The limits of the list gate.

    The first group judges a batch alone, the second against the previously published batch. If the champion or the
    rules of the lists have changed since, lists may differ more: see `change_factor`.
    """

    min_people: Count = 1
    """Fewest people in a batch."""
    min_covered: Share = 0.995
    """Smallest share of the people who may be served with a non-empty list."""
    min_filled: Share = 0.99
    """Smallest share of people whose list holds k items."""
    max_popularity: Share = 0.5
    """Largest share of people who get popular items because the model does not know them."""
    max_flat: Share = 0.001
    """Largest share of lists in which the model gives three or more items the same score."""
    min_catalogue: Share = 0.01
    """Smallest share of the eligible items that occur in at least one list."""
    max_top_share: Share = 0.9
    """Largest exposure share of the top 1 % of items, by number of lists that show them."""
    max_gini: Share = 0.995
    """Largest Gini index of the exposure of eligible items: 0 if all are shown equally often, near 1 for few."""
    max_stale_days: Annotated[int, Field(ge=0)] = 2
    """Largest number of open days between the newest event and `as_of`."""

    compare_days: Count = 28
    """Largest age in days of a batch that is compared with."""
    compare_people: Count = 100
    """Fewest people of batches that are compared; smaller ones vary too much by chance."""
    max_people_lost: Share = 0.05
    """Largest relative decrease of the number of people."""
    max_people_gained: Annotated[float, Field(ge=0)] = 0.3
    """Largest relative increase of the number of people, and largest share of new people."""
    max_popularity_gained: Share = 0.1
    """Largest increase of the share of people who get popular items."""
    max_size_changed: Share = 0.3
    """Largest relative change of recommendations per person and of bytes per person."""
    max_top_ratio: AtLeastOne = 1.5
    """Largest allowed ratio of the top-1 % exposure share to that of the previous batch."""
    max_gini_gained: Share = 0.05
    """Largest increase of the Gini index."""
    max_shown_lost: Share = 0.2
    """Largest relative decrease of the number of distinct items."""
    min_overlap: Share = 0.2
    """Smallest median over people of (items in both lists) / (items in either)."""
    min_overlap_changed: Share = 0.02
    """The same if the champion or the rules of the lists have changed."""
    frozen_share: Share = 0.999
    """Share of lists unchanged despite new data above which a warning is given: histories may not reach the model."""
    change_factor: AtLeastOne = 3.0
    """Factor on the limits of size, top share, Gini index and distinct items after such a change."""
