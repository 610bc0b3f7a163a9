"""
Start and end the processes of a stack, and never anybody else's.

A process is recognised by its id *and* its start time, because ids are used again. Every process of a stack
also carries the stack's random mark in its environment and passes it on, so that what a killed parent left
behind is found by proof and not by its name.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MARK = "REFIT_STACK_ID"
"""Environment variable that holds the mark."""
_PROC = Path("/proc")
_POLL_SECONDS = 0.05
_started_here: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Process:
    """One started process, recognisable after its starter has ended."""

    name: str
    pid: int
    started: int
    """Clock ticks between boot and the start of the process, as the kernel tells it."""
    boot: str
    """Which boot the ticks count from."""

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return self.boot == boot_id() and _start_time(self.pid) == self.started


def boot_id() -> str:
    """Return the name that the kernel gave to the current boot."""
    return (_PROC / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def start(
    name: str,
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    log: Path,
    run_as: Mapping[str, Any] | None = None,
) -> Process:
    """
    Start *command* apart from this terminal; the log of the start before is kept as `*.log.1`.

    *run_as* are the arguments by which subprocess starts it as another user.
    """
    if log.exists():
        log.replace(log.with_name(log.name + ".1"))
    with log.open("wb") as output:
        child = subprocess.Popen(
            list(command),
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **(run_as or {}),
        )
    _started_here[child.pid] = child
    return Process(name, child.pid, _start_time(child.pid, dead_too=True) or 0, boot_id())


def exit_code(process: Process) -> int | None:
    """Return the exit code of a process that this program started, or None while it runs."""
    return _started_here[process.pid].poll()


def terminate(processes: Iterable[Process], number: signal.Signals = signal.SIGTERM) -> None:
    """Ask each that still runs to end."""
    for process in processes:
        if process.alive:
            _signal(process.pid, number)


def wait_for_end(processes: Collection[Process], *, seconds: float) -> list[Process]:
    """Wait until all have ended, at most *seconds*; return those that have not."""
    deadline = time.monotonic() + seconds
    while True:
        for process in processes:
            if process.pid in _started_here:
                _started_here[process.pid].poll()  # takes the dead child off the process table
        alive = [process for process in processes if process.alive]
        if not alive or time.monotonic() > deadline:
            return alive
        time.sleep(_POLL_SECONDS)


def kill_marked(mark: str, *, spare: Collection[int] = ()) -> int:
    """Kill whatever carries *mark*, children of children too, but not *spare* and theirs; return how many."""
    killed: set[int] = set()
    while found := [pid for pid in _marked(mark) if pid != os.getpid() and not _belongs(pid, spare)]:
        for pid in found:
            _signal(pid, signal.SIGKILL)
            killed.add(pid)
        time.sleep(_POLL_SECONDS)
        for pid in found:
            if pid in _started_here:
                _started_here[pid].poll()
    return len(killed)


def _marked(mark: str) -> list[int]:
    needle = f"{MARK}={mark}".encode()
    found = []
    for entry in _PROC.iterdir():
        # Entries vanish while we look, and other people's cannot be read.
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and needle in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def _belongs(pid: int, family: Collection[int]) -> bool:
    # A child of PostgreSQL carries the mark until it has taken its own title; killing one makes the server recover.
    while pid > 1:
        if pid in family:
            return True
        try:
            text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False
        pid = int(text.rpartition(")")[2].split()[1])
    return False


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _start_time(pid: int, *, dead_too: bool = False) -> int | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name, in brackets, may hold anything; what follows the last bracket starts with the state.
    values = text.rpartition(")")[2].split()
    if values[0] in "ZX" and not dead_too:
        return None
    return int(values[19])
