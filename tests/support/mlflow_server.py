"""A real MLflow server for tests: a process of its own on loopback that ends with its workers."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

SECONDS_TO_START = 120


@contextmanager
def serving(command: Sequence[str], environment: Mapping[str, str], folder: Path, address: str) -> Iterator[None]:
    """Run *command* in *folder*, where its log goes too, and go on when *address* is healthy."""
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            list(command),
            cwd=folder,
            env=dict(environment),
            stdout=log,
            stderr=subprocess.STDOUT,
            # Its workers must end with it, and a server may hang on to them.
            start_new_session=True,
        )
    try:
        wait_until_healthy(address, server)
        yield
    finally:
        os.killpg(server.pid, 15)
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, 9)
            server.wait()


def free_port() -> int:
    """Return a port of loopback on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_healthy(address: str, server: subprocess.Popen[bytes]) -> None:
    """Return when the server answers; fail when it has ended or stays silent."""
    last = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < last:
        if server.poll() is not None:
            pytest.fail(f"the MLflow server ended with code {server.returncode}")
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.2)
    pytest.fail(f"the MLflow server did not answer within {SECONDS_TO_START} seconds")
