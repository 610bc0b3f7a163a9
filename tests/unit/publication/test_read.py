"""Readers: one whole batch or an error, however collection and publication go on around them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest
from support.published import DAY, point, row, stage

import refit
from pipelines.addresses import Addresses
from refit.batches.pointer import LIVE, date_pointer
from refit.errors import (
    ConfigurationError,
    DamagedBatchError,
    NotFoundError,
    NothingPublishedError,
    TransientError,
)
from refit.publication.read import batch_prefix, read_live_batch, read_live_person, read_manifest, read_staged_batch
from refit.storage.object_store import StoredObject
from refit.testing import FakeObjectStore

FILES = [["ann", "ben"], ["cem"], ["dia", "eve"]]
PEOPLE = ["ann", "ben", "cem", "dia", "eve"]


@dataclass(eq=False)
class WatchedStore(FakeObjectStore):
    """Counts what is asked for, and lets a test do something just before an object is read."""

    asked: list[str] = field(default_factory=list)
    before: Callable[[str], None] = lambda key: None

    def get(self, key: str) -> StoredObject | None:
        self.asked.append(key)
        self.before(key)
        return super().get(key)

    def get_range(self, key: str, start: int, length: int) -> bytes | None:
        self.asked.append(key)
        self.before(key)
        return super().get_range(key, start, length)


@pytest.fixture
def store() -> WatchedStore:
    """Give a reader's view of a store in which batch a is live, with five people in three files."""
    shop = FakeObjectStore()
    point(shop, stage(shop, "a", FILES), 1)
    return WatchedStore(objects=shop.objects)


def others(store: FakeObjectStore) -> FakeObjectStore:
    """Return the same objects as somebody else sees them; what they ask for is not counted."""
    return FakeObjectStore(objects=store.objects)


def collect(store: FakeObjectStore, batch: str, run_date: str = DAY) -> None:
    """Delete everything of a batch."""
    for key in store.keys(f"batches/run_date={run_date}/batch={batch}/"):
        del store.objects[key]


def everybody(store: FakeObjectStore, run_date: str | None = None) -> list[str]:
    people: list[str] = read_live_batch(store, run_date)["user_id"].to_pylist()
    return people


def test_a_whole_batch_is_the_pointer_the_manifest_and_each_file_once(store: WatchedStore) -> None:
    assert everybody(store) == PEOPLE
    prefix = f"batches/run_date={DAY}/batch=a"
    assert store.asked == [LIVE, f"{prefix}/manifest.json", *[f"{prefix}/part-{n:05d}.parquet" for n in range(3)]]


def test_the_batch_of_a_date_is_read_by_the_pointer_of_that_date(store: WatchedStore) -> None:
    """As text or as a date; what is live does not matter."""
    old = stage(store, "old", [["zoe"]], run_date="2026-01-03")
    point(store, old, 7, key=date_pointer("2026-01-03"))
    assert everybody(store, "2026-01-03") == ["zoe"]
    assert read_live_batch(store, date(2026, 1, 3))["user_id"].to_pylist() == ["zoe"]
    assert read_live_person(store, "zoe", "2026-01-03") == row("zoe", "2026-01-03")
    assert read_live_person(store, "zoe") is None
    assert read_manifest(store, "2026-01-03")["batch"] == "old"
    assert everybody(store) == PEOPLE


def test_a_date_without_a_batch_says_so(store: WatchedStore) -> None:
    with pytest.raises(NothingPublishedError) as refusal:
        everybody(store, "2026-01-04")
    assert str(refusal.value) == (
        "nothing is published for 2026-01-04 at memory://fake: there is no dates/run_date=2026-01-04.json"
    )


def test_a_date_whose_batch_was_collected_says_so(store: WatchedStore) -> None:
    point(store, None, 8, key=date_pointer("2026-01-03"))
    with pytest.raises(NothingPublishedError) as refusal:
        read_live_person(store, "ann", "2026-01-03")
    assert str(refusal.value) == (
        "memory://fake/dates/run_date=2026-01-03.json names no lists: those for 2026-01-03 were never published or "
        "have been collected; score and publish that date again"
    )


