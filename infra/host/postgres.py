"""
A PostgreSQL server of the stack's own, made of the programs that the distribution installs.

It listens on the loopback interface only and lets nobody in without the password. PostgreSQL refuses to run as root, so
for root it runs as another user, who then owns the folder of the data and nothing else.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.errors import StackError
from infra.host import processes
from infra.host.ports import LOOPBACK
from refit.errors import ConfigurationError

NAME = "postgres"
"""Name of the process among those of the stack."""
USER = "refit"
"""The only user that the server knows."""
FOLDERS = Path("/usr/lib/postgresql")
"""Where Debian and its relatives install the programs, one folder for each version."""
DRIVER = Path("/usr/share/java/postgresql.jar")
"""Where they install the JDBC driver."""
_PROGRAMS = ("initdb", "postgres", "pg_isready")
_VERSION = re.compile(r"\(PostgreSQL\) (\d+(?:\.\d+)*)")
_ORDINARY = ("postgres", "nobody")
"""Users that root may become, in order of preference; the first exists where PostgreSQL is installed by a package."""
_MAKING_SECONDS = 120
_ANSWER_SECONDS = 20


@dataclass(frozen=True)
class Programs:
    """One usable installation of PostgreSQL."""

    folder: Path
    version: str


@dataclass(frozen=True)
class Cluster:
    """The data of one server and the port on which it serves them."""

    programs: Programs
    folder: Path
    port: int

    @property
    def url(self) -> str:
        """The address for JDBC; it holds no secret."""
        return f"jdbc:postgresql://{LOOPBACK}:{self.port}/postgres"

    def command(self, **settings: str) -> list[str]:
        """Return the command of the server, with further *settings* of PostgreSQL; to be run as `server_user()`."""
        chosen = {
            "listen_addresses": LOOPBACK,
            "unix_socket_directories": "",
            "timezone": "UTC",
            "log_timezone": "UTC",
            **settings,
        }
        words = [word for name, value in chosen.items() for word in ("-c", f"{name}={value}")]
        return [str(self.programs.folder / "postgres"), "-D", str(self.folder), "-p", str(self.port), *words]

    def start(self, folder: Path, log: Path, mark: str) -> processes.Process:
        """Start the server as a process of the stack that carries *mark*; it gets no secret of the others."""
        return processes.start(
            NAME,
            self.command(),
            environment={"PATH": os.defpath, "LC_ALL": "C", processes.MARK: mark},
            folder=folder,
            log=log,
            run_as=run_as(server_user()),
        )

    def is_ready(self) -> bool:
        """Return whether the server answers and takes connections."""
        program = self.programs.folder / "pg_isready"
        asked = [str(program), "-q", "-h", LOOPBACK, "-p", str(self.port), "-t", "1"]
        return subprocess.run(asked, capture_output=True, timeout=_ANSWER_SECONDS, check=False).returncode == 0


def find_postgres(environment: Mapping[str, str], *, folders: Path = FOLDERS) -> Programs:
    """
    Return the programs on PATH or, if there are none, the newest ones in *folders*.

    Raises:
        ConfigurationError: there are none; the message says how to install them.
    """
    for folder in _candidates(environment, folders):
        if (version := _version(folder)) is not None:
            return Programs(folder, version)
    raise ConfigurationError(
        f"this needs a PostgreSQL server, and there is none on PATH or in {folders}; "
        "make packages installs one (Debian, Ubuntu: apt install postgresql)"
    )


def find_driver(*, path: Path = DRIVER) -> Path:
    """Return the jar of the JDBC driver; ConfigurationError says how to install it."""
    if path.is_file():
        return path
    raise ConfigurationError(
        f"Spark needs the JDBC driver of PostgreSQL, and there is no {path}; make packages installs it "
        "(Debian, Ubuntu: apt install libpostgresql-jdbc-java) or set REFIT_SPARK_JARS to one"
    )


def server_user() -> pwd.struct_passwd | None:
    """Return the user as whom a server must run, or None: as whoever asks."""
    if os.geteuid() != 0:
        return None
    known = {user.pw_name: user for user in pwd.getpwall()}
    for name in _ORDINARY:
        if name in known:
            return known[name]
    raise ConfigurationError(
        f"PostgreSQL does not run as root, and there is no user {' or '.join(_ORDINARY)} that it could run as; "
        "run this as an ordinary user"
    )


def make_cluster(programs: Programs, folder: Path, port: int, *, password: str) -> Cluster:
    """
    Return the cluster in *folder*; make it if it does not exist. A killed attempt leaves nothing that counts.

    The folder above must exist and be Refit's own: when root asks, the group of the server's user may enter it.

    Raises:
        ConfigurationError: the server's user cannot enter the folder.
        StackError: initdb failed.
    """
    user = server_user()
    if user is not None:
        os.chown(folder.parent, -1, user.pw_gid)
        folder.parent.chmod(0o710)  # enough to pass through, and nothing else of the stack is the group's
        _refuse_closed(folder.parent, user)
    cluster = Cluster(programs, folder, port)
    if folder.exists():
        return cluster
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    secret = unfinished.with_name(f"{unfinished.name}.secret")
    secret.unlink(missing_ok=True)
    descriptor = os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, password.encode())
        os.close(descriptor)
        if user is not None:
            for path in (unfinished, secret):
                os.chown(path, user.pw_uid, user.pw_gid)
        _make(programs, unfinished, secret, user)
        unfinished.rename(folder)
    finally:
        secret.unlink(missing_ok=True)
    return cluster


def is_open_to_server(folder: Path) -> bool:
    """Return whether `make_cluster` has let the server's user into *folder*, who must be able to come back to it."""
    groups = [user.pw_gid for user in pwd.getpwall() if user.pw_name in _ORDINARY]
    return os.geteuid() == 0 and folder.stat().st_gid in groups


