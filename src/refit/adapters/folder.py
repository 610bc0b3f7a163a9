"""Objects in a local folder, with the conditional writes that S3 has."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from refit.digests import sha256
from refit.errors import ConflictError
from refit.storage.driver import answer_surely
from refit.storage.object_store import StoredObject
from refit.storage.requests import DONE, REFUSED, Answer, Request


@dataclass(frozen=True)
class FolderObjectStore:
    """Stores one file per object below *root*; a write becomes visible whole or not at all."""

    root: Path

    @property
    def address(self) -> str:
        """Address of the store's root."""
        return str(self.root)

    def get(self, key: str) -> StoredObject | None:
        """Return the object, or None if there is none."""
        try:
            content = (self.root / key).read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None
        return StoredObject(content, sha256(content))

    def get_range(self, key: str, start: int, length: int) -> bytes | None:
        """Return *length* bytes from *start* on, or None if there is no object; reads no other part of the file."""
        try:
            with (self.root / key).open("rb") as stream:
                stream.seek(start)
                return stream.read(length)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def create(self, key: str, content: bytes) -> str:
        """Write a new object; ConflictError if it exists with other bytes."""
        with self._locked():
            found = self.get(key)
            if found is not None and found.content != content:
                raise ConflictError(f"{self.address}/{key} exists with other content; nothing was written")
            if found is None:
                self._write(key, content)
        return sha256(content)

    def swap(self, key: str, content: bytes, *, expected: str | None) -> str:
        """Replace the object only if its etag is still *expected*; accepted if it has the same bytes already."""
        with self._locked():
            found = self.get(key)
            if found is not None and found.content == content:
                return found.etag
            if (found.etag if found else None) != expected:
                raise ConflictError(f"{self.address}/{key} was changed by somebody else; read it again")
            self._write(key, content)
        return sha256(content)

    def keys(self, prefix: str) -> list[str]:
        """Return all keys that start with *prefix*, sorted."""
        files = (path for path in self.root.rglob("*") if path.is_file() and not path.name.startswith("."))
        return sorted(key for path in files if (key := path.relative_to(self.root).as_posix()).startswith(prefix))

    def delete(self, key: str) -> None:
        """Remove the object, if it exists."""
        with self._locked():
            target = self.root / key
            target.unlink(missing_ok=True)
            # Hadoop writes an unlisted checksum file beside each of its files, which alone would keep the folder.
            target.with_name(f".{target.name}.crc").unlink(missing_ok=True)
            for folder in target.parents:
                if folder == self.root or not folder.is_dir() or any(folder.iterdir()):
                    break
                folder.rmdir()

    def abort_uploads(self, before: datetime) -> int:
        """Return 0: a folder holds whole files only."""
        return 0

    def ask(self, request: Request) -> Answer:
        """Make *request* once; here every outcome is known."""
        return answer_surely(self, request, self._put, at=datetime.now(UTC))

    def _put(self, key: str, content: bytes, expected: str | None) -> Answer:
        with self._locked():
            found = self.get(key)
            if (found.etag if found else None) != expected:
                return Answer(REFUSED)
            self._write(key, content)
        return Answer(DONE, etag=sha256(content))

    def _write(self, key: str, content: bytes) -> None:
        target = self.root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(name, target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        # The kernel releases the lock when its holder dies, so a killed writer blocks no other.
        with (self.root / ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
