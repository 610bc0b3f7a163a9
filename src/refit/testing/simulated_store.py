"""An object store for the simulator, which checks every effect at the moment it happens."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from refit.batches.pointer import LIVE
from refit.storage.requests import DONE, MISSING, REFUSED, Answer, Create, Delete, Get, List, Request, Swap
from refit.storage.store_clock import stamp

_START = datetime(2026, 1, 1, tzinfo=UTC)
_ANY = "*"
"""Etag that matches any object, as in HTTP."""


def prefix_of(key: str) -> str:
    """Return the batch to which the file *key* belongs."""
    return key.rpartition("/")[0]


class SimulatedStore:
    """Keeps objects and every version of every pointer, and reports at once a pointer to missing files."""

    def __init__(self, clock: Callable[[], datetime] = lambda: _START) -> None:
        self._clock = clock
        self.objects: dict[str, tuple[bytes, str]] = {}
        self.versions: dict[str, list[dict[str, Any]]] = {}
        """Pointer -> its versions, oldest first."""
        self.violations: list[str] = []
        self.requests = 0
        self._etags = 0
        self._needed: dict[str, set[str]] = {}
        """Pointer -> batches that must not be deleted."""

    def ask(self, request: Request) -> Answer:
        """Answer *request* at once."""
        self.requests += 1
        return replace(self._answer(request), at=self._clock())

    def _answer(self, request: Request) -> Answer:
        match request:
            case Get(key):
                found = self.objects.get(key)
                return Answer(DONE, *found) if found else Answer(MISSING)
            case Create(key, content):
                return Answer(REFUSED) if key in self.objects else self._write(key, content)
            case Swap(key, content, etag):
                found = self.objects.get(key)
                return self._write(key, content) if found and etag in {found[1], _ANY} else Answer(REFUSED)
            case Delete(key):
                return self._delete(key)
            case List(prefix):
                return Answer(DONE, keys=tuple(key for key in self.objects if key.startswith(prefix)))

    def is_whole(self, pointer: Mapping[str, Any]) -> bool:
        """Return whether every file that a reader of *pointer* needs exists."""
        manifest, index = (self.objects.get(pointer[name]) for name in ("manifest", "index"))
        if manifest is None or index is None or json.loads(index[0])["places"]["key"] not in self.objects:
            return False
        return all(part["key"] in self.objects for part in json.loads(manifest[0])["parts"])

    def _write(self, key: str, content: bytes) -> Answer:
        self._etags += 1
        etag = str(self._etags)
        self.objects[key] = (content, etag)
        if key == LIVE or key.startswith("dates/"):
            self._note(key, json.loads(content))
        return Answer(DONE, etag=etag)

    def _note(self, key: str, pointer: dict[str, Any]) -> None:
        self.versions.setdefault(key, []).append(pointer)
        named = {prefix_of(pointer["manifest"])} if "batch" in pointer else set()
        if named and not self.is_whole(pointer):
            self.violations.append("a pointer names a batch that is not whole")
        if key == LIVE:
            kept = [move for move in pointer["history"] if not move.get("collected")]
            # Batches that the history offers for a rollback are as protected as the live one.
            named |= {prefix_of(move["manifest"]) for move in kept}
        self._needed[key] = named
        if pointer.get("horizon", "") > stamp(self._clock()):
            self.violations.append("a horizon lies after the clock of the store")

    def _delete(self, key: str) -> Answer:
        self.objects.pop(key, None)
        if any(prefix_of(key) in needed for needed in self._needed.values()):
            self.violations.append("a file was deleted that a pointer needs")
        return Answer(DONE)
