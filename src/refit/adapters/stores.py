"""Opens the object store at an address; the only file that maps addresses to adapters."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from refit.errors import ConfigurationError
from refit.storage.object_store import ObjectStore


def open_store(address: str, *, endpoint: str | None = None) -> ObjectStore:
    """
    Return the object store at *address*.

    Args:
        address: ``s3://bucket/prefix``, ``file:///folder``, or the path of a folder.
        endpoint: Address of an S3-compatible server, for a bucket that AWS does not keep.

    Raises:
        ConfigurationError: no adapter supports such an address.
    """
    scheme, separator, _ = address.partition("://")
    if separator and scheme in {"s3", "s3a"}:
        # Reading a folder must not require boto3.
        from refit.adapters.s3 import S3ObjectStore  # noqa: PLC0415

        return S3ObjectStore.connect(address, endpoint=endpoint)
    if separator and scheme != "file":
        raise ConfigurationError(f"{address!r} is no address of a store; write s3://bucket/prefix or file:///folder")
    from refit.adapters.folder import FolderObjectStore  # noqa: PLC0415

    return FolderObjectStore(Path(unquote(urlsplit(address).path)) if separator else Path(address))
