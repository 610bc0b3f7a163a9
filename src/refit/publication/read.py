"""
Reading: from a pointer to the manifest to the files, every byte checked: one whole batch or an error.

Garbage collection may overtake a slow reader: the files that its pointer named are gone because the pointer has moved
on. Such a reader starts again from the pointer. Bytes that differ from their digest are an error at once.
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

_ATTEMPTS = 5
"""Number of attempts of a reader; each further one means that its batch was replaced and collected meanwhile."""
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class PointerState:
    """The target and the generation of a pointer; raising its horizon changes neither."""

    generation: int
    target: Target


class GoneError(Exception):
    """An object named by a pointer, a manifest or an index does not exist."""

    def __init__(self, key: str, named_by: str) -> None:
        super().__init__(key)
        self.key = key
        self.named_by = named_by


def pointer_key(run_date: date | str | None) -> str:
    """Return the key of the live pointer, or of the pointer of *run_date* (a date or YYYY-MM-DD)."""
    return LIVE if run_date is None else date_pointer(_day(run_date))


def batch_prefix(run_date: date | str, batch: str) -> str:
    """Return the prefix of the batch with the id *batch*."""
    return f"batches/run_date={_day(run_date)}/batch={batch}"


def read_pointer_state(store: ObjectStore, run_date: date | str | None = None) -> PointerState:
    """
    Return the state of the live pointer, or of the pointer of *run_date*; one request.

    Raises:
        NothingPublishedError: there is no such pointer, or the batch that it named was collected.
        DamagedBatchError: the object is not a pointer that this version of Refit can read.
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
    Return the result of *read* on the pointer's state, starting again if the pointer moved and its old target is gone.

    *read* is called up to five times; it reads with `read_named` and must leave nothing behind if that raises.

    Raises:
        DamagedBatchError: an object that the pointer still names is missing, or differs from its digest.
        TransientError: the pointer moved during every attempt.
    """
    state = read_pointer_state(store, run_date)
    for _ in range(_ATTEMPTS):
        try:
            return read(state)
        except (GoneError, TransientError) as failure:
            # If the reader may not list keys, S3 reports a missing object as forbidden.
            before, state = state, read_pointer_state(store, run_date)
            if state != before:
                continue
            if isinstance(failure, GoneError):
                raise DamagedBatchError(
                    f"{store.address}/{failure.key} is gone although a live {failure.named_by} names it; publish again"
                ) from failure
            raise
    raise TransientError(
        f"{store.address}/{pointer_key(run_date)} moved on during each of {_ATTEMPTS} reads and what it had named was "
        "collected; read again, and give readers more time in [retention] of shop.toml"
    )


def read_named(store: ObjectStore, key: str, expected: str, named_by: str) -> bytes:
    """
    Return the object *key*, whose SHA-256 is *expected*.

    Raises:
        GoneError: there is no such object.
        DamagedBatchError: its bytes have another digest.
    """
    stored = store.get(key)
    if stored is None:
        raise GoneError(key, named_by)
    if sha256(stored.content) != expected:
        raise DamagedBatchError(f"{store.address}/{key} differs from its SHA-256 in the {named_by}; publish again")
    return stored.content


def read_manifest(store: ObjectStore, run_date: date | str | None = None) -> dict[str, Any]:
    """Return the manifest of the live batch, or of the batch of *run_date*, checked against the pointer."""
    return follow(store, lambda state: _manifest(store, state), run_date)


def read_live_batch(store: ObjectStore, run_date: date | str | None = None) -> pa.Table:
    """
    Return the rows of the live batch, or of the batch of *run_date*, every file checked against the manifest.

    One request for the pointer, one for the manifest and one for each part file.
    """
    return follow(store, lambda state: _rows(store, _manifest(store, state)), run_date)


def read_staged_batch(store: ObjectStore, run_date: date | str, batch: str) -> pa.Table:
    """
    Return the rows of the batch with the id *batch* of *run_date*, published or refused, each file checked.

    No pointer holds the digest of a refused batch's manifest, so the manifest itself is trusted.

    Raises:
        NotFoundError: the batch was never judged, or was collected.
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
    Return the row of *user_id* in the live batch, or in that of *run_date*; None if it holds no such person.

    Reads the pointer, the index, one range of `places.jsonl` and one of a part file, each checked against a SHA-256.

    Raises:
        NothingPublishedError: no batch was ever published.
        DamagedBatchError: the index or a range differs from its digest, or is missing.
    """
    return follow(store, lambda state: _row(store, state.target, user_id), run_date)


def _manifest(store: ObjectStore, state: PointerState) -> dict[str, Any]:
    target = state.target
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
