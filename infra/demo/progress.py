"""What `make run` says while it works: which step, how long, and how much is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from infra.airflow.api import FINISHED, AirflowApi
from infra.errors import StackError

_POLL_SECONDS = 0.5
_STILL_SECONDS = 15.0
"""A step that takes longer than this says that it is still at work."""
_DONE = {"success", "failed", "skipped", "upstream_failed"}


class Progress:
    """The steps of one `make run`, in order, and the time that each has taken."""

    def __init__(self, planned: list[str], say: Callable[[str], None] = print) -> None:
        self._planned = planned
        self._say = say
        self._began = time.monotonic()
        self._reached = 0
        """Place of the last planned step that was named; steps beside the plan are told at that place."""
        self.seconds: dict[str, float] = {}

    @property
    def total(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Announce a step that is done here, and say how long it took."""
        self.begin(name)
        began = time.monotonic()
        yield
        self.end(name, time.monotonic() - began)

    def begin(self, name: str) -> None:
        """Say that a step begins."""
        self._say(f"[{self._place(name):>2}/{len(self._planned)}] {name} ...")

    def still(self, name: str, seconds: float) -> None:
        """Say that a step is still at work."""
        self._say(f"        {name} is at work for {seconds:.0f} s, {self._left(name)} to go after it")

    def end(self, name: str, seconds: float, state: str = "success") -> None:
        """Say that a step has ended."""
        self.seconds[name] = seconds
        how = "done" if state == "success" else state
        self._say(f"        {name} {how} in {seconds:.1f} s ({self.total:.0f} s in all), {self._left(name)} to go")

    def skip(self, name: str, why: str) -> None:
        """Say that a step is not needed."""
        self._say(f"        {name}: {why}")

    def _place(self, name: str) -> int:
        if name in self._planned:
            self._reached = self._planned.index(name) + 1
        return self._reached

    def _left(self, name: str) -> str:
        left = len(self._planned) - self._place(name)
        return f"{left} step{'' if left == 1 else 's'}"


def follow(api: AirflowApi, progress: Progress, dag_id: str, run_id: str, *, seconds: float) -> str:
    """
    Tell the progress of a run until it ends or asks a person; return its state, or `asking`.

    Raises:
        StackError: it did neither in time.
    """
    begun: dict[str, float] = {}
    told: dict[str, float] = {}
    deadline = time.monotonic() + seconds
    while True:
        state = api.state(dag_id, run_id)
        for task in sorted(api.task_instances(dag_id, run_id), key=lambda task: str(task["start_date"] or "z")):
            _tell(progress, task, begun, told)
        if state in FINISHED:
            return state
        if api.questions(dag_id, run_id):
            return "asking"
        if time.monotonic() > deadline:
            raise StackError(f"run {run_id} of {dag_id} is still {state} after {seconds:.0f} s; look at it in Airflow")
        time.sleep(_POLL_SECONDS)


def _tell(progress: Progress, task: dict[str, Any], begun: dict[str, float], told: dict[str, float]) -> None:
    name, state, now = str(task["task_id"]), task["state"], time.monotonic()
    if name in progress.seconds or name.startswith(("worth_", "anything_")):
        return
    if state == "running":
        if name not in begun:
            begun[name] = told[name] = now
            progress.begin(name)
        elif now - told[name] > _STILL_SECONDS:
            told[name] = now
            progress.still(name, now - begun[name])
    elif state in _DONE and name != "approve":
        progress.end(name, float(task["duration"] or 0.0), state)


def failure(api: AirflowApi, dag_id: str, run_id: str) -> str:
    """Return the last words of the task that failed."""
    for task in api.task_instances(dag_id, run_id):
        if task["state"] == "failed":
            log = api.log(dag_id, run_id, str(task["task_id"]), try_number=int(task["try_number"]))
            said = [line for line in log.splitlines() if f"{task['task_id']}: " in line]
            return f"{task['task_id']} failed: {said[-1].split(': ', 1)[-1] if said else log[-500:]}"
    return f"run {run_id} of {dag_id} failed without a failed task"
