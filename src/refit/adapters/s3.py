"""Objects in an S3 bucket through boto3; the only file that knows boto3."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from refit.errors import ConfigurationError, ConflictError, TransientError
from refit.interfaces import StoredObject

_CONFIG = Config(
    retries={"max_attempts": 5, "mode": "standard"},
    connect_timeout=5,
    read_timeout=60,
    user_agent_extra="refit",
)
_TRIES = 6
"""A conditional write whose outcome is unknown is looked up and tried again so often."""


class StoreUnavailableError(TransientError):
    """The object store did not answer, or answered with an error that is not about the object."""


class _BeyondTheEndError(Exception):
    """A range begins where the object has already ended."""


@dataclass(frozen=True)
class S3ObjectStore:
    """Objects below one prefix of one bucket."""

    client: Any
    bucket: str
    prefix: str

    @classmethod
    def connect(cls, address: str, *, endpoint: str | None = None) -> S3ObjectStore:
        """Return the store at *address* (``s3://bucket/prefix``); credentials come from the usual AWS places."""
        scheme, _, rest = address.partition("://")
        bucket, _, prefix = rest.partition("/")
        if scheme not in {"s3", "s3a"} or not bucket:
            raise ConfigurationError(f"{address!r} is not an address of the form s3://bucket/prefix")
        # A session of its own: the shared one keeps the credentials that it saw first, and is not safe in threads.
        client = boto3.session.Session().client("s3", endpoint_url=endpoint, config=_CONFIG)
        return cls(client, bucket, prefix.strip("/"))

    @property
    def address(self) -> str:
        """Where this store begins."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def get(self, key: str) -> StoredObject | None:
        """Return the object, or None when there is none."""
        return self._get(key)

    def get_range(self, key: str, start: int, length: int) -> bytes | None:
        """Return *length* bytes from *start* on, or None when there is no object; one request that moves no more."""
        try:
            found = self._get(key, Range=f"bytes={start}-{start + length - 1}")
        except _BeyondTheEndError:
            return b""
        return None if found is None else found.content

    def create(self, key: str, content: bytes) -> str:
        """Write a new object; the same bytes again are fine, other bytes raise ConflictError."""
        try:
            return self._put(key, content, {"IfNoneMatch": "*"})
        except ConflictError:
            # A retry inside botocore may have met its own first try, so the bytes decide and not the answer.
            found = self.get(key)
            if found is None or found.content != content:
                raise
            return found.etag

    def swap(self, key: str, content: bytes, *, expected: str | None) -> str:
        """Replace the object only if its etag is still *expected*; return the new etag."""
        condition = {"IfNoneMatch": "*"} if expected is None else {"IfMatch": expected}
        try:
            return self._put(key, content, condition)
        except ConflictError:
            found = self.get(key)
            if found is None or found.content != content:
                raise
            return found.etag

    def keys(self, prefix: str) -> list[str]:
        """Return all keys that start with *prefix*, sorted."""
        start = len(self._key(""))
        try:
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self._key(prefix))
            return sorted(entry["Key"][start:] for page in pages for entry in page.get("Contents", []))
        except (ClientError, BotoCoreError) as error:
            raise self._unavailable("list", prefix, error) from error

    def _get(self, key: str, **more: str) -> StoredObject | None:
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=self._key(key), **more)
            return StoredObject(answer["Body"].read(), answer["ETag"])
        except ClientError as error:
            if _code(error) in {"NoSuchKey", "404"}:
                return None
            if _code(error) in {"InvalidRange", "416"}:
                raise _BeyondTheEndError from error
            raise self._unavailable("read", key, error) from error
        except BotoCoreError as error:
            raise self._unavailable("read", key, error) from error

    def _put(self, key: str, content: bytes, condition: dict[str, str]) -> str:
        checksum = base64.b64encode(hashlib.sha256(content).digest()).decode()
        error: Exception | None = None
        for _ in range(_TRIES):
            try:
                answer = self.client.put_object(
                    Bucket=self.bucket, Key=self._key(key), Body=content, ChecksumSHA256=checksum, **condition
                )
                return str(answer["ETag"])
            except ClientError as failure:
                if _code(failure) in {"PreconditionFailed", "412", "NoSuchKey", "404"}:
                    raise ConflictError(
                        f"{self.address}/{key} was written by somebody else first; nothing was overwritten"
                    ) from failure
                if _code(failure) not in {"ConditionalRequestConflict", "409"}:
                    raise self._unavailable("write", key, failure) from failure
                error = failure
            except BotoCoreError as failure:
                raise self._unavailable("write", key, failure) from failure
        raise self._unavailable("write", key, error) from error

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _unavailable(self, verb: str, key: str, error: Exception | None) -> StoreUnavailableError:
        return StoreUnavailableError(f"cannot {verb} {self.address}/{key}: {error}; is the object store up?")


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
