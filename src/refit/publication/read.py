"""
Reading: from a pointer to the manifest to the files, every byte checked, so one whole batch or an error.

Garbage collection may overtake a slow reader: what its pointer named is gone because the pointer has moved on since.
Such a reader starts again from the pointer. Bytes that differ from their digest are an error at once.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from refit.batches.index import find_person, read_row
from refit.batches.pointer import LIVE, Target, date_pointer, read_pointer
from refit.digests import sha256
from refit.errors import ConfigurationError, DamagedBatchError, NotFoundError, NothingPublishedError, TransientError
from refit.storage.object_store import ObjectStore

_STARTS = 5
"""A reader starts so often; each further start means that what it followed was replaced and collected meanwhile."""
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class PointerState:
    """What a pointer names and how often it has moved; a collection that only raises its horizon changes neither."""

    generation: int
    target: Target


class GoneError(Exception):
    """An object that was named by a pointer, a manifest or an index is not there."""

    def __init__(self, key: str, named_by: str) -> None:
        super().__init__(key)
        self.key = key
        self.named_by = named_by


def pointer_key(run_date: date | str | None) -> str:
    """Return the key of the pointer to what is live, or to the batch of *run_date* (a date or YYYY-MM-DD)."""
    return LIVE if run_date is None else date_pointer(_day(run_date))


def batch_prefix(run_date: date | str, batch: str) -> str:
    """Return the prefix of the batch with the id *batch*."""
    return f"batches/run_date={_day(run_date)}/batch={batch}"


def read_pointer_state(store: ObjectStore, run_date: date | str | None = None) -> PointerState:
    """
    Return what is live, or what is current for *run_date*; one request.

    Raises:
        NothingPublishedError: there is no such pointer, or what it named was collected.
        DamagedBatchError: it is no pointer that this Refit can read.
    """
    key = pointer_key(run_date)
    when = "" if run_date is None else f" for {run_date}"
    stored = store.get(key)
    if stored is None:
        raise NothingPublishedError(f"nothing is published{when} at {store.address}: there is no {key}")
    pointer = read_pointer(stored.content, f"{store.address}/{key}")
    if pointer.target is None:
        raise NothingPublishedError(
            f"{store.address}/{key} names no lists: those{when} were never published or have been collected; score "
            "and publish that date again"
        )
    return PointerState(pointer.generation, pointer.target)


def follow(store: ObjectStore, read: Callable[[PointerState], _Result], run_date: date | str | None = None) -> _Result:
    """
    Return what *read* makes of what is live, starting again when the pointer has moved and what it named is gone.

    *read* is called up to five times; it reads with `read_named` and leaves nothing behind when that raises.

    Raises:
        DamagedBatchError: something is gone that the pointer still names, or differs from its digest.
        TransientError: the pointer moved on during each of the starts.
    """
    standing = read_pointer_state(store, run_date)
    for _ in range(_STARTS):
        try:
            return read(standing)
        except (GoneError, TransientError) as failure:
            # To a reader that may not list, S3 says of an object that is gone that it is forbidden.
            before, standing = standing, read_pointer_state(store, run_date)
            if standing != before:
                continue
            if isinstance(failure, GoneError):
                raise DamagedBatchError(
                    f"{store.address}/{failure.key} is gone although a live {failure.named_by} names it; publish again"
                ) from failure
            raise
    raise TransientError(
        f"{store.address}/{pointer_key(run_date)} moved on during each of {_STARTS} reads and what it had named was "
        "collected; read again, and give readers more time in [retention] of shop.toml"
    )


def read_named(store: ObjectStore, key: str, expected: str, named_by: str) -> bytes:
    """
    Return the object *key*, whose SHA-256 is *expected*.

    Raises:
        GoneError: there is no such object.
        DamagedBatchError: its bytes are other ones.
    """
    stored = store.get(key)
    if stored is None:
        raise GoneError(key, named_by)
    if sha256(stored.content) != expected:
        raise DamagedBatchError(f"{store.address}/{key} differs from its SHA-256 in the {named_by}; publish again")
    return stored.content


def read_manifest(store: ObjectStore, run_date: date | str | None = None) -> dict[str, Any]:
    """Return the manifest of the live batch, or of the batch of *run_date*, checked against the pointer."""
    return follow(store, lambda standing: _manifest(store, standing), run_date)


def read_live_batch(store: ObjectStore, run_date: date | str | None = None) -> pa.Table:
    """
    Return the rows of the live batch, or of the batch of *run_date*, every file checked against the manifest.

    One request for the pointer, one for the manifest and one for each part file.
    """
    return follow(store, lambda standing: _rows(store, _manifest(store, standing)), run_date)


def read_staged_batch(store: ObjectStore, run_date: date | str, batch: str) -> pa.Table:
    """
    Return the rows of the batch with the id *batch* of *run_date*, published or refused, each file checked.

    No pointer promises anything of the manifest of a refused batch, so the manifest itself is taken at its word.

    Raises:
        NotFoundError: the batch was never judged, or has been collected.
    """
    key = f"{batch_prefix(run_date, batch)}/manifest.json"
    stored = store.get(key)
    if stored is None:
        raise NotFoundError(f"there is no {store.address}/{key}; the batch was never judged or has been collected")
    try:
        return _rows(store, json.loads(stored.content))
    except GoneError as gone:
        raise NotFoundError(
            f"{store.address}/{gone.key} is gone although its manifest names it; the batch is being collected"
        ) from gone


def read_live_person(store: ObjectStore, user_id: str, run_date: date | str | None = None) -> dict[str, Any] | None:
    """
    Return the row of *user_id* in the live batch, or in that of *run_date*, or None when it holds no such person.

    Reads the pointer, the index, one range of the places and one of a part file, each checked against a SHA-256.

    Raises:
        NothingPublishedError: no batch was ever published.
        DamagedBatchError: the index or the range differs from what was promised, or is gone.
    """
    return follow(store, lambda standing: _row(store, standing.target, user_id), run_date)


def _manifest(store: ObjectStore, standing: PointerState) -> dict[str, Any]:
    target = standing.target
    manifest: dict[str, Any] = json.loads(read_named(store, target.manifest, target.manifest_sha256, "manifest"))
    return manifest


def _row(store: ObjectStore, target: Target, user_id: str) -> dict[str, Any] | None:
    index = json.loads(read_named(store, target.index, target.index_sha256, "manifest"))
    place = find_person(index, user_id, partial(_range, store))
    if place is None:
        return None
    return read_row(place, _range(store, place.key, place.offset, place.bytes), user_id)


def _range(store: ObjectStore, key: str, start: int, length: int) -> bytes:
    content = store.get_range(key, start, length)
    if content is None:
        raise GoneError(key, "index")
    return content


def _rows(store: ObjectStore, manifest: Mapping[str, Any]) -> pa.Table:
    tables = [
        pq.read_table(io.BytesIO(read_named(store, part["key"], part["sha256"], "manifest")))
        for part in manifest["parts"]
    ]
    return pa.concat_tables(tables)


def _day(run_date: date | str) -> str:
    try:
        return date.fromisoformat(str(run_date)).isoformat()
    except ValueError as error:
        raise ConfigurationError(f"run_date={str(run_date)!r} is no date; write YYYY-MM-DD") from error
