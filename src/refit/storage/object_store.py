"""What Refit asks of an object store: whole objects, ranges of bytes and conditional writes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from refit.storage.requests import Answer, Request


@dataclass(frozen=True)
class StoredObject:
    """Bytes and the tag that a compare-and-swap needs."""

    content: bytes
    etag: str


class ObjectStore(Protocol):
    """A folder of immutable-by-convention objects with conditional writes."""

    @property
    def address(self) -> str:
        """Where this store begins, for messages and receipts."""

    def get(self, key: str) -> StoredObject | None:
        """Return the object, or None when there is none."""

    def get_range(self, key: str, start: int, length: int) -> bytes | None:
        """
        Return *length* bytes from *start* on, or None when there is no object; fewer where the object ends before.

        *start* is at least 0, *length* at least 1.
        """

    def create(self, key: str, content: bytes) -> str:
        """Write a new object and return its etag; the same bytes again are fine, other bytes raise ConflictError."""

    def swap(self, key: str, content: bytes, *, expected: str | None) -> str:
        """
        Replace the object only if its etag is still *expected* (None: only if there is none); return the new etag.

        When the same bytes are already there, a lost answer may be the reason, and nothing is raised.

        Raises:
            ConflictError: somebody else wrote first.
        """

    def delete(self, key: str) -> None:
        """Remove the object; one that is not there is no error."""

    def keys(self, prefix: str) -> list[str]:
        """Return all keys that start with *prefix*, sorted."""

    def abort_uploads(self, before: datetime) -> int:
        """
        Abort uploads in parts that somebody began before *before* and has not finished, and return how many.

        Their parts are no objects, no list shows them, and they are paid for.
        """

    def ask(self, request: Request) -> Answer:
        """
        Make *request* once and return what is known afterwards; nothing is tried again here.

        Whether a write that failed was done is for the caller to find out. What no other try can change, such as a
        bucket that does not exist or credentials that are refused, is raised.
        """