def _make(programs: Programs, folder: Path, secret: Path, user: pwd.struct_passwd | None) -> None:
    words = ["-U", USER, "--pwfile", str(secret), "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C"]
    made = subprocess.run(
        [str(programs.folder / "initdb"), "-D", str(folder), *words],
        cwd=folder,
        env={"PATH": os.defpath, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_MAKING_SECONDS,
        check=False,
        **run_as(user),
    )
    if made.returncode:
        said = (made.stderr or made.stdout).strip().splitlines() or ["nothing"]
        raise StackError(f"initdb of PostgreSQL {programs.version} failed in {folder}: {said[-1]}")


def run_as(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """Return the arguments by which subprocess starts a program as *user* with no other rights."""
    return {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _candidates(environment: Mapping[str, str], folders: Path) -> Iterator[Path]:
    # What Debian puts on PATH are wrappers for some of the programs only; a folder counts if it has all of them.
    if on_path := shutil.which("initdb", path=environment.get("PATH", "")):
        yield Path(on_path).resolve().parent
    installed = [folder / "bin" for folder in folders.glob("*") if re.fullmatch(r"[\d.]+", folder.name)]
    yield from sorted(installed, key=lambda path: float(path.parent.name), reverse=True)


def _version(folder: Path) -> str | None:
    if not all(os.access(folder / program, os.X_OK) for program in _PROGRAMS):
        return None
    try:
        answer = subprocess.run(
            [str(folder / "postgres"), "--version"],
            capture_output=True,
            text=True,
            timeout=_ANSWER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(answer.stdout)
    return match.group(1) if match and answer.returncode == 0 else None


def _refuse_closed(folder: Path, user: pwd.struct_passwd) -> None:
    for step in [*reversed(folder.absolute().parents), folder.absolute()]:
        # Asked of the system and not read off the mode, which is not all that decides.
        entered = subprocess.run(
            ["/bin/sh", "-c", 'cd -- "$0"', str(step)], cwd="/", capture_output=True, check=False, **run_as(user)
        )
        if entered.returncode:
            raise ConfigurationError(
                f"PostgreSQL does not run as root, so it runs as user {user.pw_name}, who may not enter {step}; "
                "set REFIT_STATE to a folder that everybody may reach, or run this as an ordinary user"
            )
