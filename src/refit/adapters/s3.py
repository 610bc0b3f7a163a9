"""Objects in an S3 bucket through boto3; the only file that knows boto3."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError
from botocore.parsers import ResponseParserError

from refit.errors import ConfigurationError, ConflictError, RefitError, TransientError
from refit.storage.driver import pause_with_jitter
from refit.storage.object_store import StoredObject
from refit.storage.requests import (
    DONE,
    MISSING,
    REFUSED,
    UNKNOWN,
    Answer,
    Create,
    Delete,
    Get,
    List,
    Pause,
    Request,
    Swap,
)

_CONFIG = Config(
    # A retry inside botocore could report a completed write as refused, so all retries are made here.
    retries={"total_max_attempts": 1, "mode": "standard"},
    connect_timeout=5,
    read_timeout=60,
    user_agent_extra="refit",
)
_TRIES = 7
"""Number of attempts of a request with unknown outcome before the store counts as down."""
_ABSENT = {"NoSuchKey", "404"}
_CONDITION_FAILED = {"PreconditionFailed", "412"}
_PASSING = {"400", "BadDigest", "IncompleteBody", "RequestTimeout", "ConditionalRequestConflict", "OperationAborted"}
"""Errors that a retry may avoid: bytes damaged or lost in transit, and concurrent writers."""
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"}
_NOT_ACCEPTED = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "RequestTimeTooSkewed"}
_FORBIDDEN = {"AccessDenied", "AllAccessDisabled", "403"}
_SERVER_FAILED = 500


class StoreUnavailableError(TransientError):
    """The object store did not answer, or answered with an error unrelated to the object."""


class CredentialsRefusedError(TransientError):
    """The object store refuses the credentials, which may have expired; a new process reads them again."""


class NotAllowedError(RefitError):
    """The object store denies this user the operation."""


class _BeyondTheEndError(Exception):
    """A range begins beyond the end of the object."""


@dataclass(frozen=True)
class S3ObjectStore:
    """Objects below one prefix of one bucket."""

    client: Any
    bucket: str
    prefix: str
    pause: Pause = pause_with_jitter

    @classmethod
    def connect(cls, address: str, *, endpoint: str | None = None) -> S3ObjectStore:
        """Return the store at *address* (``s3://bucket/prefix``); credentials come from the usual AWS places."""
        scheme, _, rest = address.partition("://")
        bucket, _, prefix = rest.partition("/")
        if scheme not in {"s3", "s3a"} or not bucket:
            raise ConfigurationError(f"{address!r} is not an address of the form s3://bucket/prefix")
        # Use a new session: the default one keeps its first credentials and is not thread-safe.
        client = boto3.session.Session().client("s3", endpoint_url=endpoint, config=_CONFIG)
        return cls(client, bucket, prefix.strip("/"))

    @property
    def address(self) -> str:
        """Address of the store's root."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def get(self, key: str) -> StoredObject | None:
        """Return the object, or None if there is none."""
        answer = self._ask_until_known(Get(key), "read")
        return None if answer.outcome is MISSING else StoredObject(answer.content, answer.etag)

    def get_range(self, key: str, start: int, length: int) -> bytes | None:
        """Return *length* bytes from *start* on, or None if there is no object; one range request."""
        try:
            answer = self._ask_until_known(Get(key), "read", Range=f"bytes={start}-{start + length - 1}")
        except _BeyondTheEndError:
            return b""
        return None if answer.outcome is MISSING else answer.content

    def create(self, key: str, content: bytes) -> str:
        """Write a new object; ConflictError if it exists with other bytes."""
        return self._write(Create(key, content))

    def swap(self, key: str, content: bytes, *, expected: str | None) -> str:
        """Replace the object only if its etag is still *expected*; return the new etag."""
        return self._write(Create(key, content) if expected is None else Swap(key, content, expected))

    def delete(self, key: str) -> None:
        """Remove the object, if it exists."""
        self._ask_until_known(Delete(key), "delete")

    def keys(self, prefix: str) -> list[str]:
        """Return all keys that start with *prefix*, sorted."""
        return sorted(self._ask_until_known(List(prefix), "list").keys)

    def abort_uploads(self, before: datetime) -> int:
        """Abort unfinished multipart uploads begun before *before*, and return their number."""
        where = {"Bucket": self.bucket, "Prefix": self._key("")}
        try:
            pages = self.client.get_paginator("list_multipart_uploads").paginate(**where)
            old = [upload for page in pages for upload in page.get("Uploads", []) if upload["Initiated"] < before]
            for upload in old:
                self.client.abort_multipart_upload(Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        except (ClientError, BotoCoreError) as error:
            raise self._unavailable("abort uploads below", "", str(error)) from error
        return len(old)

    def ask(self, request: Request) -> Answer:
        """Make *request* once; see `refit.interfaces.ObjectStore`."""
        return self._ask(request)

    def _write(self, request: Create | Swap) -> str:
        answer = self._ask_until_known(request, "write")
        if answer.outcome is DONE:
            return answer.etag
        # An earlier attempt may have succeeded although its answer was lost, so the bytes decide and not the answer.
        found = self.get(request.key)
        if found is None or found.content != request.content:
            raise ConflictError(
                f"{self.address}/{request.key} was written by somebody else first; nothing was overwritten"
            )
        return found.etag

    def _ask_until_known(self, request: Request, verb: str, **more: str) -> Answer:
        """Repeat *request* until its outcome is known."""
        for failures in range(1, _TRIES + 1):
            answer = self._ask(request, **more)
            if answer.outcome is not UNKNOWN:
                return answer
            if failures < _TRIES:
                self.pause(failures)
        raise self._unavailable(verb, request.key, answer.why)

    def _ask(self, request: Request, **more: str) -> Answer:
        where = {"Bucket": self.bucket, "Key": self._key(request.key)}
        try:
            match request:
                case Get():
                    got = self.client.get_object(**where, **more)
                    return Answer(DONE, got["Body"].read(), got["ETag"], at=_clock(got))
                case Create():
                    put = self.client.put_object(**where, **_body(request.content), IfNoneMatch="*")
                    return Answer(DONE, etag=str(put["ETag"]), at=_clock(put))
                case Swap():
                    put = self.client.put_object(**where, **_body(request.content), IfMatch=request.etag)
                    return Answer(DONE, etag=str(put["ETag"]), at=_clock(put))
                case Delete():
                    self.client.delete_object(**where)
                    return Answer(DONE)
                case List():
                    return Answer(DONE, keys=tuple(self._list(where["Key"])))
        except ClientError as error:
            return self._refusal(request, error)
        except (NoCredentialsError, ParamValidationError) as error:
            raise ConfigurationError(f"{self.address} cannot be asked: {error}") from error
        except (BotoCoreError, ResponseParserError) as error:
            return Answer(UNKNOWN, why=str(error))

    def _list(self, prefix: str) -> list[str]:
        start = len(self._key(""))
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [entry["Key"][start:] for page in pages for entry in page.get("Contents", [])]

    def _refusal(self, request: Request, error: ClientError) -> Answer:
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        writes = isinstance(request, Create | Swap)
        if code in _CONDITION_FAILED or (writes and code in _ABSENT):
            return Answer(REFUSED, at=_clock(error.response))
        if code in _ABSENT:
            return Answer(MISSING, at=_clock(error.response))
        if code in {"InvalidRange", "416"}:
            raise _BeyondTheEndError from error
        if status >= _SERVER_FAILED or status == 409 or code in _PASSING:
            return Answer(UNKNOWN, why=str(error))
        if code in _EXPIRED:
            raise CredentialsRefusedError(
                f"the credentials for {self.address} have expired ({code}); nothing was written by this request; "
                "renew them and run the step again"
            ) from error
        if code in _NOT_ACCEPTED:
            raise CredentialsRefusedError(
                f"{self.address} does not accept the credentials ({code}); set the right ones, look whether the clock "
                "of this machine is right, and run the step again"
            ) from error
        verb = "write" if writes else type(request).__name__.lower().replace("get", "read")
        if code in _FORBIDDEN:
            raise NotAllowedError(
                f"these credentials may not {verb} {self.address}/{request.key} ({code}); docs/security.md tells which "
                "role may do what"
            ) from error
        raise self._unavailable(verb, request.key, str(error)) from error

    def _key(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    def _unavailable(self, verb: str, key: str, why: str) -> StoreUnavailableError:
        return StoreUnavailableError(f"cannot {verb} {self.address}/{key}: {why}; is the object store up?")


def _clock(response: Mapping[str, Any]) -> datetime | None:
    """Return the server's time in *response*, in whole seconds; None if it has none."""
    header = response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        return parsedate_to_datetime(header).astimezone(UTC)
    except ValueError:
        return None


def _body(content: bytes) -> dict[str, Any]:
    checksum = base64.b64encode(hashlib.sha256(content).digest()).decode()
    # The server verifies the checksum of the received bytes, and sends it to readers.
    return {"Body": content, "ChecksumAlgorithm": "SHA256", "ChecksumSHA256": checksum}
