"""Two runs for one date, a first try that comes back to life, and a backfill beside a live run."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from support.fault_shop import FaultShop
from support.injection import Faults, Table

from refit.batches.pointer import read_pointer
from refit.publication import date_pointer

pytestmark = pytest.mark.timeout(1800)


def stop_before(proxy: Faults, request: str) -> threading.Event:
    """Let the victim be stopped when it first makes *request*, which is lost; the event tells that it has."""
    stopped = threading.Event()
    proxy.heal()
    proxy.number = signal.SIGSTOP

    def rule(seen: int, method: str, path: str) -> str:
        if stopped.is_set() or not f"{method} {path}".startswith(request):
            return ""
        stopped.set()
        return "killed before"

    proxy.rule = rule
    return stopped


def test_a_first_try_that_comes_back_publishes_nothing_twice(live: FaultShop, s3: Faults, faults: Table) -> None:
    """Stopped when it moves `live.json`; the second try of the same run does it; then the first one goes on."""
    batch = live.score(3, "zombie")["batch"]
    before = live.pointer()
    assert before is not None
    stopped = stop_before(s3, "PUT /refit/undisturbed/live.json")
    zombie = live.start("publish_recommendations", {"batch": batch})
    s3.victim = zombie.process.pid
    try:
        assert stopped.wait(120)
        receipt = live.do("publish_recommendations", {"batch": batch})
        assert receipt["outcomes"]["live"] == "published"
    finally:
        os.kill(zombie.process.pid, signal.SIGCONT)
    ended = zombie.wait()
    assert ended.code == 0, ended.log[-3000:]
    after = live.pointer()
    assert after is not None
    assert after.generation == before.generation + 1
    assert sum(move["logical_run"] == "zombie" for move in after.history) == 1
    assert (ended.receipt["batch"], after.target.batch if after.target else "") == (receipt["batch"],) * 2
    faults.add("zombie first try", "SIGSTOP, second try publishes, SIGCONT", "one batch; the zombie names that one")


def test_two_runs_for_one_date_and_a_backfill_at_once(live: FaultShop, s3: Faults, faults: Table) -> None:
    """Of the two runs the one that was ordered later stays, whoever comes first; the backfill moves its date alone."""
    batches = [live.score(3, run, minute)["batch"] for run, minute in (("run A", 1), ("run B", 2))]
    past = live.score(-1, "a backfill")["batch"]
    running = [
        live.start("publish_recommendations", {"batch": batches[1]}),
        live.start("publish_recommendations", {"batch": batches[0]}),
        live.start("publish_recommendations", {"batch": past, "backfill": True}),
    ]
    ended = [one.wait() for one in running]
    assert [one.code for one in ended] == [0, 0, 0], [one.log[-2000:] for one in ended]
    assert ended[0].receipt["outcomes"]["live"] == "published"
    assert ended[1].receipt["outcomes"]["live"] in {"published", "superseded"}
    assert ended[2].receipt["outcomes"] == {"live": "left_alone", "date": "published"}
    after = live.pointer()
    assert after is not None
    assert after.target is not None
    assert after.target.batch in batches[1]
    fences = [move["fence"] for move in reversed(after.history) if move["kind"] == "publish"]
    assert fences == sorted(fences)
    dated = live.lists.get(date_pointer("2026-01-26"))
    assert dated is not None
    assert read_pointer(dated.content, "").target.batch in past  # type: ignore[union-attr]
    faults.add(
        "two runs for one date, a backfill beside", "three publishers at once", "the later run is live, order kept"
    )
