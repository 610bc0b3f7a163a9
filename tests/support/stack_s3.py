"""The S3 server of the embedded stack as a process for tests that need its atomic writes and checked digests."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.host.ports import choose_ports
from infra.stack.services import S3_HEALTH
from pipelines.settings import REPOSITORY

ACCESS_KEY = "test"
_SECONDS = 60


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Give `host:port` of a server with the bucket `refit`, which keeps its objects in *folder*."""
    port = choose_ports({"REFIT_S3_PORT": 0})["REFIT_S3_PORT"]
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'src'}",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "REFIT_BUCKET": "refit",
    }
    command = [sys.executable, "-m", "infra.s3.server", "--port", str(port), "--state", str(folder / "s3")]
    with (folder / "s3.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + _SECONDS
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}{S3_HEALTH}", timeout=5).close()
                    break
                except OSError:
                    assert server.poll() is None, (folder / "s3.log").read_text()
                    assert time.monotonic() < deadline, "the S3 server did not start"
                    time.sleep(0.05)
            yield f"127.0.0.1:{port}"
        finally:
            server.kill()
            server.wait()
