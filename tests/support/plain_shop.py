"""A shop of views, carts, purchases and returns, and what follows from them, in Python without Spark or src."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

DAY = timedelta(days=1)
START, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 22, tzinfo=UTC)
WEIGHTS = {"view": 0.1, "cart": 0.3, "purchase": 1.0}
WINDOW, HOLDOUT, RECENT, HALF_LIFE = 15 * DAY, 4 * DAY, 6 * DAY, 7.0
SETTINGS = """
[confidence]
value = "log"
half_life_days = 7

[training]
window_days = 15
holdout_days = 4
min_interactions = 1
min_people = 1
min_items = 1

[lists]
recent_days = 6

[tuning]
folds = 2

[drift]
reference_days = 7
activity_days = 3
"""
EVENTS = {
    """weights = { purchase = 1.0 }
relevant = ["purchase"]
bought = ["purchase"]
""": """weights = { view = 0.1, cart = 0.3, purchase = 1.0 }
relevant = ["purchase"]
bought = ["purchase"]
cancellation = "return"
cancels = ["purchase"]
"""
}


AGREED = [f"p{number:02d}" for number in range(30)]
"""All people of the shop."""
WITHDRAWN = {"p04", "p05", "p06", "p07"}
"""Who is not there, says no, says nothing, and says both yes and no from the fourth day before the end on."""
LATER = END - 3 * DAY
"""When the snapshot is taken in which they withdraw."""


NOON = END - DAY / 2
"""An instant within a day."""
EDGES = (NOON, *(END - n * HOLDOUT for n in range(4)), *(END - n * HOLDOUT - WINDOW for n in range(2)), NOON - RECENT)
"""Instants by which something is cut: cutoffs, ends of holdouts, beginnings of windows, the recent days."""


class Event(NamedTuple):
    """One raw event; times are whole minutes in UTC."""

    person: str
    item: str
    kind: str
    time: datetime
    value: float | None


Pairs = dict[tuple[str, str], tuple[float, bool]]
"""(person, item) -> confidence and whether it was bought."""


def raw_events(seed: int) -> list[Event]:
    """
    Return 30 people who view, put into carts, buy, and return, each a little of everything, on every day of the shop.

    Every tenth value is null. Three people only look. Returns follow an order by minutes or by weeks, take back a
    part, all or more than there was, and some come from people who never ordered the item. At each instant by which
    something is cut somebody views, and somebody sends back what he bought an hour before.
    """
    chance = random.Random(seed)
    events = []
    for number, edge in enumerate(EDGES, start=10):
        events += [
            Event(f"p{number}", "i7", "purchase", edge - DAY / 24, 2.0),
            Event(f"p{number}", "i7", "return", edge, 2.0),
            Event(f"p{number}", "i8", "view", edge, 1.0),
            Event(f"p{number + 1}", "i8", "purchase", edge, 2.0),
        ]

    def add(person: str, item: str, kind: str, time: datetime, value: float) -> None:
        if time < END:
            events.append(Event(person, item, kind, time, None if chance.random() < 0.1 else value))

    for number in range(30):
        person = f"p{number:02d}"
        for _ in range(30):
            item, time = f"i{chance.randrange(9)}", START + timedelta(minutes=chance.randrange(21 * 24 * 60))
            add(person, item, "view", time, 1.0)
            if number < 3 or chance.random() < 0.3:
                continue
            add(person, item, "cart", time + timedelta(minutes=1), 1.0)
            if chance.random() < 0.6:
                add(person, item, "purchase", time + timedelta(minutes=5), float(chance.randint(1, 4)))
            if chance.random() < 0.4:
                back = time + timedelta(minutes=chance.choice((5, 60, 2 * 24 * 60, 9 * 24 * 60)))
                add(person, item, "return", back, float(chance.randint(1, 5)))
    return events


def known(events: Iterable[Event], before: datetime, people: Collection[str] | None = None) -> list[Event]:
    """Return what an observer at *before* knows of *people*, all for None: events with the returns taken off."""
    orders: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    left = []
    told = [event for event in events if event.time < before and (people is None or event.person in people)]
    for event in sorted(told, key=lambda each: (each.time, each.kind == "return")):
        mine = orders[event.person, event.item]
        if event.kind == "return":
            take = event.value or 0.0
            for order in reversed(mine):
                taken = min(take, order[0])
                order[0] -= taken
                take -= taken
            continue
        amount = [event.value or 0.0]
        if event.kind == "purchase":
            mine.append(amount)
        left.append((event, amount))
    return [
        event if event.value is None else event._replace(value=amount[0])
        for event, amount in left
        if event.value is None or amount[0] > 0
    ]


def pairs_of(events: Iterable[Event], *, since: datetime, as_of: datetime) -> Pairs:
    """Return what *events*, as `known` gives them, teach at *as_of* with SETTINGS."""
    found: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0.0])
    for event in events:
        entry = found[event.person, event.item]
        if event.time >= since:
            age = (as_of - event.time) / DAY
            entry[0] += WEIGHTS[event.kind] * math.log1p(event.value or 0.0) * 0.5 ** (age / HALF_LIFE)
        entry[1] = max(entry[1], event.kind == "purchase")
    return {pair: (confidence, bool(bought)) for pair, (confidence, bought) in found.items()}


def wanted_of(events: Iterable[Event], pairs: Pairs, *, cutoff: datetime) -> dict[str, list[str]]:
    """Return person -> items bought from *cutoff* on and not before, among people and items that *pairs* teach."""
    people, items = ({pair[at] for pair, (confidence, _) in pairs.items() if confidence > 0} for at in (0, 1))
    found: dict[str, set[str]] = defaultdict(set)
    for event in events:
        fresh = (
            event.time >= cutoff
            and event.kind == "purchase"
            and not pairs.get((event.person, event.item), (0, False))[1]
        )
        if fresh and event.person in people and event.item in items:
            found[event.person].add(event.item)
    return {person: sorted(items) for person, items in found.items()}
