"""Steps as processes of their own: receipts, refusals, accidents, and an end that comes with the parent's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.process import (
    StepFailedError,
    StepNotYetError,
    StepRefusedError,
    _die_with_parent,
    run_step,
    run_step_when_there,
)
from pipelines.settings import REPOSITORY

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("REFIT_PSEUDONYM_KEY", "a key for these tests")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "src")]))
    yield
    _die_with_parent(0)  # what `run_step` asks of the process that calls it is not meant for the tests


def interpreter(folder: Path, body: str) -> str:
    """Return a program that stands in for Python and does *body* whatever it is told to run."""
    path = folder / "interpreter"
    path.write_text(f"#!{sys.executable} -u\nimport os, pathlib, signal, sys, time\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_a_receipt_comes_back_as_it_was_printed() -> None:
    """Also what is no ASCII, and an equals sign within a value."""
    receipt = run_step("pseudonym", id="Zoë = 1")
    assert receipt["id"] == "Zoë = 1"
    assert receipt["pseudonym"].startswith("k1-")


def test_a_step_that_refuses_raises_its_sentence() -> None:
    with pytest.raises(StepRefusedError) as refusal:
        run_step("pseudonym", user="x")
    assert str(refusal.value) == ("pseudonym: 'user=x' is no parameter; usage: python -m pipelines pseudonym id=...")


def test_values_reach_the_step_in_a_form_that_it_parses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Text and instants as they are, everything else as JSON."""
    tell = "import json; pathlib.Path(sys.argv[-1]).write_text(json.dumps({'words': sys.argv[1:-2]}))"
    monkeypatch.setattr("sys.executable", interpreter(tmp_path, tell))
    values = {
        "version": 3,
        "digest": "ab",
        "answer": {"chosen_options": ["Approve"]},
        "force": True,
        "as_of": None,
        "reason": "",
    }
    assert run_step("promote_model", **values) == {
        "words": [
            *["-u", "-m", "pipelines", "promote_model", "version=3", "digest=ab"],
            *['answer={"chosen_options": ["Approve"]}', "force=true", "as_of=null", "reason="],
        ]
    }


@pytest.mark.parametrize("code", [1, 4, 137])
def test_any_other_end_is_an_accident_with_the_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    body = f"print('first'); print('out of memory', file=sys.stderr); print(); sys.exit({code})"
    monkeypatch.setattr("sys.executable", interpreter(tmp_path, body))
    with pytest.raises(StepFailedError) as failure:
        run_step("pseudonym", id="1")
    assert str(failure.value) == f"pseudonym ended with code {code}: out of memory"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGKILL, "was ended by SIGKILL (as the system does when memory runs out): the last words"),
        (signal.SIGTERM, "was ended by SIGTERM: the last words"),
    ],
    ids=["kill -9", "kill"],
)
def test_a_step_that_was_killed_is_an_accident_and_says_by_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, words: str
) -> None:
    body = f"print('the last words'); os.kill(os.getpid(), {int(number)})"
    monkeypatch.setattr("sys.executable", interpreter(tmp_path, body))
    with pytest.raises(StepFailedError) as failure:
        run_step("pseudonym", id="1")
    assert str(failure.value) == f"pseudonym {words}"


def test_the_sentence_of_a_step_is_the_reason_whatever_spark_says_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "print('score_users: the store is down'); print('spark WARN: task killed'); sys.exit(1)"
    monkeypatch.setattr("sys.executable", interpreter(tmp_path, body))
    with pytest.raises(StepFailedError) as failure:
        run_step("score_users")
    assert str(failure.value) == "score_users ended with code 1: score_users: the store is down"


def test_what_the_jvm_always_says_is_not_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "print('the reason'); print('WARNING: Using incubator modules: jdk.incubator.vector'); sys.exit(2)"
    monkeypatch.setattr("sys.executable", interpreter(tmp_path, body))
    with pytest.raises(StepRefusedError, match=r"^the reason$"):
        run_step("pseudonym", id="1")


def test_data_that_are_not_there_are_waited_for_until_it_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 3: no receipt while there is time, then a refusal that says how long; without a time at once."""
    body = "print('land_interactions: 2026-01-05 has 0 events'); sys.exit(3)"
    monkeypatch.setattr("sys.executable", interpreter(tmp_path, body))
    sentence = "land_interactions: 2026-01-05 has 0 events"
    with pytest.raises(StepNotYetError, match=f"^{sentence}$"):
        run_step("land_interactions")
    assert run_step_when_there("land_interactions", give_up="2999-01-01T00:00:00+00:00") is None
    with pytest.raises(StepRefusedError) as refusal:
        run_step_when_there("land_interactions", give_up="2026-01-06T09:30:00+13:00")
    assert str(refusal.value) == (
        f"{sentence}; it was waited for until 2026-01-06T09:30:00+13:00 ([calendar] wait_hours)"
    )
    with pytest.raises(StepRefusedError, match=f"^{sentence}$"):
        run_step_when_there("land_interactions", give_up="")


WAIT = "pathlib.Path({pids!r}).write_text(str(os.getpid())); time.sleep(60)"


class TimeLimit(BaseException):
    """What Airflow raises in a task that runs for too long."""


def test_a_time_limit_of_the_task_ends_the_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pids = tmp_path / "pid"
    monkeypatch.setattr("sys.executable", interpreter(tmp_path, WAIT.format(pids=str(pids))))

    def interrupt(*_: object) -> None:
        if pids.exists() and pids.read_text():
            raise TimeLimit
        signal.setitimer(signal.ITIMER_REAL, 0.1)

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    try:
        with pytest.raises(TimeLimit):
            run_step("pseudonym", id="1")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not _alive(int(pids.read_text()))


@linux
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill -9", "kill"])
def test_a_step_dies_with_the_process_that_started_it(tmp_path: Path, number: signal.Signals) -> None:
    """However that one ends: nobody is left to run, to hold memory and to publish."""
    pids = tmp_path / "pid"
    task = (
        "import sys\n"
        f"sys.executable = {interpreter(tmp_path, WAIT.format(pids=str(pids)))!r}\n"
        "from pipelines.process import run_step\n"
        "run_step('pseudonym', id='1')\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", task], cwd=REPOSITORY)
    try:
        _wait_for(lambda: pids.exists() and pids.read_text() != "")
        child = int(pids.read_text())
        assert _alive(child)
    finally:
        parent.send_signal(number)
        parent.wait(10)
    _wait_for(lambda: not _alive(child))


def _alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended and was not yet waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _wait_for(condition: object) -> None:
    assert callable(condition)
    last = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < last, "waited for 20 seconds"
        time.sleep(0.05)
