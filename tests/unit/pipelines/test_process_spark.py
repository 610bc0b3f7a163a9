"""A step that computes with Spark leaves nobody behind, however it or its task ends: no JVM, no Python worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.host.class_archive import class_archive
from infra.stack.services import FAST_START
from pipelines.settings import REPOSITORY

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")

STEP = """
import os, pathlib, sys, time
from refit.adapters.spark import open_session

def busy(batches):
    pathlib.Path({pids!r}, "worker").write_text(str(os.getpid()))
    time.sleep(120)
    yield from batches

pathlib.Path({pids!r}, "step").write_text(str(os.getpid()))
spark = open_session("dies", master="local[1]", memory="512m", log_config=pathlib.Path({log!r}),
                     java_options={java!r}, class_archive={archive!r})
jvm = spark.sparkContext._jvm.java.lang.ProcessHandle.current().pid()
pathlib.Path({pids!r}, "jvm").write_text(str(jvm))
spark.range(1).mapInArrow(busy, "id long").collect()
"""
TASK = """
import signal, sys

class TimeLimit(BaseException): pass

def over(*_):
    raise TimeLimit

signal.signal(signal.SIGUSR1, over)
sys.executable = {interpreter!r}
from pipelines.process import run_step
run_step("score_users")
"""


@pytest.fixture
def started(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, int]]]:
    """Give a task whose step computes in a Python worker of Spark, and the process ids of all of them."""
    script = tmp_path / "step.py"
    log = str(REPOSITORY / "infra" / "log4j2.properties")
    script.write_text(STEP.format(pids=str(tmp_path), log=log, java=FAST_START, archive=class_archive()))
    interpreter = tmp_path / "interpreter"
    interpreter.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}"\n')
    interpreter.chmod(0o755)
    paths = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "src")])
    task = subprocess.Popen(
        [sys.executable, "-c", TASK.format(interpreter=str(interpreter))],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.DEVNULL,
    )
    pids: dict[str, int] = {}
    try:
        for name in ("step", "jvm", "worker"):
            told = tmp_path / name
            _wait_for(lambda told=told: told.exists() and told.read_text() != "", seconds=120)
            pids[name] = int(told.read_text())
        assert all(_alive(pid) for pid in pids.values())
        yield task, pids
    finally:
        task.kill()
        task.wait(10)
        for pid in pids.values():
            if _alive(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("victim", "number"),
    [("task", signal.SIGKILL), ("task", signal.SIGUSR1), ("step", signal.SIGKILL), ("jvm", signal.SIGKILL)],
    ids=["kill -9 of the task", "time limit of the task", "kill -9 of the step", "kill -9 of the JVM"],
)
def test_no_jvm_and_no_worker_outlives_the_step(
    started: tuple[subprocess.Popen[bytes], dict[str, int]], victim: str, number: signal.Signals
) -> None:
    """A JVM that went on would hold the memory that the next try needs, and its workers would go on uploading."""
    task, pids = started
    os.kill(task.pid if victim == "task" else pids[victim], number)
    assert task.wait(20) != 0
    _wait_for(lambda: not any(_alive(pid) for pid in pids.values()), seconds=20)


def _alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended and was not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _wait_for(condition: object, *, seconds: float) -> None:
    assert callable(condition)
    last = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < last, f"waited for {seconds} seconds"
        time.sleep(0.05)
