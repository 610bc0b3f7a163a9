"""Seconds from nothing to live lists, and the most memory that everything together held, on both shops."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from bench.harness.places import real_days
from pipelines.settings import REPOSITORY

_GIB = 2**30


def measure() -> None:
    """Print one line per shop, then the seconds of its steps."""
    for shop, data in (("simulated", ""), ("online_retail", str(real_days()))):
        with tempfile.TemporaryDirectory(prefix="refit-bench-") as state:
            _measure_shop(shop, data, Path(state))


def _measure_shop(shop: str, data: str, state: Path) -> None:
    environment = {**os.environ, "REFIT_SHOP": shop, "REFIT_DATA": data, "REFIT_STATE": str(state), "APPROVE": "yes"}
    peak = _Peak(str(state))
    began = time.monotonic()
    peak.start()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "infra.demo.run"],
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        seconds = time.monotonic() - began
        most = peak.stop()
        command = [sys.executable, "-m", "infra.stack.control", "down"]
        subprocess.run(command, cwd=REPOSITORY, env=environment, check=False)
    if done.returncode:
        print(f"{shop}: failed: {done.stderr.strip()}")
        return
    print(f"{shop}: lists live after {seconds:.0f} s, at most {most / _GIB:.2f} GiB resident together (PSS)")
    steps = re.findall(r"^ {8}(\S.*) done in ([0-9.]+) s", done.stdout, re.M)
    print("  " + ", ".join(f"{name} {taken} s" for name, taken in steps))


class _Peak(threading.Thread):
    """Adds up the proportional memory of every process that carries the state folder in its environment."""

    def __init__(self, state: str) -> None:
        super().__init__(daemon=True)
        self._mark = f"REFIT_STATE={state}".encode()
        self._root = state.encode()
        self._over = threading.Event()
        self._most = 0

    def run(self) -> None:
        while not self._over.wait(0.5):
            self._most = max(self._most, sum(self._memory(folder) for folder in Path("/proc").glob("[0-9]*")))

    def stop(self) -> int:
        """End the sampling and return the largest sum in bytes."""
        self._over.set()
        self.join()
        return self._most

    def _memory(self, folder: Path) -> int:
        try:
            environment = (folder / "environ").read_bytes()
            if self._mark not in environment and self._root not in environment:
                return 0
            rollup = (folder / "smaps_rollup").read_text(encoding="utf-8")
        except (OSError, ValueError):
            return 0  # it ended while being read
        found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.M)
        return int(found[1]) * 1024 if found else 0
