"""
Publication: an immutable batch, a manifest that names its files, an index of its people, one pointer that is swapped.

Readers follow `live.json` to the manifest to the files, so they see the whole old batch or the whole new one. Who wants
one person follows `live.json` to the index to the few bytes of a file that hold them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from refit.digests import canonical_json, sha256
from refit.errors import ConflictError, DamagedBatchError, NotFoundError, NothingPublishedError
from refit.interfaces import ModelVersion, ObjectStore
from refit.lists.batch_index import find_person, make_index, read_row, without_places

LIVE = "live.json"
_FORMAT = "refit-live/1"
_TRIES = 10
"""Compare-and-swap is tried so often; each lost try means that another batch went live."""


@dataclass(frozen=True)
class Published:
    """Where a batch stands after an attempt to make it live."""

    live: bool
    generation: int
    """Of the pointer as it now is; it grows by one with each swap."""
    run_date: str
    """Of the batch that is live now."""
    batch: str


@dataclass(frozen=True)
class Sealed:
    """What the pointer promises of a judged batch."""

    manifest_sha256: str
    index_sha256: str | None
    """None for a batch whose part files do not say where their row groups lie."""


def write_commit(
    store: ObjectStore, prefix: str, *, champion: ModelVersion, parts: Sequence[Mapping[str, Any]], **facts: Any
) -> None:
    """Write what scoring made: the model, the part files and further *facts*; a batch without it was never finished."""
    model = {
        "name": champion.name,
        "version": champion.version,
        "digest": champion.digest,
        "cutoff": champion.cutoff,
    }
    commit = {**facts, "batch": prefix.rpartition("=")[2], "model": model, "parts": list(parts)}
    store.create(f"{prefix}/commit.json", canonical_json(commit))


def read_commit(store: ObjectStore, prefix: str) -> dict[str, Any]:
    """Return what scoring made; NotFoundError when it was never finished."""
    stored = store.get(f"{prefix}/commit.json")
    if stored is None:
        raise NotFoundError(f"{store.address}/{prefix} holds no finished batch; run score_users first")
    commit: dict[str, Any] = json.loads(stored.content)
    return commit


def write_manifest(store: ObjectStore, prefix: str, commit: Mapping[str, Any], verdict: Mapping[str, Any]) -> Sealed:
    """Write the index and the manifest of a judged batch, whatever the verdict; nothing that exists is changed."""
    index = make_index(commit)
    manifest = {"format": "refit-manifest/1", **without_places(commit), "verdict": verdict}
    promised = None
    if index is not None:
        content = canonical_json(index)
        promised = sha256(content)
        store.create(f"{prefix}/index.json", content)
        manifest["index"] = {"key": f"{prefix}/index.json", "bytes": len(content), "sha256": promised}
    content = canonical_json(manifest)
    store.create(f"{prefix}/manifest.json", content)
    return Sealed(sha256(content), promised)


def go_live(store: ObjectStore, prefix: str, sealed: Sealed, commit: Mapping[str, Any]) -> Published:
    """
    Point `live.json` at the batch, unless a batch for a later date is live: a backfill leaves the pointer alone.

    The same batch again changes nothing.
    """
    for _ in range(_TRIES):
        stored = store.get(LIVE)
        live = json.loads(stored.content) if stored else None
        if live is not None and (live["batch"] == commit["batch"] or live["run_date"] > commit["run_date"]):
            return Published(live["batch"] == commit["batch"], live["generation"], live["run_date"], live["batch"])
        pointer = {
            "format": _FORMAT,
            "generation": live["generation"] + 1 if live else 1,
            "run_date": commit["run_date"],
            "batch": commit["batch"],
            "manifest": f"{prefix}/manifest.json",
            "manifest_sha256": sealed.manifest_sha256,
            "model": commit["model"],
        }
        if sealed.index_sha256 is not None:
            pointer |= {"index": f"{prefix}/index.json", "index_sha256": sealed.index_sha256}
        try:
            store.swap(LIVE, canonical_json(pointer), expected=stored.etag if stored else None)
        except ConflictError:
            continue
        return Published(True, pointer["generation"], pointer["run_date"], pointer["batch"])
    raise ConflictError(
        f"{store.address}/{LIVE} changed {_TRIES} times while batch {commit['batch']} waited; try again"
    )


def read_manifest(store: ObjectStore) -> dict[str, Any]:
    """Return the manifest of the live batch, checked against the pointer."""
    live = _live(store)
    content = _checked(store, live["manifest"], live["manifest_sha256"])
    manifest: dict[str, Any] = json.loads(content)
    return manifest


def read_live_batch(store: ObjectStore) -> pa.Table:
    """Return the rows of the live batch, every file checked against the manifest."""
    tables = [
        pq.read_table(io.BytesIO(_checked(store, part["key"], part["sha256"])))
        for part in read_manifest(store)["parts"]
    ]
    return pa.concat_tables(tables)


def read_live_person(store: ObjectStore, user_id: str) -> dict[str, Any] | None:
    """
    Return the row of *user_id* in the live batch, or None when it holds no such person.

    Reads the pointer, the index and one range of one part file, each checked against a SHA-256.

    Raises:
        NothingPublishedError: no batch was ever published.
        NotFoundError: the live batch has no index.
        DamagedBatchError: the index or the range differs from what was promised, or is gone.
    """
    live = _live(store)
    if "index" not in live:
        raise NotFoundError(
            f"the live batch {live['batch']} at {store.address} was published without an index, so one person cannot "
            "be read from it alone; score and publish again, or read the whole batch with refit.read_live"
        )
    place = find_person(json.loads(_checked(store, live["index"], live["index_sha256"])), user_id)
    if place is None:
        return None
    content = store.get_range(place.key, place.offset, place.bytes)
    if content is None:
        raise DamagedBatchError(f"{store.address}/{place.key} is gone although a live index names it; publish again")
    return read_row(place, content, user_id)


def _live(store: ObjectStore) -> dict[str, Any]:
    stored = store.get(LIVE)
    if stored is None:
        raise NothingPublishedError(f"nothing is published at {store.address}: there is no {LIVE}")
    live: dict[str, Any] = json.loads(stored.content)
    return live


def _checked(store: ObjectStore, key: str, expected: str) -> bytes:
    stored = store.get(key)
    if stored is None:
        raise DamagedBatchError(f"{store.address}/{key} is gone although a live manifest names it; publish again")
    if sha256(stored.content) != expected:
        raise DamagedBatchError(f"{store.address}/{key} differs from its SHA-256 in the manifest; publish again")
    return stored.content
