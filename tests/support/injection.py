"""What is injected and into what: a step at work, a server that can be killed, a proxy that fails or stops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from support.mlflow_server import wait_until_healthy

from refit.testing.fault_proxy import FaultProxy

SECONDS = 300.0
"""No step of this shop takes so long, whatever else the machine does."""

ROWS: list[tuple[str, str, str]] = []
"""What was injected so far, where, and what came of it."""


class Table:
    """The faults of this run."""

    def add(self, fault: str, injected: str, outcome: str) -> None:
        """Note a fault that a test has seen through; the text appears at the end of the run."""
        ROWS.append((fault, injected, outcome))


@dataclass(frozen=True)
class Ended:
    """How a step ended."""

    code: int
    said: str
    """Its sentence, after which Spark may go on talking; the last line of its log if it had none."""
    log: str
    seconds: float
    receipt: dict[str, Any] = field(default_factory=dict)


@dataclass
class Running:
    """A step at work, in a session of its own."""

    step: str
    process: subprocess.Popen[bytes]
    log: Path
    out: Path
    begun: float
    victims: list[psutil.Process] = field(default_factory=list)
    """Everything that was seen below it."""

    @property
    def tree(self) -> list[psutil.Process]:
        """The processes below the step that are alive."""
        try:
            found = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        self.victims = [*{process.pid: process for process in (*self.victims, *found)}.values()]
        return found

    def jvm(self) -> psutil.Process | None:
        """Return its JVM, once there is one."""
        return next((process for process in self.tree if _name(process) == "java"), None)

    def worker(self) -> psutil.Process | None:
        """Return a Python worker of Spark, once there is one: a child of the daemon that forks them."""
        jvm = self.jvm()
        daemons = _children(jvm) if jvm else []
        return next((worker for daemon in daemons for worker in _children(daemon)), None)

    def seen(self, what: Callable[[], Any], seconds: float = SECONDS) -> Any:
        """Wait until *what* gives something, and return it; None when the step has ended before."""
        last = time.monotonic() + seconds
        while self.process.poll() is None:
            if found := what():
                return found
            assert time.monotonic() < last, f"waited for {seconds} seconds: {self.log.read_text()[-2000:]}"
            time.sleep(0.02)
        return None

    def without_jvm(self) -> Ended:
        """Wait until it has ended and return how; it must never have had a JVM."""
        while self.process.poll() is None:
            assert self.jvm() is None
            time.sleep(0.2)
        return self.wait()

    def wait(self) -> Ended:
        """Return how it ended."""
        code = self.process.wait(SECONDS)
        log = self.log.read_text(encoding="utf-8", errors="replace")
        lines = [line for line in log.splitlines() if line.strip()]
        receipt = json.loads(self.out.read_text()) if self.out.exists() else {}
        own = [line for line in lines if line.startswith(f"{self.step}: ")]
        return Ended(code, (own or lines or [""])[-1], log, time.monotonic() - self.begun, receipt)

    def kill(self) -> None:
        """End the step with kill -9, and it alone: what is below it must notice by itself."""
        _ = self.tree
        self.process.kill()

    def require_nobody_left(self) -> None:
        """Everything below a step ends with it."""
        _, alive = psutil.wait_procs(self.victims, timeout=30)
        assert not alive, f"still alive after 30 seconds: {alive}"

    def end(self) -> None:
        """Let nothing of it outlive the tests."""
        for process in [*self.tree, self.process]:
            process.kill()
        self.process.wait(30)


@dataclass
class Faults(FaultProxy):
    """A proxy whose rule sees each request: its number, method and path; what it returns is the fault."""

    rule: Callable[[int, str, str], str] | None = None
    number: signal.Signals = signal.SIGKILL
    """What the victim gets when the fault is `killed before` or `killed after`."""
    group: bool = False
    """Whether the victim is a whole process group."""

    def heal(self) -> None:
        """Let every request pass again, and count anew."""
        self.rule, self.victim, self.number, self.group = None, 0, signal.SIGKILL, False
        self.begin()

    def fault_of_next(self, method: str, path: str) -> str:
        """Count a request and return what becomes of it."""
        with self._lock:
            fault = self.rule(len(self.requests) + 1, method, path) if self.rule else ""
            self.requests.append((method, path, fault))
        return fault

    def kill(self) -> None:
        """Signal the victim."""
        (os.killpg if self.group else os.kill)(self.victim, self.number)


@dataclass
class MlflowServer:
    """An MLflow server that can be killed and started again on the same database."""

    command: list[str]
    environment: dict[str, str]
    folder: Path
    address: str
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers."""
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Its workers must end with it.
                start_new_session=True,
            )
        wait_until_healthy(self.address, self.process)

    def kill(self) -> None:
        """End it and its workers with kill -9."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, 9)
            self.process.wait(30)


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.NoSuchProcess:
        return ""


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [child for child in process.children() if child.status() != psutil.STATUS_ZOMBIE]
    except psutil.NoSuchProcess:
        return []
