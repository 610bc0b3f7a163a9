"""Publication: readers see the whole old batch or the whole new one, and never anything else."""

from __future__ import annotations

import io
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from refit.digests import canonical_json, sha256
from refit.errors import ConflictError, DamagedBatchError, NotFoundError, NothingPublishedError
from refit.interfaces import ModelVersion, StoredObject
from refit.publication import (
    LIVE,
    Published,
    Sealed,
    go_live,
    read_commit,
    read_live_batch,
    read_manifest,
    write_commit,
    write_manifest,
)
from refit.testing import FakeObjectStore

MODEL = {"name": "shop", "version": 3, "digest": "ab" * 32, "cutoff": "2026-01-01T00:00:00+00:00"}


def part(people: list[str]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"user_id": people}), sink)
    return sink.getvalue()


def stage(store: FakeObjectStore, batch: str, run_date: str = "2026-01-05") -> tuple[str, Sealed, dict[str, Any]]:
    """Write a judged batch of three people in two parts; return its prefix, what seals it and its commit."""
    prefix = f"batches/run_date={run_date}/batch={batch}"
    parts = []
    for number, people in enumerate([[f"{batch}-1", f"{batch}-2"], [f"{batch}-3"]]):
        content = part(people)
        store.create(f"{prefix}/part-{number}.parquet", content)
        parts.append({"key": f"{prefix}/part-{number}.parquet", "sha256": sha256(content), "rows": len(people)})
    commit = {"batch": batch, "run_date": run_date, "model": MODEL, "parts": parts}
    champion = ModelVersion(model_id="m-1", run_id="r-1", tags={}, **MODEL)
    write_commit(store, prefix, champion=champion, parts=parts, run_date=run_date)
    return prefix, write_manifest(store, prefix, commit, {"decision": "publish"}), commit


def people(store: FakeObjectStore) -> list[str]:
    return read_live_batch(store)["user_id"].to_pylist()


@pytest.fixture
def store() -> FakeObjectStore:
    return FakeObjectStore()


def test_nothing_is_published_before_the_first_batch_goes_live(store: FakeObjectStore) -> None:
    stage(store, "a")
    with pytest.raises(NothingPublishedError, match=r"^nothing is published at memory://fake: there is no live\.json$"):
        read_live_batch(store)


def test_the_first_batch_goes_live_with_all_its_rows_in_order(store: FakeObjectStore) -> None:
    assert go_live(store, *stage(store, "a")) == Published(True, 1, "2026-01-05", "a")
    assert people(store) == ["a-1", "a-2", "a-3"]
    assert read_manifest(store)["verdict"] == {"decision": "publish"}


def test_the_pointer_says_everything_a_reader_needs(store: FakeObjectStore) -> None:
    prefix, sealed, commit = stage(store, "a")
    go_live(store, prefix, sealed, commit)
    assert json.loads(store.objects[LIVE]) == {
        "format": "refit-live/1",
        "generation": 1,
        "run_date": "2026-01-05",
        "batch": "a",
        "manifest": f"{prefix}/manifest.json",
        "manifest_sha256": sha256(store.objects[f"{prefix}/manifest.json"]),
        "model": MODEL,
    }


@pytest.mark.parametrize("run_date", ["2026-01-05", "2026-01-06"])
def test_a_batch_of_the_same_or_a_later_date_replaces_the_live_one(store: FakeObjectStore, run_date: str) -> None:
    go_live(store, *stage(store, "a"))
    assert go_live(store, *stage(store, "b", run_date)) == Published(True, 2, run_date, "b")
    assert people(store) == ["b-1", "b-2", "b-3"]


def test_a_batch_for_an_older_date_leaves_the_pointer_alone(store: FakeObjectStore) -> None:
    """The answer says what is live instead."""
    go_live(store, *stage(store, "a"))
    before = dict(store.objects)
    assert go_live(store, *stage(store, "b", "2025-12-31")) == Published(False, 1, "2026-01-05", "a")
    assert store.objects[LIVE] == before[LIVE]
    assert people(store) == ["a-1", "a-2", "a-3"]


def test_publishing_the_live_batch_again_changes_nothing(store: FakeObjectStore) -> None:
    staged = stage(store, "a")
    go_live(store, *staged)
    before = dict(store.objects)
    assert go_live(store, *staged) == Published(True, 1, "2026-01-05", "a")
    assert store.objects == before


class BusyStore(FakeObjectStore):
    """Somebody else writes the pointer just before each of the first `busy` swaps."""

    busy = 0
    other: dict[str, Any]

    def swap(self, key: str, content: bytes, *, expected: str | None) -> str:
        if self.busy and key == LIVE:
            self.busy -= 1
            live = self.get(LIVE)
            generation = json.loads(live.content)["generation"] + 1 if live else 1
            self.objects[LIVE] = canonical_json({**self.other, "generation": generation})
        return super().swap(key, content, expected=expected)


