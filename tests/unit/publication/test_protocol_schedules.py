"""The publication protocol under thousands of schedules of bad luck: no promise is ever broken."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from refit.batches.pointer import LIVE
from refit.storage.requests import DONE, MISSING, REFUSED, Create, Delete, Get, List, Swap
from refit.testing.schedules import Luck, Schedule
from refit.testing.simulated_store import SimulatedStore

# Tracing makes it four times slower, and the tests of faults cover the same lines.
pytestmark = pytest.mark.no_cover

SCHEDULES, EACH = 5_000, 400
"""The first EACH of every thousand are played here; `make simulate` plays 200,000."""


def broken(seeds: Iterator[int] | range, luck: Luck) -> dict[int, list[str]]:
    """Return the seeds whose schedule breaks a promise, with what broke."""
    found = {}
    for seed in seeds:
        violations = Schedule(seed, luck).play().violations
        if violations:
            found[seed] = violations
    return found


@pytest.mark.parametrize("first", range(0, SCHEDULES, 1_000))
def test_no_schedule_breaks_a_promise(first: int) -> None:
    assert broken(range(first, first + EACH), Luck()) == {}


def test_no_schedule_breaks_a_promise_when_nearly_half_of_all_requests_fail() -> None:
    assert broken(range(200), Luck(fault=0.4, crash=0.1)) == {}


def test_without_bad_luck_every_run_hears_the_truth_the_first_time() -> None:
    for seed in range(100):
        schedule = Schedule(seed, Luck(fault=0, crash=0))
        schedule.stalls = False
        assert schedule.play().violations == []
        told = {name: schedule.results[name].live.outcome for name in schedule.runs}
        assert set(told.values()) <= {"published", "superseded", "expired", "withdrawn", "left_alone", "ahead"}


def test_a_schedule_can_be_repeated_from_its_number() -> None:
    """Every byte that was ever written, in its order."""
    one, other = Schedule(7), Schedule(7)
    assert one.play() == other.play()
    assert one.store.versions == other.store.versions
    assert Schedule(8).play() != one.play()


def test_schedules_meet_everything_that_the_protocol_knows() -> None:
    """Otherwise the promises above would be cheap."""
    met: Counter[str] = Counter()
    for seed in range(600):
        schedule = Schedule(seed)
        schedule.play()
        for result in schedule.results.values():
            met[type(result).__name__ if isinstance(result, Exception) else result.live.outcome] += 1
        for versions in schedule.store.versions.values():
            met["collected"] += any(move.get("collected") for move in versions[-1]["history"])
            met["retired"] += any("batch" not in version and version["generation"] for version in versions[:-1])
            met["closed"] += "batch" not in versions[0]
        met["zombie"] += any(actor.kind == "zombie" for actor in schedule.actors)
    expected = {"published", "superseded", "withdrawn", "left_alone", "ahead", "rolled_back", "NotFoundError"}
    assert {name for name, times in met.items() if times >= 5} >= {
        *expected,
        "collected",
        "retired",
        "closed",
        "zombie",
    }


@pytest.fixture
def store() -> SimulatedStore:
    return SimulatedStore()


def test_the_simulated_store_answers_as_the_contract_of_stores_asks(store: SimulatedStore) -> None:
    """What `tests/contract/test_object_store.py` asks of the others; this one knows single requests only."""
    assert store.ask(Get("a")).outcome is MISSING
    first = store.ask(Create("a", b"1"))
    assert (first.outcome, store.ask(Get("a")).content) == (DONE, b"1")
    assert store.ask(Create("a", b"2")).outcome is REFUSED
    assert store.ask(Swap("b", b"2", first.etag)).outcome is REFUSED
    second = store.ask(Swap("a", b"2", first.etag))
    assert (second.outcome, store.ask(Get("a")).etag) == (DONE, second.etag)
    assert store.ask(Swap("a", b"3", first.etag)).outcome is REFUSED
    assert store.ask(List("a")).keys == ("a",)
    assert [store.ask(Delete("a")).outcome, store.ask(Delete("a")).outcome] == [DONE, DONE]
    assert store.ask(Get("a")).outcome is MISSING


def broken_pointer(store: SimulatedStore) -> None:
    named = {"manifest": "batches/x/manifest.json", "index": "batches/x/index.json"}
    store.ask(Create(LIVE, json.dumps({"batch": "x", **named, "history": []}).encode()))


def deleted_file(store: SimulatedStore) -> None:
    store.ask(Create("batches/x/places.jsonl", b""))
    store.ask(Create("batches/x/index.json", b'{"places": {"key": "batches/x/places.jsonl"}}'))
    store.ask(Create("batches/x/manifest.json", b'{"parts": []}'))
    broken_pointer(store)
    store.ask(Delete("batches/x/index.json"))


@pytest.mark.parametrize(
    ("act", "violation"),
    [
        (broken_pointer, "a pointer names a batch that is not whole"),
        (deleted_file, "a file was deleted that a pointer needs"),
    ],
)
def test_the_simulated_store_notices_at_once(
    store: SimulatedStore, act: Callable[[SimulatedStore], None], violation: str
) -> None:
    act(store)
    assert store.violations == [violation]
