"""The schema of published lists: one row per person, with the recommendations in order."""

from __future__ import annotations

import pyarrow as pa

_REASON = pa.struct([("item_id", pa.string()), ("contribution", pa.float32())])


_ENTRY = pa.struct(
    [
        ("item_id", pa.string()),
        ("score", pa.float32()),
        ("source", pa.string()),
        ("reasons", pa.list_(_REASON)),
    ]
)


SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("recommendations", pa.list_(_ENTRY)),
        ("model_version", pa.int32()),
        ("run_date", pa.string()),
        ("short", pa.string()),
    ]
)
"""One row per person; recommendations are in rank order; `short` says why there are fewer than k, else null."""
