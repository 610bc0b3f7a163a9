"""
The index of a batch: which bytes of which file hold a person's row, so that a reader fetches nothing else.

It has two stages. `index.json` gives the range of people of each part file, and the bytes of `places.jsonl` that
describe the row groups of that part. So reading one person takes three small reads, however large the batch is. The
older format `refit-index/2`, which holds the row groups of all parts in the index itself, can be read too.
"""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from refit.digests import canonical_json, sha256
from refit.errors import DamagedBatchError

_FORMAT = "refit-index/3"
_PLACES = "places.jsonl"
_FOR_ONE_PERSON = ("first", "last", "row_groups", "places", "groups", "footer")
"""Entries of a part that only readers of single persons need."""

Fetch = Callable[[str, int, int], bytes]
"""Function (key, offset, length) -> bytes."""


@dataclass(frozen=True)
class RowGroupRange:
    """One row group of a part file, with everything needed to read it alone."""

    key: str
    group: int
    """Number of the row group in its file."""
    offset: int
    """First byte of the row group."""
    bytes: int
    sha256: str
    """Digest of these bytes."""
    footer: str
    """Base64 of the zlib-compressed end of the file, from the Parquet footer on."""


@dataclass(frozen=True)
class Group:
    """The people of one row group."""

    first: str
    last: str
    place: RowGroupRange


def without_places(commit: Mapping[str, Any]) -> dict[str, Any]:
    """Return *commit* without the row groups of its parts, for readers of whole batches."""
    parts = [{name: value for name, value in part.items() if name not in _FOR_ONE_PERSON} for part in commit["parts"]]
    return {**{name: value for name, value in commit.items() if name != "places"}, "parts": parts}


def make_index(commit: Mapping[str, Any], prefix: str) -> tuple[dict[str, Any], bytes]:
    """
    Return the index of a scored batch and the content of its `places.jsonl`.

    Each part of *commit* has its row groups and its footer, as `PartFile.close` returns them; each line of
    `places.jsonl` holds those of one part.

    Raises:
        DamagedBatchError: two row groups claim the same people.
    """
    spans = sorted((group["first"], group["last"], part["key"]) for part in commit["parts"] for group in part["groups"])
    for (_, last, one), (first, _, other) in pairwise(spans):
        if first <= last:
            raise DamagedBatchError(
                f"the people of {other} begin before those of {one} end, so one person could be in both; score again"
            )
    parts, lines, offset = [], [], 0
    for part in commit["parts"]:
        line = canonical_json({"footer": part["footer"], "groups": part["groups"]}) + b"\n"
        summary = {name: value for name, value in part.items() if name not in _FOR_ONE_PERSON}
        parts.append(
            {
                **summary,
                "first": part["groups"][0]["first"],
                "last": part["groups"][-1]["last"],
                "row_groups": len(part["groups"]),
                "places": {"offset": offset, "bytes": len(line), "sha256": sha256(line)},
            }
        )
        lines.append(line)
        offset += len(line)
    return {**commit, "format": _FORMAT, "places": f"{prefix}/{_PLACES}", "parts": parts}, b"".join(lines)


def people_of(part: Mapping[str, Any]) -> tuple[str, str]:
    """Return the first and the last person of a part of an index; two empty texts if unknown."""
    groups = part.get("groups")
    if groups:
        return groups[0]["first"], groups[-1]["last"]
    return part.get("first", ""), part.get("last", "")


def row_groups_of(part: Mapping[str, Any]) -> int:
    """Return the number of row groups of a part of an index; 0 if unknown."""
    return len(part["groups"]) if "groups" in part else int(part.get("row_groups", 0))


def read_groups(index: Mapping[str, Any], part: Mapping[str, Any], fetch: Fetch) -> list[Group]:
    """
    Return the row groups of one *part* of *index*, in the order of their people; at most one read.

    Raises:
        DamagedBatchError: the bytes read differ from their digest in the index.
    """
    record = part if "groups" in part else _line(index["places"], part["places"], fetch)
    ranges = [{name: group[name] for name in ("offset", "bytes", "sha256")} for group in record["groups"]]
    return [
        Group(
            group["first"], group["last"], RowGroupRange(key=part["key"], group=number, footer=record["footer"], **span)
        )
        for number, (group, span) in enumerate(zip(record["groups"], ranges, strict=True))
    ]


def _line(key: str, span: Mapping[str, Any], fetch: Fetch) -> dict[str, Any]:
    content = fetch(key, span["offset"], span["bytes"])
    if sha256(content) != span["sha256"]:
        raise DamagedBatchError(
            f"bytes {span['offset']:,} to {span['offset'] + span['bytes']:,} of {key} differ from their SHA-256 in "
            "the index; publish again"
        )
    record: dict[str, Any] = json.loads(content)
    return record


def find_person(index: Mapping[str, Any], user_id: str, fetch: Fetch) -> RowGroupRange | None:
    """Return the row group that may hold *user_id*; None if no row group can. At most one read."""
    for part in index["parts"]:
        first, last = people_of(part)
        if first <= user_id <= last:
            groups = read_groups(index, part, fetch)
            return next((group.place for group in groups if group.first <= user_id <= group.last), None)
    return None


def read_row(place: RowGroupRange, content: bytes, user_id: str) -> dict[str, Any] | None:
    """
    Return the row of *user_id* in the row group *place* with the bytes *content*, or None if it has none.

    Raises:
        DamagedBatchError: *content* differs from its digest in the index.
    """
    rows = read_group(place, content)
    found: list[dict[str, Any]] = rows.filter(pc.equal(rows["user_id"], user_id)).slice(0, 1).to_pylist()
    return found[0] if found else None


def read_group(place: RowGroupRange, content: bytes, columns: Sequence[str] | None = None) -> pa.Table:
    """
    Return the rows of the row group *place* from its bytes, with all or the given columns (Parquet leaf names).

    Raises:
        DamagedBatchError: *content* differs from its digest in the index.
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
    """A file-like object of which only some bytes in the middle are available."""

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
