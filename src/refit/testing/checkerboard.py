"""A checkerboard of likes, whose right answer is known by construction; after the tests of benfred/implicit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Checkerboard:
    """
    As many people as items, both black and white in turn.

    Everybody likes all items of their own colour but the one with their own number, so that this one is the best
    recommendation for them and for nobody else.
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
        """Return user_id -> the item of their colour that they have not seen yet."""
        return {self.user_name(number): self.item_name(number) for number in range(self.size)}
