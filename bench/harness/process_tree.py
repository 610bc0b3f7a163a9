"""CPU time and memory of a command together with everything that it starts."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

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
    seconds: dict[int, float] = {}
    peak = 0
    while running.poll() is None:
        memory = 0
        for process in _family(running.pid):
            with suppress(psutil.Error):  # it may end while being read
                seconds[process.pid] = _seconds(process)
                memory += process.memory_full_info().pss
        peak = max(peak, memory)
        time.sleep(_EVERY)
    wall = time.monotonic() - began
    output, said = running.communicate()
    if running.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {running.returncode}: {said[-2000:]}")
    return Used(seconds=sum(seconds.values()), peak=peak / 2**30, wall=wall, output=output)


def seconds_of(root: int) -> float:
    """Return the CPU seconds, user and system, that the process *root* and its living descendants have used so far."""
    total = 0.0
    for process in _family(root):
        with suppress(psutil.Error):  # it may end while being read
            total += _seconds(process)
    return total


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _family(root: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(root)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