def test_a_lost_swap_is_tried_again_on_top_of_the_winner() -> None:
    store = BusyStore()
    store.other = {"batch": "x", "run_date": "2026-01-04"}
    staged = stage(store, "a")
    store.busy = 3
    assert go_live(store, *staged) == Published(True, 4, "2026-01-05", "a")


def test_a_swap_lost_to_a_later_date_is_not_tried_again() -> None:
    store = BusyStore()
    store.other = {"batch": "x", "run_date": "2026-01-06"}
    staged = stage(store, "a")
    store.busy = 1
    assert go_live(store, *staged) == Published(False, 1, "2026-01-06", "x")


def test_a_pointer_that_never_rests_is_given_up_with_a_sentence() -> None:
    store = BusyStore()
    store.other = {"batch": "x", "run_date": "2026-01-04"}
    staged = stage(store, "a")
    store.busy = 1_000
    with pytest.raises(ConflictError, match=r"live\.json changed 10 times while batch a waited; try again$"):
        go_live(store, *staged)


class MeetingStore(FakeObjectStore):
    """The first look of each of two threads at the pointer waits for the other one, so both see the same state."""

    meeting = threading.Barrier(1)
    met: frozenset[int] = frozenset()

    def get(self, key: str) -> StoredObject | None:
        found = super().get(key)
        if key == LIVE and threading.get_ident() not in self.met:
            self.met |= {threading.get_ident()}
            self.meeting.wait(10)
        return found


def test_of_two_publishers_at_once_the_later_date_is_live_in_the_end() -> None:
    """Both swap from the same state, one loses and looks again; whatever the order, the newer batch wins."""
    store = MeetingStore()
    old, new = stage(store, "old", "2026-01-04"), stage(store, "new", "2026-01-05")
    store.meeting = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda staged: go_live(store, *staged), [old, new]))

    store.meeting = threading.Barrier(1)
    assert people(store) == ["new-1", "new-2", "new-3"]
    assert answers[1].live
    assert answers[1].generation == (2 if answers[0].live else 1)


@pytest.mark.parametrize("name", ["part-0.parquet", "part-1.parquet", "manifest.json"])
def test_a_file_that_was_changed_is_noticed_by_the_reader(store: FakeObjectStore, name: str) -> None:
    prefix, sealed, commit = stage(store, "a")
    go_live(store, prefix, sealed, commit)
    store.objects[f"{prefix}/{name}"] += b" "
    with pytest.raises(DamagedBatchError, match=rf"{name} differs from its SHA-256 in the manifest; publish again$"):
        read_live_batch(store)


@pytest.mark.parametrize("name", ["part-0.parquet", "part-1.parquet", "manifest.json"])
def test_a_file_that_is_gone_is_noticed_by_the_reader(store: FakeObjectStore, name: str) -> None:
    prefix, sealed, commit = stage(store, "a")
    go_live(store, prefix, sealed, commit)
    del store.objects[f"{prefix}/{name}"]
    with pytest.raises(DamagedBatchError, match=rf"{name} is gone although a live manifest names it; publish again$"):
        read_live_batch(store)


def test_a_batch_that_was_not_finished_is_not_found(store: FakeObjectStore) -> None:
    with pytest.raises(NotFoundError, match="holds no finished batch; run score_users first"):
        read_commit(store, "batches/run_date=2026-01-05/batch=a")


def test_the_commit_comes_back_as_it_was_written(store: FakeObjectStore) -> None:
    prefix, _, commit = stage(store, "a")
    assert read_commit(store, prefix) == commit


def test_a_manifest_is_never_rewritten_with_another_verdict(store: FakeObjectStore) -> None:
    prefix, sealed, commit = stage(store, "a")
    assert write_manifest(store, prefix, commit, {"decision": "publish"}) == sealed
    with pytest.raises(ConflictError):
        write_manifest(store, prefix, commit, {"decision": "refuse"})


def test_whoever_reads_while_a_batch_goes_live_sees_one_whole_batch(store: FakeObjectStore) -> None:
    """The old manifest stays valid: a reader that follows the old pointer finds every old file unchanged."""
    go_live(store, *stage(store, "a"))
    manifest = read_manifest(store)
    go_live(store, *stage(store, "b", "2026-01-06"))
    assert [sha256(store.objects[entry["key"]]) for entry in manifest["parts"]] == [
        entry["sha256"] for entry in manifest["parts"]
    ]


def test_the_package_reads_a_bucket_that_was_published_to(s3_endpoint: str) -> None:
    """`refit.read_live` needs an address and nothing else."""
    import refit
    from refit.adapters.s3 import S3ObjectStore

    bucket = S3ObjectStore.connect("s3://refit/published", endpoint=s3_endpoint)
    fake = FakeObjectStore()
    staged = stage(fake, "a")
    for key, content in fake.objects.items():
        bucket.create(key, content)
    with pytest.raises(NothingPublishedError):
        refit.read_live("s3://refit/published", endpoint=s3_endpoint)
    go_live(bucket, *staged)
    table = refit.read_live("s3://refit/published", endpoint=s3_endpoint)
    assert table["user_id"].to_pylist() == ["a-1", "a-2", "a-3"]
