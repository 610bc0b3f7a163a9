"""A real PostgreSQL server for tests: its own folder, a free port, a password, quick rather than durable."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.host import postgres
from infra.host.ports import choose_ports

_QUICK = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "100"}


@dataclass
class Server:
    """A running server and what it takes to talk to it."""

    cluster: postgres.Cluster
    password: str
    process: subprocess.Popen[bytes]
    user: str = postgres.USER

    @property
    def url(self) -> str:
        return self.cluster.url

    def sql(self, statements: str) -> str:
        """Run statements as their owner would by hand and return what psql prints, without any decoration."""
        answer = subprocess.run(
            [
                *[str(self.cluster.programs.folder / "psql"), "-h", "127.0.0.1", "-p", str(self.cluster.port)],
                *["-U", self.user, "-d", "postgres", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"],
            ],
            input=statements,
            env={"PATH": os.defpath, "PGPASSWORD": self.password, "PGTZ": "UTC"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert answer.returncode == 0, answer.stderr
        return answer.stdout.strip()

    def kill(self) -> None:
        """End the server as a power cut would; its sessions notice at once."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def start_again(self) -> None:
        """Start the server that was killed, on the same port; it recovers what was committed."""
        (self.cluster.folder / "postmaster.pid").unlink(missing_ok=True)
        self.process = _start(self.cluster)


def _start(cluster: postgres.Cluster) -> subprocess.Popen[bytes]:
    said = cluster.folder.parent / "log"
    with said.open("ab") as log:
        process = subprocess.Popen(
            cluster.command(**_QUICK),
            cwd=cluster.folder.parent,
            env={"PATH": os.defpath, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            **postgres.run_as(postgres.server_user()),
        )
    deadline = time.monotonic() + 60
    while not cluster.is_ready():
        assert process.poll() is None, said.read_text()
        assert time.monotonic() < deadline, "PostgreSQL did not start"
        time.sleep(0.05)
    return process


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """Make and start a server; it ends, and its folder goes, with the block."""
    folder = Path(tempfile.mkdtemp(prefix="refit-postgres-"))
    password = secrets.token_urlsafe(18)
    port = choose_ports({"REFIT_DATABASE_PORT": 0})["REFIT_DATABASE_PORT"]
    cluster = postgres.make_cluster(postgres.find_postgres(os.environ), folder / "data", port, password=password)
    server = Server(cluster, password, _start(cluster))
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.process.send_signal(signal.SIGINT)
            server.process.wait(timeout=60)
        shutil.rmtree(folder)
