"""
Horizons: lowers a horizon that lies in the future, so that lists can go live again.

Every batch begun before the horizon may have been deleted. So the horizon is lowered to the clock of the store and no
further: batches begun from then on are not deleted, and earlier ones must be scored again.
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
    """Horizons that are ahead of the store's clock."""

    clock: str
    """Stamp of the store's clock."""
    horizons: Mapping[str, str]
    """Key of a pointer -> its horizon."""


def horizons_ahead(store: ObjectStore) -> Ahead:
    """Return the horizons ahead of the store's clock, and its time; two requests and one per date."""
    return drive(store, _looking())


def lower_horizons(store: ObjectStore, keys: Iterable[str], to: str) -> None:
    """Lower the horizons of the pointers *keys* to the stamp *to* by compare-and-swap; lower ones stay."""
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
