"""Row digests: identify the rows of a batch, independent of how they are split into files."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from refit.digests import ROW_SUMS

_ENTRY = np.dtype([("item", "<u8"), ("score", "<f4"), ("source", "<u8"), ("reasons", "<i4")])
_REASON = np.dtype([("item", "<u8"), ("contribution", "<f4")])


def sum_of_rows(rows: pa.RecordBatch) -> int:
    """
    Return the sum of the SHA-256 of each row of `refit.batches.schema.SCHEMA`, modulo 2^256.

    It does not depend on the order of rows, nor on whether texts are dictionary-encoded. Ids and sources enter with 64
    bits of their own SHA-256.
    """
    lists = rows.column("recommendations")
    entries = lists.flatten()
    reasons = entries.field("reasons").flatten()
    per_person, per_entry = _lengths(lists), _lengths(entries.field("reasons"))
    encoded = np.empty(len(entries), dtype=_ENTRY)
    encoded["item"] = _hashed(entries.field("item_id"))
    encoded["score"] = entries.field("score").to_numpy(zero_copy_only=False)
    encoded["source"] = _hashed(entries.field("source"))
    encoded["reasons"] = per_entry
    why = np.empty(len(reasons), dtype=_REASON)
    why["item"] = _hashed(reasons.field("item_id"))
    why["contribution"] = reasons.field("contribution").to_numpy(zero_copy_only=False)
    ends = np.concatenate([[0], np.cumsum(per_person)])
    reason_ends = np.concatenate([[0], np.cumsum(per_entry)])[ends].tolist()
    ends = ends.tolist()
    heads = zip(*(_texts(rows.column(name)) for name in ("user_id", "model_version", "run_date", "short")), strict=True)
    entry_bytes, reason_bytes = encoded.view(np.uint8).data, why.view(np.uint8).data
    total = 0
    for row, head in enumerate(heads):
        digest = hashlib.sha256(repr(head).encode())
        digest.update(entry_bytes[ends[row] * _ENTRY.itemsize : ends[row + 1] * _ENTRY.itemsize])
        digest.update(reason_bytes[reason_ends[row] * _REASON.itemsize : reason_ends[row + 1] * _REASON.itemsize])
        total += int.from_bytes(digest.digest(), "little")
    return total % ROW_SUMS


def _lengths(lists: pa.Array) -> NDArray[np.int64]:
    lengths: NDArray[np.int64] = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return lengths


def _texts(column: pa.Array) -> list[Any]:
    texts: list[Any] = column.to_pylist()
    return texts


def _hashed(texts: pa.Array) -> NDArray[np.uint64]:
    """Return 64 bits for each text; hashes each distinct text once, as there are few."""
    coded = texts if pa.types.is_dictionary(texts.type) else pc.dictionary_encode(texts)
    hashes = [_hash(text) for text in coded.dictionary.to_pylist()]
    known = np.array([*hashes, 0], dtype=np.uint64)
    numbers = pc.fill_null(coded.indices, len(hashes)) if coded.indices.null_count else coded.indices
    hashed: NDArray[np.uint64] = known[numbers.to_numpy(zero_copy_only=False)]
    return hashed


@lru_cache(maxsize=1_000_000)
def _hash(text: str | None) -> int:
    return int.from_bytes(hashlib.sha256(repr(text).encode()).digest()[:8], "little")
