"""CPU time and memory of a command together with everything that it starts."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_EVERY = 0.1


@dataclass(frozen=True)
class Used:
    """What a process and its descendants used."""

    seconds: float
    """CPU, user and system."""
    peak: float
    """Largest proportional memory of all of them together at one moment, in GiB."""
    wall: float
    output: str


def run_measured(command: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> Used:
    """
    Run *command* and return what it used; RuntimeError with its last words when it fails.

    CPU is read ten times a second, so a process that ends in between loses less than a tenth of a second of it.
    """
    began = time.monotonic()
    running = subprocess.Popen(
        command, cwd=folder, env=dict(environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    ticks: dict[int, int] = {}
    peak = 0
    while running.poll() is None:
        memory = 0
        for pid in _family(running.pid):
            try:
                fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8")
            except OSError:
                continue  # it ended while being read
            ticks[pid] = int(fields[11]) + int(fields[12])
            found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.M)
            memory += int(found[1]) * 1024 if found else 0
        peak = max(peak, memory)
        time.sleep(_EVERY)
    wall = time.monotonic() - began
    output, said = running.communicate()
    if running.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {running.returncode}: {said[-2000:]}")
    return Used(seconds=sum(ticks.values()) / _TICKS, peak=peak / 2**30, wall=wall, output=output)


def seconds_of(root: int) -> float:
    """Return the CPU seconds, user and system, that the process *root* and its living descendants have used so far."""
    ticks = 0
    for pid in _family(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        except OSError:
            continue  # it ended while being read
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS


def _family(root: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(folder.name))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += parents.get(pid, [])
    return found
