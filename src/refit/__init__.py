"""Refit keeps a recommender fresh and safe to run. This package is the *how*: it knows no table, date or schedule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os
    from datetime import date

    import pyarrow as pa

    from refit.publication.local_copy import Copied


def read_live(address: str, *, endpoint: str | None = None, run_date: date | str | None = None) -> pa.Table:
    """
    Return the live lists published under *address* (``s3://bucket/prefix``), one row per person.

    Follows the pointer to the manifest to the part files and checks every SHA-256 on the way, so the result is one
    whole batch or an error. With *run_date* (a date or YYYY-MM-DD) it is the batch of that date, not the live one.
    *endpoint* names an S3-compatible server; credentials come from the usual AWS places.

    Raises:
        NothingPublishedError: no batch has ever been published under *address*, or for that date.
        DamagedBatchError: a file differs from what its manifest promises.
    """
    from refit.adapters.stores import open_store
    from refit.publication.read import read_live_batch

    return read_live_batch(open_store(address, endpoint=endpoint), run_date)


def read_person(
    address: str, user_id: str, *, endpoint: str | None = None, run_date: date | str | None = None
) -> dict[str, Any] | None:
    """
    Return the live row of one person under *address* (``s3://bucket/prefix``), or None if there is no such person.

    *user_id* is the pseudonym under which the person appears in the lists; ``python -m pipelines pseudonym id=...``
    gives it. Two small requests and one range of one part file, each checked against its SHA-256; never the whole
    batch. *run_date* as in `read_live`.

    Raises:
        NothingPublishedError: no batch has ever been published under *address*, or for that date.
        DamagedBatchError: bytes differ from their digest.
    """
    from refit.adapters.stores import open_store
    from refit.publication.read import read_live_person

    return read_live_person(open_store(address, endpoint=endpoint), user_id, run_date)


def read_batch(address: str, run_date: date | str, batch: str, *, endpoint: str | None = None) -> pa.Table:
    """
    Return the lists of one batch under *address* by its id, whether it went live or was refused, one row per person.

    For investigations; a batch can be read until it is collected. Every part file is checked against the manifest, but
    the manifest itself is not, because no pointer names a refused batch.

    Raises:
        NotFoundError: there is no such batch, it was never judged, or it was collected.
        DamagedBatchError: a file differs from what its manifest promises.
    """
    from refit.adapters.stores import open_store
    from refit.publication.read import read_staged_batch

    return read_staged_batch(open_store(address, endpoint=endpoint), run_date, batch)


def copy_live(
    address: str,
    folder: str | os.PathLike[str],
    *,
    endpoint: str | None = None,
    run_date: date | str | None = None,
) -> Copied:
    """
    Copy the live lists under *address*, verified, below a local *folder*, and return their location.

    The part files and the manifest go to a separate folder, ``batch=ID``, which appears whole or not at all; the link
    ``current`` in *folder* moves to it last. An existing complete copy is left unchanged, and the result says so.
    *run_date* as in `read_live`; use a separate folder for each date.

    Raises:
        NothingPublishedError: no batch has ever been published under *address*, or for that date.
        DamagedBatchError: a file differs from what its manifest promises.
        CopyFailedError: the folder could not hold the files.
    """
    from pathlib import Path

    from refit.adapters.stores import open_store
    from refit.publication.local_copy import copy_live as copy

    return copy(open_store(address, endpoint=endpoint), Path(folder), run_date)
