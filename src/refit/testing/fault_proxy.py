"""A proxy in front of an S3 server that fails chosen requests, before or after the server has done them."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

_LOOPBACK = "127.0.0.1"
_PASSING = {
    "503 before": (503, "SlowDown"),
    "500 before": (500, "InternalError"),
    "409 before": (409, "ConditionalRequestConflict"),
}
FAULTS = (
    *_PASSING,
    "no answer before",
    "half of the upload",
    "damaged upload",
    "500 after",
    "no answer after",
    "slow answer after",
    "half of the answer",
    "damaged answer",
)
"""Faults of a request; `before` and `after` say whether the server has executed it."""
REFUSALS = {
    "expired credentials": (400, "ExpiredToken"),
    "unknown credentials": (403, "InvalidAccessKeyId"),
    "clock astray": (403, "RequestTimeTooSkewed"),
}
"""Refusals that a retry does not change."""
KILLS = ("killed before", "killed after")
"""Faults that kill the requesting process."""
_HOP_BY_HOP = {"connection", "expect", "transfer-encoding", "content-length", "date", "server"}


@dataclass
class FaultProxy:
    """While entered, serves on a loopback port and forwards every request to *upstream*, `host:port`."""

    upstream: str
    slow_seconds: float = 1.0
    """Delay of a slow answer."""
    victim: int = 0
    """Id of the process that a planned kill ends."""
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path and fault of every request so far; an empty fault means none."""
    _plan: dict[int, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def address(self) -> str:
        """Return where the proxy serves."""
        return f"http://{_LOOPBACK}:{self._server.server_port}"

    def begin(self, plan: Mapping[int, str] | None = None) -> None:
        """Restart counting requests at 1, and let those in *plan* fail."""
        with self._lock:
            self.requests.clear()
            self._plan = dict(plan or {})

    def __enter__(self) -> FaultProxy:
        """Start serving."""
        self._server = ThreadingHTTPServer((_LOOPBACK, 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def fault_of_next(self, method: str, path: str) -> str:
        """Count a request and return its planned fault."""
        with self._lock:
            fault = self._plan.get(len(self.requests) + 1, "")
            self.requests.append((method, path, fault))
        return fault

    def kill(self) -> None:
        """Kill the victim."""
        os.kill(self.victim, signal.SIGKILL)


def _handler(proxy: FaultProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *arguments: Any) -> None:  # the name is the library's
            """Log nothing; the plan is known."""

        def handle_expect_100(self) -> bool:
            self.send_response_only(100)
            self.end_headers()
            return True

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = proxy.fault_of_next(self.command, self.path)
            refusals = {**_PASSING, **REFUSALS}
            if fault in refusals:
                self._refuse(*refusals[fault])
                return
            if fault == "killed before":
                proxy.kill()
            if fault in {"no answer before", "killed before"}:
                self._hang_up()
                return
            if fault == "damaged upload" and body:
                body = bytes([body[0] ^ 1]) + body[1:]
            try:
                status, headers, answer = self._ask(body, half=fault == "half of the upload" and bool(body))
            except OSError:  # the upstream server is gone
                self._hang_up()
                return
            if fault == "killed after":
                proxy.kill()
            if fault in {"no answer after", "killed after"}:
                self._hang_up()
                return
            if fault == "500 after":
                self._refuse(500, "InternalError")
                return
            if fault == "slow answer after":
                time.sleep(proxy.slow_seconds)
            if fault == "damaged answer" and answer and self.command == "GET":
                answer = answer[:-1] + bytes([answer[-1] ^ 1])
            self._answer(status, headers, answer, half=fault == "half of the answer" and bool(answer))

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = pass_on

        def _ask(self, body: bytes, *, half: bool) -> tuple[int, list[tuple[str, str]], bytes]:
            connection = http.client.HTTPConnection(proxy.upstream, timeout=30)
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in {"connection", "expect"}:
                    connection.putheader(name, value)
            connection.putheader("Connection", "close")
            connection.endheaders()
            connection.send(body[: len(body) // 2] if half else body)
            if half:
                connection.sock.shutdown(socket.SHUT_WR)
            response = connection.getresponse()
            answer = response.read()
            connection.close()
            return response.status, response.getheaders(), answer

        def _answer(self, status: int, headers: list[tuple[str, str]], answer: bytes, *, half: bool) -> None:
            try:
                self.send_response(status)
                for name, value in headers:
                    if name.lower() not in _HOP_BY_HOP:
                        self.send_header(name, value)
                length = {name.lower(): value for name, value in headers}.get("content-length", "0")
                self.send_header("Content-Length", length if self.command == "HEAD" else str(len(answer)))
                self.end_headers()
                self.wfile.write(answer[: len(answer) // 2] if half else answer)
                self.wfile.flush()
            except OSError:
                self.close_connection = True  # the client has given up
                return
            if half:
                self._hang_up()

        def _refuse(self, status: int, code: str) -> None:
            text = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>planned</Message></Error>'
            self._answer(status, [("Content-Type", "application/xml")], text.encode(), half=False)

        def _hang_up(self) -> None:
            self.close_connection = True
            with contextlib.suppress(OSError):  # the other side may be gone already
                self.connection.shutdown(socket.SHUT_RDWR)

    return Handler