@pytest.mark.parametrize("run_date", ["yesterday", "2026-02-30", "", "../live"])
def test_a_date_that_is_none_is_refused_before_anything_is_read(store: WatchedStore, run_date: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^run_date='.*' is no date; write YYYY-MM-DD$"):
        everybody(store, run_date)
    assert store.asked == []


@pytest.mark.parametrize("gone", ["manifest.json", "part-00000.parquet", "part-00002.parquet"])
def test_a_reader_that_was_overtaken_by_collection_starts_again(store: WatchedStore, gone: str) -> None:
    """Batch b goes live and a is collected just before the reader asks for *gone*; it returns b, whole."""
    newer = stage(others(store), "b", [["fay"], ["gil"]])

    def overtake(key: str) -> None:
        if key.endswith(f"batch=a/{gone}"):
            point(others(store), newer, 2)
            collect(store, "a")

    store.before = overtake
    assert everybody(store) == ["fay", "gil"]
    assert store.asked.count(LIVE) == 2


@pytest.mark.parametrize("gone", ["index.json", "part-00002.parquet"])
def test_a_reader_of_one_person_that_was_overtaken_starts_again(store: WatchedStore, gone: str) -> None:
    newer = stage(others(store), "b", [["dia"]])

    def overtake(key: str) -> None:
        if key.endswith(f"batch=a/{gone}"):
            point(others(store), newer, 2)
            collect(store, "a")

    store.before = overtake
    assert read_live_person(store, "dia") == row("dia")
    assert store.asked[-1] == f"batches/run_date={DAY}/batch=b/part-00000.parquet"


@dataclass(eq=False)
class ForbiddingStore(WatchedStore):
    """As S3 is to a reader that may not list: what is not there is forbidden."""

    def get(self, key: str) -> StoredObject | None:
        found = super().get(key)
        if found is None:
            raise TransientError(f"cannot read {key}: AccessDenied")
        return found


def test_a_reader_that_may_not_list_starts_again_too(store: WatchedStore) -> None:
    reader = ForbiddingStore(objects=store.objects)
    newer = stage(others(store), "b", [["fay"]])

    def overtake(key: str) -> None:
        if key.endswith("batch=a/part-00001.parquet"):
            point(others(store), newer, 2)
            collect(store, "a")

    reader.before = overtake
    assert everybody(reader) == ["fay"]

    del store.objects[f"batches/run_date={DAY}/batch=b/part-00000.parquet"]
    with pytest.raises(TransientError, match=r"part-00000\.parquet: AccessDenied$"):
        everybody(reader)


def test_a_pointer_that_names_the_same_batch_again_has_moved_too(store: WatchedStore) -> None:
    """Its generation tells: between two looks the pointer went to another batch and was rolled back."""
    key = f"batches/run_date={DAY}/batch=a/part-00001.parquet"
    content = store.objects[key]
    document = json.loads(store.objects[LIVE])

    def there(asked: str) -> None:
        if asked == key:
            del store.objects[key]
            store.objects[LIVE] = json.dumps({**document, "generation": 3}).encode()
            store.before = and_back

    def and_back(asked: str) -> None:
        store.objects[key] = content

    store.before = there
    assert everybody(store) == PEOPLE


def test_what_the_pointer_still_names_must_be_there(store: WatchedStore) -> None:
    """The pointer has not moved, so nobody may have collected it: a second look at the pointer is enough."""
    del store.objects[f"batches/run_date={DAY}/batch=a/part-00001.parquet"]
    with pytest.raises(DamagedBatchError) as damage:
        everybody(store)
    assert str(damage.value) == (
        f"memory://fake/batches/run_date={DAY}/batch=a/part-00001.parquet is gone although a live manifest names it; "
        "publish again"
    )
    assert store.asked.count(LIVE) == 2


def test_a_collection_that_raises_the_horizon_is_no_move(store: WatchedStore) -> None:
    """The pointer was rewritten and names what it named: what is missing was lost."""

    def raise_horizon(key: str) -> None:
        if key.endswith("manifest.json"):
            store.before = lambda key: None
            del store.objects[key]
            document = json.loads(store.objects[LIVE])
            store.objects[LIVE] = json.dumps({**document, "horizon": "20260104T000000Z"}).encode()

    store.before = raise_horizon
    with pytest.raises(DamagedBatchError, match=r"manifest\.json is gone although a live manifest names it"):
        everybody(store)


@pytest.mark.parametrize("changed", ["manifest.json", "part-00002.parquet"])
def test_bytes_that_differ_are_an_error_at_once(store: WatchedStore, changed: str) -> None:
    """No second start: a race leaves objects out, it never changes them."""
    store.objects[f"batches/run_date={DAY}/batch=a/{changed}"] += b" "
    with pytest.raises(DamagedBatchError, match=rf"{changed} differs from its SHA-256 in the manifest; publish again$"):
        everybody(store)
    assert store.asked.count(LIVE) == 1


def test_a_reader_gives_up_on_a_pointer_that_never_rests(store: WatchedStore) -> None:
    generation = 1

    def move(key: str) -> None:
        nonlocal generation
        if key.endswith("part-00000.parquet"):
            generation += 1
            point(others(store), stage(others(store), f"b{generation}", FILES), generation)
            del store.objects[key]

    store.before = move
    with pytest.raises(TransientError) as failure:
        everybody(store)
    assert str(failure.value) == (
        "memory://fake/live.json moved on during each of 5 reads and what it had named was collected; read again, and "
        "give readers more time in [retention] of shop.toml"
    )
    assert generation == 6


def test_a_refused_batch_is_read_by_its_id(store: WatchedStore) -> None:
    stage(store, "bad", [["ann"], ["zoe"]], decision="refuse")
    assert read_staged_batch(store, DAY, "bad")["user_id"].to_pylist() == ["ann", "zoe"]
    assert everybody(store) == PEOPLE


def test_a_batch_that_was_never_judged_or_is_collected_is_not_found(store: WatchedStore) -> None:
    with pytest.raises(NotFoundError) as refusal:
        read_staged_batch(store, DAY, "nothing")
    assert str(refusal.value) == (
        f"there is no memory://fake/batches/run_date={DAY}/batch=nothing/manifest.json; the batch was never judged or "
        "has been collected"
    )
    stage(store, "bad", [["ann"], ["zoe"]], decision="refuse")
    del store.objects[f"batches/run_date={DAY}/batch=bad/part-00001.parquet"]
    with pytest.raises(NotFoundError, match=r"part-00001\.parquet is gone .*; the batch is being collected$"):
        read_staged_batch(store, DAY, "bad")


def test_a_refused_batch_is_checked_against_its_manifest(store: WatchedStore) -> None:
    stage(store, "bad", [["ann"]], decision="refuse")
    store.objects[f"batches/run_date={DAY}/batch=bad/part-00000.parquet"] += b" "
    with pytest.raises(DamagedBatchError, match=r"part-00000\.parquet differs"):
        read_staged_batch(store, DAY, "bad")


def test_readers_look_for_batches_where_steps_put_them() -> None:
    assert batch_prefix(date(2026, 1, 5), "x") == Addresses("shop", "lake", "bucket").batch(DAY, "x")


class Requests:
    """Counts the requests that leave this process for S3."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def __call__(self, request: Any, **_: Any) -> None:
        self.sent.append(f"{request.method} {request.url.rpartition('/')[2]}")


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Requests:
    """Give what counts each request on the wire, retries included."""
    from refit.adapters.s3 import S3ObjectStore

    counted = Requests()
    connect = S3ObjectStore.connect.__func__  # type: ignore[attr-defined]

    def connect_counted(cls: type[S3ObjectStore], address: str, *, endpoint: str | None = None) -> S3ObjectStore:
        made = connect(cls, address, endpoint=endpoint)
        made.client.meta.events.register("before-send.s3.*", counted)
        return made

    monkeypatch.setattr(S3ObjectStore, "connect", classmethod(connect_counted))
    return counted


@pytest.mark.parametrize("files", [1, 3, 12])
def test_a_whole_batch_costs_at_most_three_requests_more_than_it_has_files(
    s3_endpoint: str, requests: Requests, files: int
) -> None:
    """At a real server, N part files: the pointer, the manifest and N; the promise is N + 3."""
    from refit.adapters.s3 import S3ObjectStore

    address = f"s3://refit/reading-{files}"
    store = S3ObjectStore.connect(address, endpoint=s3_endpoint)
    people = [[f"u{number:03d}"] for number in range(files)]
    target = stage(store, "a", people)
    point(store, target, 1)
    point(store, target, 1, key=date_pointer(DAY))

    requests.sent.clear()
    assert refit.read_live(address, endpoint=s3_endpoint).num_rows == files
    assert len(requests.sent) == files + 2 <= files + 3
    assert requests.sent[:2] == ["GET live.json", "GET manifest.json"]

    requests.sent.clear()
    assert refit.read_live(address, endpoint=s3_endpoint, run_date=DAY).num_rows == files
    assert len(requests.sent) == files + 2

    requests.sent.clear()
    assert refit.read_person(address, "u000", endpoint=s3_endpoint, run_date=DAY) == row("u000")
    assert len(requests.sent) == 4

    requests.sent.clear()
    assert refit.read_batch(address, DAY, "a", endpoint=s3_endpoint).num_rows == files
    assert len(requests.sent) == files + 1
