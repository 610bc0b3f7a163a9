"""What is asked of a batch of lists before readers see it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from refit.config.parts import Count, Section, Share

AtLeastOne = Annotated[float, Field(ge=1)]


class ListGate(Section):
    """
    The limits of the list gate.

    The first group judges a batch alone, the second against the batch that readers saw before it. Where the champion
    or the rules of the lists have changed in between, lists may differ more: see `change_factor`.
    """

    min_people: Count = 1
    """Fewer people than this in a batch are refused."""
    min_covered: Share = 0.995
    """Share of the people who may be served that must have a list with anything in it."""
    min_filled: Share = 0.99
    """Share of people whose list must hold k items."""
    max_popularity: Share = 0.5
    """Share of people who may be given what is popular because the model knows nothing of them."""
    max_flat: Share = 0.001
    """Share of lists in which the model may give three or more items one and the same score."""
    min_catalogue: Share = 0.01
    """Share of the shelf that must occur in at least one list."""
    max_top_share: Share = 0.9
    """Share of all places that the most shown hundredth of the items may take."""
    max_gini: Share = 0.995
    """Gini index of how often the items that may be shown are shown: 0 for all equally often, near 1 for few only."""
    max_stale_days: Annotated[int, Field(ge=0)] = 2
    """Open days before `as_of` that may lie behind the newest event."""

    compare_days: Count = 28
    """A batch for a date that lies further back than this is no measure of today's."""
    compare_people: Count = 100
    """Batches with fewer people are not compared: chance moves them too much."""
    max_people_lost: Share = 0.05
    """Share by which the number of people may fall."""
    max_people_gained: Annotated[float, Field(ge=0)] = 0.3
    """Share by which the number of people may grow, and share of people who may be new."""
    max_popularity_gained: Share = 0.1
    """By how much the share of people who are given what is popular may rise."""
    max_size_changed: Share = 0.3
    """Share by which places per person and bytes per person may differ."""
    max_top_ratio: AtLeastOne = 1.5
    """The most shown hundredth of the items may take so many times as many of all places."""
    max_gini_gained: Share = 0.05
    """By how much the Gini index may rise."""
    max_shown_lost: Share = 0.2
    """Share by which the number of different items may fall."""
    min_overlap: Share = 0.2
    """Median over people of (items in both lists) / (items in either), at least."""
    min_overlap_changed: Share = 0.02
    """The same where the champion or the rules of the lists have changed."""
    frozen_share: Share = 0.999
    """More lists that hold the same items in spite of new data are a warning: histories may not reach the model."""
    change_factor: AtLeastOne = 3.0
    """After such a change size, top share, Gini and different items may differ by so many times as much."""
