"""Lists go back: to an earlier batch, in a new generation, and not to what was collected."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.published import CHAMPION, CREATED, DAY, HOUR, NEXT_DAY, document, live, people

from refit.errors import ConfigurationError, DamagedBatchError, NotFoundError
from refit.publication import (
    PointerOutcome,
    collect,
    point_back,
    require_point_back,
)
from refit.testing import FakeObjectStore


@pytest.fixture
def store() -> FakeObjectStore:
    return FakeObjectStore()


def back(store: FakeObjectStore, run: str = "back", **target: Any) -> PointerOutcome:
    done = point_back(store, **target, logical_run=run, reason="fell", by="lee", at="2026-01-07T00:00:00+00:00")
    assert done.dated is None
    return done.live


def test_a_rollback_names_an_earlier_batch_in_a_new_generation(store: FakeObjectStore) -> None:
    first, _ = live(store, "ann")
    live(store, "ben", at=CREATED + HOUR, run_date=NEXT_DAY)
    assert back(store, batch=first) == PointerOutcome("rolled_back", 3, DAY, first)
    assert people(store) == ["ann"]
    pointer = document(store)
    assert (pointer["highest"][2], pointer["current"][2]) == ("ben", "ann")
    told = ("generation", "kind", "logical_run", "batch", "at", "by", "reason")
    assert [pointer["history"][0][name] for name in told] == [
        *(3, "rollback", "back", first, "2026-01-07T00:00:00+00:00", "lee", "fell")
    ]
    assert [move["kind"] for move in pointer["history"]] == ["rollback", "publish", "publish"]


def test_a_rollback_is_done_once_whatever_was_published_since(store: FakeObjectStore) -> None:
    first, _ = live(store, "ann")
    live(store, "ben", at=CREATED + HOUR)
    back(store, batch=first)
    later, _ = live(store, "cem", at=CREATED + 2 * HOUR)
    assert back(store, batch=first) == PointerOutcome("rolled_back", 4, DAY, later)
    assert people(store) == ["cem"]


def test_after_a_rollback_older_runs_stay_behind_and_newer_ones_go_live(store: FakeObjectStore) -> None:
    first, _ = live(store, "ann")
    live(store, "ben", at=CREATED + 2 * HOUR)
    back(store, batch=first)
    assert live(store, "late", at=CREATED + HOUR)[1].live.outcome == "superseded"
    assert people(store) == ["ann"]
    assert live(store, "dia", at=CREATED + 3 * HOUR)[1].live.outcome == "published"


def champion(version: int) -> Any:
    return replace(CHAMPION, version=version)


def test_a_rollback_to_a_version_takes_its_newest_batch(store: FakeObjectStore) -> None:
    live(store, "ann", champion=champion(1))
    newest, _ = live(store, "ben", at=CREATED + HOUR, champion=champion(1))
    live(store, "cem", at=CREATED + 2 * HOUR, champion=champion(2))
    assert require_point_back(store, version=1)["batch"] == newest
    assert document(store)["generation"] == 3
    assert back(store, version=1).batch == newest
    assert people(store) == ["ben"]


def test_a_rollback_to_what_is_live_is_a_move_too(store: FakeObjectStore) -> None:
    """A publication that began before the rollback was known must lose its swap."""
    batch, _ = live(store, "ann")
    assert back(store, version=3) == PointerOutcome("rolled_back", 2, DAY, batch)


@pytest.mark.parametrize("act", [back, lambda store, **target: require_point_back(store, **target)])
def test_a_rollback_that_cannot_be_is_refused_with_a_sentence(store: FakeObjectStore, act: Any) -> None:
    with pytest.raises(
        NotFoundError, match=r"^nothing was ever published, so there is nothing to go back to: there is"
    ):
        act(store, version=3)
    batch, _ = live(store, "ann")
    with pytest.raises(NotFoundError) as refusal:
        act(store, version=7)
    assert str(refusal.value) == (
        "live.json remembers no batch made by champion version 7; it remembers batches of versions: 3; go back to one "
        "of these, or promote the model again and score"
    )
    with pytest.raises(NotFoundError, match=r"^live\.json remembers no batch x; "):
        act(store, batch="x")
    with pytest.raises(ConfigurationError, match="give one of the two"):
        act(store, batch="x", version=3)
    with pytest.raises(ConfigurationError, match="give one of the two"):
        act(store)
    manifest = f"batches/run_date={DAY}/batch={batch}/manifest.json"
    content = store.objects.pop(manifest)
    with pytest.raises(
        NotFoundError, match=r"manifest\.json is gone although live\.json remembers it; go back to anoth"
    ):
        act(store, batch=batch)
    store.objects[manifest] = content + b" "
    with pytest.raises(DamagedBatchError, match=r"manifest\.json differs from what was published; go back to another"):
        act(store, batch=batch)
    assert document(store)["generation"] == 1


def test_nobody_goes_back_to_what_was_collected(store: FakeObjectStore) -> None:
    first, _ = live(store, "ann")
    live(store, "ben", at=CREATED + HOUR)
    collected = collect(store, horizon="9", keep=1)
    assert {key.rpartition("/")[0] for key in collected.deleted} == {f"batches/run_date={DAY}/batch={first}"}
    with pytest.raises(NotFoundError, match=rf"^the files of every batch {first} that live\.json remembers have been"):
        back(store, batch=first)
