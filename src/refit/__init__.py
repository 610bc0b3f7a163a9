"""Refit keeps a recommender fresh and safe to run. This package is *how*: it knows no table, date or schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def read_live(address: str, *, endpoint: str | None = None) -> pa.Table:
    """
    Return the live lists published under *address* (``s3://bucket/prefix``), one row per person.

    Follows ``live.json`` to the manifest to the part files and checks every SHA-256 on the way, so the table is one
    whole batch or an error. *endpoint* names an S3-compatible server; credentials come from the usual AWS places.

    Raises:
        NothingPublishedError: no batch has ever been published under *address*.
        DamagedBatchError: a file differs from what its manifest promises.
    """
    from refit.adapters.s3 import S3ObjectStore
    from refit.publication import read_live_batch

    return read_live_batch(S3ObjectStore.connect(address, endpoint=endpoint))


def read_person(address: str, user_id: str, *, endpoint: str | None = None) -> dict[str, Any] | None:
    """
    Return the live row of one person under *address* (``s3://bucket/prefix``), or None when there is no such person.

    *user_id* is the pseudonym under which the person appears in the lists; ``python -m pipelines pseudonym id=...``
    gives it. Two small requests and one range of one part file, each checked against its SHA-256; never the whole
    batch.

    Raises:
        NothingPublishedError: no batch has ever been published under *address*.
        NotFoundError: the live batch was published by a Refit that wrote no index.
        DamagedBatchError: bytes differ from what was promised.
    """
    from refit.adapters.s3 import S3ObjectStore
    from refit.publication import read_live_person

    return read_live_person(S3ObjectStore.connect(address, endpoint=endpoint), user_id)
