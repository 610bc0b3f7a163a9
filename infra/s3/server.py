"""
A small S3 server on the loopback interface: moto's, made durable, atomic and private.

moto keeps objects in memory, checks the condition of a conditional write and then writes in two steps, stores
bytes whose checksum is wrong, and answers anybody. Here requests are answered one after the other, so a
conditional write is atomic; digests sent along are verified; a request must name the access key of the stack;
and everything is saved on SIGTERM and every few seconds (see `s3_store`), so a kill loses seconds at most.

The access key is not guessable and that is the whole of its protection: signatures are not verified, and
signed links are not accepted.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hashlib
import hmac
import os
import re
import signal
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

from moto.core.exceptions import ServiceException
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.s3.models import s3_backends
from werkzeug.serving import make_server

from infra.errors import StackError
from infra.host.ports import LOOPBACK
from infra.s3.store import ChangedMeanwhileError, SavedObjects, backend
from infra.stack.services import S3_HEALTH
from refit.errors import RefitError

_SAVE_SECONDS = 5.0
_CREDENTIAL = re.compile(r"Credential=([^/,\s]+)/")
_HEX_SHA256 = re.compile(r"[0-9a-f]{64}")

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class Gate:
    """What stands between the wire and moto; a WSGI application."""

    def __init__(self, access_key: str) -> None:
        self._access_key = access_key
        self._moto = DomainDispatcherApplication(create_backend_app)
        self.lock = threading.Lock()
        self.changes = 0
        """Successful writes so far."""
        self.closed = False
        """Set under the lock when the last save begins; later writes would be lost."""

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == S3_HEALTH:
            start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
            return [b"ok"]
        # The body is read before the lock is taken: a slow sender must not keep the others waiting.
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if length else b""
        if refusal := self._refusal(environ, body, length):
            return _refuse(start_response, *refusal)
        environ["wsgi.input"] = BytesIO(body)
        with self.lock:
            if self.closed:
                return _refuse(start_response, "503 Service Unavailable", "ServiceUnavailable", "closing down")
            return list(self._moto(environ, self._counting(environ, start_response)))

    def _refusal(self, environ: Environ, body: bytes, length: int) -> tuple[str, str, str] | None:
        if not self._may_enter(environ):
            return "403 Forbidden", "InvalidAccessKeyId", "the access key is not the one of this stack"
        if len(body) < length:
            return "400 Bad Request", "IncompleteBody", f"{len(body)} of {length} bytes arrived"
        if wrong := _wrong_digest(environ, body):
            return "400 Bad Request", "BadDigest", f"{wrong} does not match the bytes that arrived"
        return None

    def _may_enter(self, environ: Environ) -> bool:
        if not self._access_key:
            return True
        match = _CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
        return match is not None and hmac.compare_digest(match.group(1).encode(), self._access_key.encode())

    def _counting(self, environ: Environ, start_response: StartResponse) -> StartResponse:
        def counted(status: str, *rest: Any) -> Any:
            if environ["REQUEST_METHOD"] in {"PUT", "POST", "DELETE"} and status.startswith("2"):
                self.changes += 1
            return start_response(status, *rest)

        return counted


def _wrong_digest(environ: Environ, body: bytes) -> str | None:
    """Return the name of a header whose digest is not the one of *body*."""
    if "aws-chunked" in environ.get("HTTP_CONTENT_ENCODING", ""):
        return None  # the digest is of the bytes inside the chunks
    signed = environ.get("HTTP_X_AMZ_CONTENT_SHA256", "")
    if _HEX_SHA256.fullmatch(signed) and signed != hashlib.sha256(body).hexdigest():
        return "x-amz-content-sha256"
    if environ["REQUEST_METHOD"] != "PUT":
        return None  # completing a multipart upload sends the digest of the whole object
    digests: dict[str, Callable[[], bytes]] = {
        "HTTP_CONTENT_MD5": lambda: hashlib.md5(body, usedforsecurity=False).digest(),
        "HTTP_X_AMZ_CHECKSUM_SHA256": lambda: hashlib.sha256(body).digest(),
        "HTTP_X_AMZ_CHECKSUM_SHA1": lambda: hashlib.sha1(body, usedforsecurity=False).digest(),
        "HTTP_X_AMZ_CHECKSUM_CRC32": lambda: zlib.crc32(body).to_bytes(4, "big"),
    }
    for name, digest in digests.items():
        if sent := environ.get(name):
            try:
                right = base64.b64decode(sent, validate=True) == digest()
            except binascii.Error:
                right = False
            if not right:
                return name.removeprefix("HTTP_").replace("_", "-").lower()
    return None


def _refuse(start_response: StartResponse, status: str, code: str, message: str) -> Iterable[bytes]:
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    text = f"{head}<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    body = text.encode()
    start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]


class _QuietHandler(MotoRequestHandler):
    disable_nagle_algorithm = True  # headers and body leave in two writes; together they must not wait for an ACK

    def log(self, type: str, message: str, *args: Any) -> None:  # the name is werkzeug's
        if type == "error":
            _say(message % args if args else message)


def _say(text: str) -> None:
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}", flush=True)


def serve(port: int, folder: Path, bucket: str, access_key: str) -> None:
    """Serve until SIGTERM or SIGINT, then save and return."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    store = SavedObjects(folder)
    count = store.load()
    if bucket not in s3_backends.bucket_accounts:
        try:
            backend().create_bucket(bucket, os.environ.get("AWS_DEFAULT_REGION", "us-east-1"))
        except ServiceException as error:
            raise StackError(f"bucket {bucket!r} cannot be created: {error}") from error
    gate = Gate(access_key)
    server = make_server(LOOPBACK, port, gate, threaded=True, request_handler=_QuietHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    _say(f"serving {count} objects on http://{LOOPBACK}:{server.server_port}")
    saved = 0
    while not stop.wait(_SAVE_SECONDS):
        saved = _save_if_changed(store, gate, saved)
    with gate.lock:
        gate.closed = True
    server.shutdown()
    count = store.save(gate.lock)
    _say(f"saved {count} objects and ended")


def _save_if_changed(store: SavedObjects, gate: Gate, saved: int) -> int:
    with gate.lock:
        changes = gate.changes
    if changes == saved:
        return saved
    try:
        count = store.save(gate.lock)
    except ChangedMeanwhileError:
        return saved  # tried again at the next turn
    _say(f"saved {count} objects")
    return changes


def main(arguments: list[str] | None = None) -> int:
    """Run the server; the access key comes from AWS_ACCESS_KEY_ID, without one anybody may enter."""
    parser = argparse.ArgumentParser(prog="python -m infra.s3.server", description="A small durable S3 server.")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1; 0: a free one")
    parser.add_argument("--state", type=Path, required=True, help="folder in which the objects are kept")
    chosen = parser.parse_args(arguments)
    bucket = os.environ.get("REFIT_BUCKET") or "refit"
    try:
        serve(chosen.port, chosen.state, bucket, os.environ.get("AWS_ACCESS_KEY_ID", ""))
    except RefitError as error:
        _say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
