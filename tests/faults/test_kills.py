"""Every step of the loop is killed; run again, it goes on, and the lists are those of a loop that nobody disturbed."""

from __future__ import annotations

import random
import time

import pytest
from support.fault_shop import LOOP, FaultShop
from support.injection import Faults, Running, Table

pytestmark = pytest.mark.timeout(1800)
SEED = 20260105
AGAIN = "nothing of this try is visible, run the step again"
ASKING = ("check_drift", "register_model", "promote_model", "publish_recommendations")
"""Here these start no JVM and do little but ask, so they are killed at a request."""
WITH_JVM = ("land_interactions", "train_model", "score_users")
WITH_WORKERS = ("evaluate_model", "refit_model", "score_users")
"""The only steps that compute in Python workers of Spark."""


def wait_into(running: Running, seconds: float, share: float) -> bool:
    """Wait for its JVM and then for a *share* of what is left of its *seconds*; return whether it is still at work."""
    if running.seen(running.jvm):
        now = time.monotonic()
        then = now + max(seconds - (now - running.begun), 0.5) * share
        running.seen(lambda: time.monotonic() >= then)
    return running.process.poll() is None


def kill_step(shop: FaultShop, step: str, seconds: float, chance: random.Random) -> str:
    """Kill it some time after its JVM has begun, and return when; of a step that was faster another try is killed."""
    share = chance.uniform(0.05, 0.9)
    running = shop.start(step, shop.words(step))
    while not wait_into(running, seconds, share):
        share /= 2
        assert share > 0.01, f"{step} ended {running.wait().code} before it could be killed"
        running = shop.start(step, shop.words(step))
    running.kill()
    moment = f"{time.monotonic() - running.begun:.1f} s after its start"
    assert running.wait().code == -9
    running.require_nobody_left()
    return moment


def kill_at_request(shop: FaultShop, step: str, proxy: Faults, number: int, when: str) -> str:
    """Kill it before or after the server has done a request."""
    proxy.heal()
    proxy.rule = lambda seen, *_: when if seen == number else ""
    running = shop.start(step, shop.words(step))
    proxy.victim = running.process.pid
    ended = running.wait()
    proxy.heal()
    assert ended.code == -9, ended.log[-3000:]
    return f"{when.removeprefix('killed ')} request {number}"


def kill_jvm(shop: FaultShop, step: str, seconds: float) -> None:
    """Kill the JVM alone; the step survives it for a moment and says what happened."""
    running = shop.start(step, shop.words(step))
    assert wait_into(running, seconds, 0.3)
    jvm = running.jvm()
    assert jvm is not None
    jvm.kill()
    ended = running.wait()
    assert ended.code == 1, ended.log[-3000:]
    assert ended.said == f"{step}: the JVM of Spark is gone: killed, or out of memory; {AGAIN}", ended.log[-3000:]
    running.require_nobody_left()


@pytest.mark.parametrize("step", LOOP)
def test_a_step_that_is_killed_is_run_again(
    undisturbed: FaultShop, disturbed: FaultShop, s3: Faults, mlflow: Faults, faults: Table, step: str
) -> None:
    """First the step, then its JVM alone; the try that succeeds loses a Python worker."""
    chance, seconds = random.Random(f"{SEED} {step}"), undisturbed.seconds[step]
    if step in ASKING:
        proxy = s3 if step == "publish_recommendations" else mlflow
        number = chance.randint(1, undisturbed.asked[step])
        moment = kill_at_request(disturbed, step, proxy, number, chance.choice(["killed before", "killed after"]))
    else:
        moment = kill_step(disturbed, step, seconds, chance)
    if step in WITH_JVM:
        kill_jvm(disturbed, step, seconds)
        faults.add(f"kill -9 of the JVM of {step}", "a third of the way", "exit 1, says so")
    assert disturbed.pointer() is None or step == "publish_recommendations"
    running = disturbed.start(step, disturbed.words(step))
    if step in WITH_WORKERS:
        worker = running.seen(running.worker)
        assert worker is not None
        worker.kill()
        faults.add(f"kill -9 of a Python worker of {step}", "as soon as there is one", "survived")
    ended = running.wait()
    assert ended.code == 0, ended.log[-4000:]
    disturbed.receipts[step] = ended.receipt
    faults.add(f"kill -9 of {step}", moment, "run again: done")


def test_the_lists_are_those_of_an_undisturbed_loop(
    undisturbed: FaultShop, disturbed: FaultShop, faults: Table
) -> None:
    """Landed days, what tuning found, metrics, lists; a model names its shop, so its own digest is another one."""
    for step, name in (
        ("land_interactions", "digest"),
        ("tune_model", "score"),
        ("evaluate_model", "metrics"),
        ("promote_model", "champion"),
        ("score_users", "content_sha256"),
        ("publish_recommendations", "content_sha256"),
    ):
        assert disturbed.receipts[step][name] == undisturbed.receipts[step][name], (step, name)
    pointer = disturbed.pointer()
    assert pointer is not None
    assert (pointer.generation, len(pointer.history)) == (1, 1)
    disturbed.require_whole()
    shown = disturbed.receipts["publish_recommendations"]["content_sha256"][:16]
    faults.add("kill -9 of every step", "once each in one loop", f"lists identical, content_sha256 {shown}")
