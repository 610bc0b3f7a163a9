"""Finding secrets: in files of any kind, in databases, in objects, and in what the process list shows to everybody."""

from __future__ import annotations

import base64
import gzip
import io
import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from types import TracebackType
from urllib.parse import quote, quote_plus

import pyarrow.parquet as pq

from infra.host.processes import MARK

_PROC = Path("/proc")
_SECONDS_BETWEEN = 0.2
"""Looking is work too, on the cores that are looked at."""
_LISTENING = "0A"
_SHORTEST = 12
"""A shorter word would be found by chance."""


def forms(secret: str) -> set[bytes]:
    """Return how *secret* may be written: as it is, in a URL, in JSON, and in base64, on its own or within more."""
    plain = secret.encode()
    found = {plain, quote(secret, safe="").encode(), quote_plus(secret).encode(), secret.replace("/", "\\/").encode()}
    for offset in range(3):
        # Base64 writes three bytes as four letters, so the same word looks different at each of three places. The
        # letters at both ends mix in what stands beside it.
        encoded = base64.b64encode(b"\0" * offset + plain)
        inner = encoded[(0, 2, 3)[offset] : len(encoded) - (4 if (len(plain) + offset) % 3 else 0)]
        found |= {inner, inner.translate(bytes.maketrans(b"+/", b"-_"))}
    return {form for form in found if len(form) >= _SHORTEST}


class Finder:
    """Finds any of several named secrets."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._names = {form: name for name, secret in secrets.items() for form in forms(secret)}
        self._pattern = re.compile(b"|".join(re.escape(form) for form in self._names))

    def names(self, content: bytes) -> set[str]:
        """Return the name of each secret that stands in *content*."""
        return {self._names[found] for found in self._pattern.findall(content)}

    def in_file(self, path: Path, content: bytes) -> set[str]:
        """Return the secrets in a file; databases, Parquet and gzip are opened, and looked at as they are too."""
        found = self.names(content)
        if content[:16] == b"SQLite format 3\0":
            for cell in _cells(path):
                found |= self.names(cell)
        elif content[:4] == b"PAR1":
            table = pq.read_table(io.BytesIO(content))
            found |= self.names(str([table.to_pylist(), table.schema.metadata]).encode())
        elif content[:2] == b"\x1f\x8b":
            found |= self.names(gzip.decompress(content))
        return found


def _cells(path: Path) -> Iterator[bytes]:
    """Give every value of a database: on disk a long one is cut in pieces."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        database.text_factory = bytes
        tables = [row[0].decode() for row in database.execute("select name from sqlite_master where type = 'table'")]
        for table in tables:
            for row in database.execute(f'select * from "{table}"'):
                yield from (value if isinstance(value, bytes) else str(value).encode() for value in row if value)


class Watch:
    """Looks all the time at what every process is called with and, for those of a stack, where they listen."""

    def __init__(self, finder: Finder, mark: str) -> None:
        self._finder = finder
        self._mark = f"{MARK}={mark}".encode()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look_until_stopped, daemon=True)
        self.commands: set[str] = set()
        """Command lines of the stack's processes."""
        self.leaks: set[tuple[str, str]] = set()
        """Secret and program, for each secret that a command line showed."""
        self.sockets: set[tuple[str, str]] = set()
        """Program and address, for each socket on which a process of the stack listened."""
        self.looks = 0
        self._ours: dict[tuple[str, int], bool] = {}
        self.failure: Exception | None = None

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self.failure is not None and error is None:
            raise self.failure

    def _look_until_stopped(self) -> None:
        try:
            while not self._stop.is_set():
                self._look()
                self._stop.wait(_SECONDS_BETWEEN)
        except Exception as error:
            self.failure = error

    def _look(self) -> None:
        self.looks += 1
        listening = dict(_listening())
        for entry in _PROC.iterdir():
            # Processes come and go while we look.
            with suppress(OSError):
                if not entry.name.isdigit():
                    continue
                command = (entry / "cmdline").read_bytes()
                self.leaks |= {(name, command[:40].decode(errors="replace")) for name in self._finder.names(command)}
                if self._is_ours(entry):
                    program = command.replace(b"\0", b" ").decode(errors="replace")[:400]
                    self.commands.add(program)
                    for descriptor in (entry / "fd").iterdir():
                        with suppress(OSError):
                            if address := listening.get(str(descriptor.readlink())):
                                self.sockets.add((program, address))

    def _is_ours(self, entry: Path) -> bool:
        """Whether a process carries the mark of the stack, which it keeps as long as it lives."""
        which = (entry.name, entry.stat().st_ctime_ns)
        if which not in self._ours:
            self._ours[which] = self._mark in (entry / "environ").read_bytes().split(b"\0")
        return self._ours[which]


def _listening() -> Iterator[tuple[str, str]]:
    """Give each listening TCP socket as a descriptor names it, with its address as the kernel writes it."""
    for table in ("tcp", "tcp6"):
        for line in (_PROC / "net" / table).read_text(encoding="ascii").splitlines()[1:]:
            columns = line.split()
            if columns[3] == _LISTENING:
                yield f"socket:[{columns[9]}]", columns[1].partition(":")[0]


def is_loopback(address: str) -> bool:
    """Whether an address of the kernel's table is of this machine alone (127/8, ::1, or 127/8 within IPv6)."""
    if len(address) == 8:
        return address.endswith("7F")
    return address == "0" * 24 + "01000000" or (address.startswith("0" * 16 + "FFFF0000") and address.endswith("7F"))
