"""
Copies a batch, verified, to a local folder, for loaders that read files (Redis, COPY of a warehouse).

    FOLDER/batch=ID/part-*.parquet, manifest.json
    FOLDER/current -> batch=ID

A copy appears by one rename after every byte of it has been checked and synced to disk; then `current` moves to it by
another rename. So whenever the process dies, `current` is absent or leads to a whole batch. The previous copy stays
until the next one is made, so that a loader that has resolved `current` can finish.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePosixPath
from typing import Any

from refit.digests import sha256
from refit.errors import TransientError
from refit.publication.read import PointerState, follow, read_named
from refit.storage.object_store import ObjectStore

_MANIFEST = "manifest.json"
_INCOMING = ".incoming"
"""Folder for copies in progress; the next copy removes what a killed one left there."""
_OUTGOING = ".outgoing"
"""Folder for copies that are being deleted."""


class CopyFailedError(TransientError):
    """The folder could not hold the copy; nothing of it became visible."""


@dataclass(frozen=True, kw_only=True)
class Copied:
    """A complete, verified copy of one batch."""

    folder: Path
    """Folder with the files of the batch; `current` points to it."""
    copied: bool
    """False if a complete copy already existed; it was verified and left unchanged."""
    generation: int
    run_date: str
    batch: str
    files: int
    """Number of part files, without the manifest."""
    rows: int
    bytes: int
    """Total size of the part files."""


def copy_live(store: ObjectStore, folder: Path, run_date: date | str | None = None) -> Copied:
    """
    Make `current` in *folder* a verified copy of the live batch, or of the batch of *run_date*.

    Two copies to one folder wait for each other. Only entries made by this module are replaced or deleted.

    Raises:
        NothingPublishedError: there is nothing to copy.
        DamagedBatchError: the store holds other bytes than the manifest promises.
        CopyFailedError: the disk is full, or the folder cannot be written.
    """
    try:
        with _alone(folder):
            _delete(folder / _OUTGOING)
            try:
                copied = follow(store, lambda state: _copy(store, folder, state), run_date)
            finally:
                _delete(folder / _INCOMING)
            _point(folder, copied.folder.name)
            return copied
    except OSError as error:
        raise CopyFailedError(
            f"cannot copy the lists of {store.address} to {folder}: {error.strerror or error}; what was there is "
            "unchanged; make room, or give a folder that can be written, and copy again"
        ) from error


def _copy(store: ObjectStore, folder: Path, state: PointerState) -> Copied:
    batch = state.target
    content = read_named(store, batch.manifest, batch.manifest_sha256, "manifest")
    parts = json.loads(content)["parts"]
    target = folder / f"batch={batch.batch}"
    whole = _is_whole(target, content, parts)
    if not whole:
        incoming = folder / _INCOMING
        _delete(incoming)
        incoming.mkdir()
        for part in parts:
            _write(incoming / _name(part), read_named(store, part["key"], part["sha256"], "manifest"))
        _write(incoming / _MANIFEST, content)
        _sync(incoming)
        _withdraw(target)
        incoming.rename(target)
        _sync(folder)
    return Copied(
        folder=target,
        copied=not whole,
        generation=state.generation,
        run_date=batch.run_date,
        batch=batch.batch,
        files=len(parts),
        rows=sum(part["rows"] for part in parts),
        bytes=sum(part["bytes"] for part in parts),
    )


def _is_whole(target: Path, manifest: bytes, parts: Sequence[Mapping[str, Any]]) -> bool:
    promised = {_name(part): part["sha256"] for part in parts} | {_MANIFEST: sha256(manifest)}
    try:
        return all(sha256((target / name).read_bytes()) == digest for name, digest in promised.items())
    except FileNotFoundError:
        return False


def _point(folder: Path, name: str) -> None:
    """Move `current` to the copy *name*; of the other copies only the previous one stays."""
    current, link = folder / "current", folder / ".current"
    before = os.readlink(current) if current.is_symlink() else name
    if before != name or not current.is_symlink():
        link.unlink(missing_ok=True)
        link.symlink_to(name)
        os.replace(link, current)
        _sync(folder)
        for copy in folder.glob("batch=*"):
            if copy.name not in {name, before}:
                _put_aside(copy)


def _withdraw(target: Path) -> None:
    """Remove a damaged copy at *target*, if there is one, after making sure that `current` does not lead there."""
    current = target.parent / "current"
    if current.is_symlink() and os.readlink(current) == target.name:
        current.unlink()
    _put_aside(target)


def _name(part: Mapping[str, Any]) -> str:
    return PurePosixPath(part["key"]).name


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync(folder: Path) -> None:
    """Sync the entries of *folder*, so that they survive a power loss."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _put_aside(copy: Path) -> None:
    """Delete a copy so that no reader sees half of it."""
    if copy.exists():
        outgoing = copy.parent / _OUTGOING
        copy.rename(outgoing)
        _delete(outgoing)


def _delete(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    # The kernel releases the lock when its holder dies, so a killed copy blocks no other.
    with (folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
