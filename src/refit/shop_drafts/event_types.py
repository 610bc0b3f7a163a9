"""Guesses what event types mean for a shop from their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_WANTING: Mapping[float, tuple[str, ...]] = {
    1.0: ("purchase", "buy", "bought", "order", "transaction", "sale", "sold", "checkout", "paid", "rent", "booking"),
    0.6: ("cart", "basket", "wishlist", "fav", "like", "save", "bookmark", "subscribe", "add"),
    0.2: ("view", "click", "pv", "visit", "impression", "detail", "browse", "open", "page", "play", "read", "show"),
}
"""Weight -> parts of type names that get this weight."""
_BACK = ("cancel", "return", "refund", "storno", "chargeback")
_AWAY = ("remove", "delete", "unlike", "dislike", "skip")
_UNKNOWN = 0.5


@dataclass(frozen=True)
class EventTypes:
    """The use of each event type."""

    weights: Mapping[str, float]
    """Type, as the mapping gives it -> weight, largest first."""
    cancellation: str = ""
    """The type that cancels others; empty: none."""
    dropped: tuple[str, ...] = ()
    """Types, as the data name them, that the mapping drops, because they express the opposite of interest."""
    unknown: tuple[str, ...] = ()
    """Types whose weight is a blind guess."""

    @property
    def relevant(self) -> tuple[str, ...]:
        """The types that are wanted most."""
        most = max(self.weights.values())
        return tuple(name for name, weight in self.weights.items() if weight == most)

    @property
    def bought(self) -> tuple[str, ...]:
        """The types that count as buying an item."""
        return tuple(name for name, weight in self.weights.items() if weight == 1.0)


def spelt(name: str) -> str:
    """
    Return *name* as an event type of Refit.

    >>> spelt("view (PDP)"), spelt("purchase"), spelt("4")
    ('view_pdp', 'purchase', 'type_4')
    """
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "unnamed"
    return plain if plain[0].isalpha() else f"type_{plain}"


def event_types(names: Iterable[str]) -> EventTypes:
    """Return the guessed meaning of the types *names*, as the data spell them."""
    weights: dict[str, float] = {}
    unknown, dropped, cancellation = [], [], ""
    for name in names:
        word = name.lower()
        if any(part in word for part in _BACK) and not cancellation:
            cancellation = spelt(name)
        elif any(part in word for part in _AWAY):
            dropped.append(name)
        else:
            known = next((weight for weight, parts in _WANTING.items() if any(part in word for part in parts)), None)
            # Putting an item into a basket to buy it is not yet buying it.
            known = 0.6 if known == 1.0 and any(part in word for part in _WANTING[0.6][:3]) else known
            weights[spelt(name)] = _UNKNOWN if known is None else known
            unknown += [spelt(name)] if known is None else []
    ranked = dict(sorted(weights.items(), key=lambda pair: (-pair[1], pair[0])))
    return EventTypes(ranked, cancellation, tuple(dropped), tuple(unknown))
