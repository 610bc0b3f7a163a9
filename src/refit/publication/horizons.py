"""
Horizons: how one that lies in the future is lowered, so that lists can go live again.

Every batch that was begun before the horizon may be gone. So it comes down to what the clock of the store says, and no
further: what is begun from then on is deleted by nobody, and what was begun before must be scored again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from refit.batches.pointer import LIVE, Pointer, date_pointer
from refit.publication.pointer_protocol import change, list_keys, look
from refit.storage.driver import drive
from refit.storage.object_store import ObjectStore
from refit.storage.requests import Conversation
from refit.storage.store_clock import require_clock, stamp

_DATES = date_pointer("*").partition("*")[0]


@dataclass(frozen=True)
class Ahead:
    """Horizons that lie after the clock of the store."""

    clock: str
    """Stamp of what the clock said."""
    horizons: Mapping[str, str]
    """Key of a pointer -> its horizon."""


def horizons_ahead(store: ObjectStore) -> Ahead:
    """Return the horizons that are still to come, with what time it is; two requests and one for each date."""
    return drive(store, _looking())


def lower_horizons(store: ObjectStore, keys: Iterable[str], to: str) -> None:
    """Lower the horizon of the pointers *keys* to the stamp *to*, each by compare-and-swap; a lower one stays."""
    for key in keys:
        drive(store, change(key, lambda pointer: _lowered(pointer, to)))


def _looking() -> Conversation[Ahead]:
    seen = yield from look(LIVE)
    clock = stamp(require_clock(seen.at))
    found = {LIVE: seen}
    for key in (yield from list_keys(_DATES)):
        found[key] = yield from look(key)
    pointers = {key: seen.pointer for key, seen in found.items() if seen.pointer is not None}
    return Ahead(clock, {key: pointer.horizon for key, pointer in pointers.items() if pointer.horizon > clock})


def _lowered(pointer: Pointer, to: str) -> Pointer:
    return replace(pointer, horizon=min(pointer.horizon, to))
