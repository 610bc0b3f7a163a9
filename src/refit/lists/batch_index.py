"""The index of a batch: in which bytes of which file one person's row lies, so that a reader fetches nothing else."""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from refit.digests import sha256
from refit.errors import DamagedBatchError

_FORMAT = "refit-index/2"
_BULKY = ("groups", "footer")


@dataclass(frozen=True)
class Place:
    """One row group of one part file, and what it takes to read it alone."""

    key: str
    group: int
    """Number of the row group in its file."""
    offset: int
    """First byte of the row group."""
    bytes: int
    sha256: str
    """Of these bytes."""
    footer: str
    """Base64 of the zlib-compressed end of the file, from the Parquet footer on."""


def without_places(commit: Mapping[str, Any]) -> dict[str, Any]:
    """Return *commit* with part files that say nothing of their row groups: what a reader of whole batches needs."""
    parts = [{name: value for name, value in part.items() if name not in _BULKY} for part in commit["parts"]]
    return {**commit, "parts": parts}


def make_index(commit: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the index of a scored batch: everything that scoring made, with the place of every row group.

    Raises:
        DamagedBatchError: two row groups claim the same people.
    """
    spans = sorted((group["first"], group["last"], part["key"]) for part in commit["parts"] for group in part["groups"])
    for (_, last, one), (first, _, other) in pairwise(spans):
        if first <= last:
            raise DamagedBatchError(
                f"the people of {other} begin before those of {one} end, so one person could be in both; score again"
            )
    return {**commit, "format": _FORMAT}


def find_person(index: Mapping[str, Any], user_id: str) -> Place | None:
    """Return where *user_id* lies if anywhere; None when no row group can hold them."""
    for part in index["parts"]:
        for number, group in enumerate(part["groups"]):
            if group["first"] <= user_id <= group["last"]:
                place = {name: group[name] for name in ("offset", "bytes", "sha256")}
                return Place(key=part["key"], group=number, footer=part["footer"], **place)
    return None


def read_row(place: Place, content: bytes, user_id: str) -> dict[str, Any] | None:
    """
    Return the row of *user_id* in the bytes of *place*, or None when they are not among them.

    Raises:
        DamagedBatchError: *content* is not what the index promises.
    """
    rows = read_group(place, content)
    found: list[dict[str, Any]] = rows.filter(pc.equal(rows["user_id"], user_id)).slice(0, 1).to_pylist()
    return found[0] if found else None


def read_group(place: Place, content: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """
    Return the rows in the bytes of *place*, with all columns or those that are named as Parquet names its leaves.

    Raises:
        DamagedBatchError: *content* is not what the index promises.
    """
    if sha256(content) != place.sha256:
        raise DamagedBatchError(
            f"bytes {place.offset:,} to {place.offset + place.bytes:,} of {place.key} differ from their SHA-256 in the "
            "index; publish again"
        )
    footer = io.BytesIO(zlib.decompress(base64.b64decode(place.footer)))
    window = pa.PythonFile(_Window(content, place.offset), mode="r")
    try:
        file = pq.ParquetFile(window, metadata=pq.read_metadata(footer))
        return file.read_row_group(place.group, columns=None if columns is None else list(columns))
    except (pa.ArrowException, OSError) as error:
        raise DamagedBatchError(
            f"row group {place.group} of {place.key} does not fit its footer in the index: {error}; publish again"
        ) from error


class _Window(io.RawIOBase):
    """A file of which only some bytes in the middle are at hand."""

    def __init__(self, content: bytes, offset: int) -> None:
        self._content = content
        self._offset = offset
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._offset + len(self._content)}[whence]
        self._position = base + position
        return self._position

    def read(self, size: int = -1) -> bytes:
        start = self._position - self._offset
        end = len(self._content) if size < 0 else start + size
        if start < 0 or end > len(self._content):
            raise OSError("bytes outside of it are asked for")
        self._position += end - start
        return self._content[start:end]
