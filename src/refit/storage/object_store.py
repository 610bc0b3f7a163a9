"""The object store interface of Refit: whole objects, byte ranges and conditional writes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from refit.storage.requests import Answer, Request


@dataclass(frozen=True)
class StoredObject:
    """The bytes of an object and its etag for compare-and-swap."""

    content: bytes
    etag: str


class ObjectStore(Protocol):
    """A folder of immutable-by-convention objects with conditional writes."""

    @property
    def address(self) -> str:
        """Address of the store's root, for messages and receipts."""

    def get(self, key: str) -> StoredObject | None:
        """Return the object, or None if there is none."""

    def get_range(self, key: str, start: int, length: int) -> bytes | None:
        """
        Return *length* bytes from *start* on, fewer if the object ends before; None if there is no object.

        *start* is at least 0, *length* at least 1.
        """

    def create(self, key: str, content: bytes) -> str:
        """Write a new object and return its etag; ConflictError if it exists with other bytes."""

    def swap(self, key: str, content: bytes, *, expected: str | None) -> str:
        """
        Replace the object only if its etag is still *expected* (None: only if there is none); return the new etag.

        If the same bytes are already there, nothing is raised, because an earlier answer may have been lost.

        Raises:
            ConflictError: another writer was first.
        """

    def delete(self, key: str) -> None:
        """Remove the object, if it exists."""

    def keys(self, prefix: str) -> list[str]:
        """Return all keys that start with *prefix*, sorted."""

    def abort_uploads(self, before: datetime) -> int:
        """
        Abort unfinished multipart uploads begun before *before*, and return their number.

        Their parts are not objects and are not listed, but they cost money.
        """

    def ask(self, request: Request) -> Answer:
        """
        Make *request* once, without retries, and return what is known afterwards.

        The caller must find out whether a failed write took effect. Errors that a retry cannot fix, such as a missing
        bucket or refused credentials, are raised.
        """
