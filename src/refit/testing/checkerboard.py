"""A checkerboard of likes with a correct answer known by construction; after the tests of benfred/implicit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Checkerboard:
    """
    As many people as items, both alternating black and white.

    Each person likes all items of the same colour except the one with the same number, so that this item is the best
    recommendation for that person and for no other.
    """

    size: int = 16
    user_name: Callable[[int], str] = "user-{:03d}".format
    item_name: Callable[[int], str] = "item-{:03d}".format

    def pairs(self) -> list[tuple[str, str]]:
        """Return user_id and item_id of each like, in order."""
        return [
            (self.user_name(user), self.item_name(item))
            for user in range(self.size)
            for item in range(self.size)
            if user % 2 == item % 2 and user != item
        ]

    def withheld(self) -> dict[str, str]:
        """Return user_id -> the item of the same colour that the person has not seen."""
        return {self.user_name(number): self.item_name(number) for number in range(self.size)}
