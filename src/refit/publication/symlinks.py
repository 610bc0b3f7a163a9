"""
Symlink manifest: the live batch for SQL engines that read a list of files (Athena, Trino, Hive).

A table with `SymlinkTextInputFormat` at the folder `symlink` reads the files that `symlink/manifest.txt` names, so one
object switches the whole table at once.
"""

from __future__ import annotations

from refit.errors import ConflictError, NothingPublishedError
from refit.publication.read import read_manifest
from refit.storage.object_store import ObjectStore

SYMLINKS = "symlink/manifest.txt"
_TRIES = 10
"""Number of attempts; each one after the second means that another writer changed the object or the pointer."""


def write_symlinks(store: ObjectStore) -> bool:
    """
    Make the symlink manifest name the part files of the live batch; return whether it changed.

    It returns only when the object, read first, matches the pointer, read second. So none of several writers leaves an
    older batch behind, and a call after a crash repairs what the crash left.

    Nothing is written before anything is live.

    Raises:
        ConflictError: the object or the pointer kept changing.
    """
    changed = False
    for _ in range(_TRIES):
        stored = store.get(SYMLINKS)
        try:
            manifest = read_manifest(store)
        except NothingPublishedError:
            return False
        content = "".join(f"{store.address}/{part['key']}\n" for part in manifest["parts"]).encode()
        if stored is not None and stored.content == content:
            return changed
        try:
            store.swap(SYMLINKS, content, expected=stored.etag if stored else None)
            changed = True
        except ConflictError:
            continue
    raise ConflictError(f"{store.address}/{SYMLINKS} or the live batch changed {_TRIES} times meanwhile; try again")
