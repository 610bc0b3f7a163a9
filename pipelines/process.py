"""
Runs a step as a separate process, with the same command that a person types.

The process imports no Airflow, frees its memory when it ends, and dies, together with its JVM, with the task that
started it, however that task ends.
"""

from __future__ import annotations

import ctypes
import json
import logging
import signal
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_LOG = logging.getLogger("refit.step")
_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_REFUSED, _NOT_YET = 2, 3
_SECONDS_TO_DIE = 15
NOISE = ("WARNING: Using incubator modules", "netlib-blas:", "netlib-lapack:")
"""Beginnings of log lines that the JVM prints on every start and that need no action."""


class StepFailedError(Exception):
    """A step ended with an unexpected error and may be retried."""


class StepRefusedError(Exception):
    """A step refused with a sentence; a retry changes nothing."""


class StepNotYetError(Exception):
    """A step refused because data are missing that may still arrive."""


def run_step(name: str, **values: Any) -> dict[str, Any]:
    """
    Run `python -m pipelines NAME key=value ...`, stream its log, and return its receipt.

    Raises:
        StepRefusedError: the step refused; the message is its sentence.
        StepNotYetError: the step refused because data are missing that may still arrive; the message is its sentence.
        StepFailedError: the step ended in any other way.
    """
    _die_with_parent(signal.SIGKILL)
    with tempfile.TemporaryDirectory(prefix="refit-step-") as folder:
        out = Path(folder) / "receipt.json"
        # Airflow passes instants as objects; the command line takes text.
        words = [
            f"{key}={value if isinstance(value, str) else json.dumps(value, default=str)}"
            for key, value in values.items()
        ]
        # No new session: Airflow ends a task by its process group, which must hold the step and its JVM.
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "pipelines", name, *words, "--out", str(out)],
            cwd=Path(__file__).resolve().parent.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
            preexec_fn=_die_with_parent,
        )
        last = refusal = ""
        try:
            for line in process.stdout or ():
                if not line.startswith(NOISE):
                    last = line.strip() or last
                    # Spark may keep logging while it ends, so remember the step's own sentence.
                    refusal = last if line.startswith(f"{name}: ") else refusal
                    _LOG.info(line.rstrip())
            code = process.wait()
        except BaseException:  # Airflow's time limit is a BaseException, and the step must not outlive it
            process.terminate()
            try:
                process.wait(_SECONDS_TO_DIE)
            except subprocess.TimeoutExpired:
                process.kill()
            raise
        if code == _REFUSED:
            raise StepRefusedError(refusal or last)
        if code == _NOT_YET:
            raise StepNotYetError(refusal or last)
        if code:
            raise StepFailedError(f"{name} {_end(code)}: {refusal or last}")
        receipt: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        for key, value in receipt.items():
            _LOG.info("%s: %s", key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        return receipt


def run_step_when_there(name: str, *, give_up: str, **values: Any) -> dict[str, Any] | None:
    """
    Run a step like `run_step`, but return None while its data are missing; *give_up* is an ISO 8601 instant.

    Raises:
        StepRefusedError: the step refused, or its data are missing after *give_up*, or at once if that is empty.
        StepFailedError: the step ended in any other way.
    """
    try:
        return run_step(name, **values)
    except StepNotYetError as late:
        if give_up and datetime.now(UTC) < datetime.fromisoformat(give_up):
            _LOG.info("not there yet, tried again until %s ([calendar] wait_hours): %s", give_up, late)
            return None
        waited = f"; it was waited for until {give_up} ([calendar] wait_hours)" if give_up else ""
        raise StepRefusedError(f"{late}{waited}") from late


def _end(code: int) -> str:
    """Describe how a process ended; a negative *code* is the signal that ended it."""
    if code >= 0:
        return f"ended with code {code}"
    memory = " (as the system does when memory runs out)" if -code == signal.SIGKILL else ""
    return f"was ended by {signal.Signals(-code).name}{memory}"


def _die_with_parent(number: int = signal.SIGTERM) -> None:
    """Ask Linux to send signal *number* to this process when its parent dies; elsewhere the process group must do."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, number)
