"""Digests: equal content has equal digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

ROW_SUMS = 2**256
"""Modulus of sums of row SHA-256 values; sums do not depend on the order of rows."""


def canonical_json(value: Any) -> bytes:
    """
    Return *value* as JSON with one spelling: sorted keys, no spaces, UTF-8.

    >>> canonical_json({"b": 1, "a": [1.5, None]})
    b'{"a":[1.5,null],"b":1}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256(content: bytes) -> str:
    """Return the hexadecimal SHA-256 of *content*."""
    return hashlib.sha256(content).hexdigest()


def digest_of(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of *value*."""
    return sha256(canonical_json(value))


def digest_of_files(files: Mapping[str, bytes]) -> str:
    """Return one digest over names and bytes of *files*; adding, renaming or changing a file changes it."""
    return digest_of({name: sha256(content) for name, content in files.items()})


def digest_of_sums(rows: int, sums: Iterable[str]) -> str:
    """Return the digest of *rows* rows, in any order, from the hexadecimal *sums* of the files that hold them."""
    total = sum(int(one, 16) for one in sums) % ROW_SUMS
    return digest_of({"rows": rows, "sum": f"{total:064x}"})
