"""An object store in memory."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime

from refit.digests import sha256
from refit.errors import ConflictError
from refit.storage.driver import answer_surely
from refit.storage.object_store import StoredObject
from refit.storage.requests import DONE, REFUSED, Answer, Request


@dataclass(eq=False)
class FakeObjectStore:
    """Keeps objects in a dictionary, with the conditional writes that S3 has."""

    address: str = "memory://fake"
    objects: dict[str, bytes] = field(default_factory=dict)
    """Stored objects; a test may change them directly."""
    clock: datetime = datetime(2099, 1, 1, tzinfo=UTC)
    """Time of the store's clock; the default is after every instant that tests write."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def get(self, key: str) -> StoredObject | None:
        """Return the object, or None if there is none."""
        content = self.objects.get(key)
        return None if content is None else StoredObject(content, sha256(content))

    def get_range(self, key: str, start: int, length: int) -> bytes | None:
        """Return *length* bytes from *start* on, or None if there is no object."""
        content = self.objects.get(key)
        return None if content is None else content[start : start + length]

    def create(self, key: str, content: bytes) -> str:
        """Write a new object; ConflictError if it exists with other bytes."""
        return self.swap(key, content, expected=None)

    def swap(self, key: str, content: bytes, *, expected: str | None) -> str:
        """Replace the object only if its etag is still *expected*; accepted if it has the same bytes already."""
        with self._lock:
            found = self.get(key)
            if (found.etag if found else None) == expected:
                self.objects[key] = content
            elif found is None or found.content != content:
                raise ConflictError(f"{self.address}/{key} was written by somebody else first; nothing was overwritten")
            return sha256(content)

    def keys(self, prefix: str) -> list[str]:
        """Return all keys that start with *prefix*, sorted."""
        with self._lock:
            return sorted(key for key in self.objects if key.startswith(prefix))

    def delete(self, key: str) -> None:
        """Remove the object, if it exists."""
        with self._lock:
            self.objects.pop(key, None)

    def abort_uploads(self, before: datetime) -> int:
        """Return 0: this store has no multipart uploads."""
        return 0

    def ask(self, request: Request) -> Answer:
        """Make *request* once; here every outcome is known."""
        return answer_surely(self, request, self._put, at=self.clock)

    def _put(self, key: str, content: bytes, expected: str | None) -> Answer:
        with self._lock:
            found = self.get(key)
            if (found.etag if found else None) != expected:
                return Answer(REFUSED)
            self.objects[key] = content
        return Answer(DONE, etag=sha256(content))
