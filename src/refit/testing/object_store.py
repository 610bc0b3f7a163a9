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
    """What is stored; a test may change it behind everybody's back."""
    clock: datetime = datetime(2099, 1, 1, tzinfo=UTC)
    """What its clock says; as given, after everything that a test writes."""
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def get(self, key: str) -> StoredObject | None:
        """Return the object, or None when there is none."""
        content = self.objects.get(key)
        return None if content is None else StoredObject(content, sha256(content))

    def get_range(self, key: str, start: int, length: int) -> bytes | None:
        """Return *length* bytes from *start* on, or None when there is no object."""
        content = self.objects.get(key)
        return None if content is None else content[start : start + length]

    def create(self, key: str, content: bytes) -> str:
        """Write a new object; the same bytes again are fine, other bytes raise ConflictError."""
        return self.swap(key, content, expected=None)

    def swap(self, key: str, content: bytes, *, expected: str | None) -> str:
        """Replace the object only if its etag is still *expected*; the same bytes again are fine."""
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
        """Remove the object; one that is not there is no error."""
        with self._lock:
            self.objects.pop(key, None)

    def abort_uploads(self, before: datetime) -> int:
        """Return 0: here objects come whole."""
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
