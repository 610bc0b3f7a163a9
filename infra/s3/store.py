"""
What the S3 server keeps on disk between two starts.

Bytes lie under their SHA-256 in `blobs/`, so an object that did not change is not written again. `index.json`
names all objects and is replaced by one rename after every byte it names is on disk: whenever the server is
killed, the state of the last finished save is whole. Kept are buckets and the current version of each object
with ETag, metadata, time and checksum; older versions, tags, policies and unfinished uploads are not kept.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import S3Backend, s3_backends

from infra.errors import StackError

_DIGEST = "_refit_sha256"
_CHECKSUM = ("checksum_algorithm", "checksum_value", "checksum_type", "checksum_parts")


class ChangedMeanwhileError(Exception):
    """An object was replaced while it was being saved; the next save will hold the newer one."""


def backend() -> S3Backend:
    """Return the objects that the server serves."""
    return s3_backends[DEFAULT_ACCOUNT_ID]["aws"]


class SavedObjects:
    """The folder of one server's objects; at most one server uses it at a time."""

    def __init__(self, folder: Path) -> None:
        self._blobs = folder / "blobs"
        self._index = folder / "index.json"
        self._blobs.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = (folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackError(f"another S3 server already keeps its objects in {folder}") from error

    def load(self) -> int:
        """Put the saved objects into the server; return how many."""
        if not self._index.exists():
            return 0
        saved = json.loads(self._index.read_text(encoding="utf-8"))
        server = backend()
        for bucket in saved["buckets"]:
            server.create_bucket(bucket["name"], bucket["region"])
            for entry in bucket["objects"]:
                self._load_object(server, bucket["name"], entry)
        return sum(len(bucket["objects"]) for bucket in saved["buckets"])

    def save(self, snapshot_lock: AbstractContextManager[Any]) -> int:
        """
        Save what the server holds now; return the number of objects.

        *snapshot_lock* keeps requests out while the list of objects, but not their bytes, is taken.

        Raises:
            ChangedMeanwhileError: an object of the list was replaced before its bytes were read.
        """
        with snapshot_lock:
            buckets = [
                (bucket.name, bucket.region_name, list(_current_objects(bucket)))
                for bucket in backend().buckets.values()
            ]
        saved: list[dict[str, Any]] = [
            {"name": name, "region": region, "objects": [self._save_object(key) for key in keys]}
            for name, region, keys in buckets
        ]
        _sync_folder(self._blobs)
        _write_synced(self._index, json.dumps({"buckets": saved}).encode())
        _sync_folder(self._index.parent)
        named = {entry["blob"] for bucket in saved for entry in bucket["objects"]}
        for blob in self._blobs.iterdir():
            if blob.name not in named:
                blob.unlink()
        return sum(len(keys) for _, _, keys in buckets)

    def _load_object(self, server: S3Backend, bucket: str, entry: dict[str, Any]) -> None:
        path = self._blobs / entry["blob"]
        try:
            content = path.read_bytes()
        except OSError as error:
            raise StackError(f"the bytes of s3://{bucket}/{entry['key']} cannot be read: {error}") from error
        if hashlib.sha256(content).hexdigest() != entry["blob"]:
            raise StackError(f"the bytes of s3://{bucket}/{entry['key']} were damaged on disk: {path}")
        key = server.put_object(bucket, entry["key"], content, etag=entry["etag"], disable_notification=True)
        key.set_metadata(dict(entry["metadata"]), replace=False)
        key.last_modified = datetime.fromisoformat(entry["modified"])
        for name in _CHECKSUM:
            setattr(key, name, entry[name])
        setattr(key, _DIGEST, entry["blob"])

    def _save_object(self, key: Any) -> dict[str, Any]:
        digest: str | None = getattr(key, _DIGEST, None)
        if digest is None:
            try:
                content = key.value
            except ValueError as error:  # its buffer was closed because another object took its name
                raise ChangedMeanwhileError from error
            digest = hashlib.sha256(content).hexdigest()
            path = self._blobs / digest
            if not path.exists():
                _write_synced(path, content)
            setattr(key, _DIGEST, digest)
        return {
            "key": key.name,
            "blob": digest,
            "etag": key.etag.strip('"'),
            "metadata": dict(key.metadata),
            "modified": key.last_modified.isoformat(),
            **{name: getattr(key, name) for name in _CHECKSUM},
        }


def _current_objects(bucket: Any) -> Iterator[Any]:
    for name in bucket.keys:
        versions = bucket.keys.getlist(name)
        # A delete marker of a versioned bucket has no bytes.
        if versions and hasattr(versions[-1], "value"):
            yield versions[-1]


def _write_synced(path: Path, content: bytes) -> None:
    """Make *path* hold *content* whole or stay as it was; the caller syncs the folder."""
    partial = path.with_name(f".{path.name}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
