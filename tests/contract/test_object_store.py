"""What every object store promises: whole objects, and writes that never overwrite somebody else's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from refit.adapters.folder import FolderObjectStore
from refit.adapters.s3 import S3ObjectStore, StoreUnavailableError
from refit.errors import ConfigurationError, ConflictError
from refit.storage.object_store import ObjectStore
from refit.storage.requests import DONE, MISSING, REFUSED, Answer, Create, Delete, Get, List, Swap
from refit.testing import FakeObjectStore

Opener = Callable[[], ObjectStore]


@pytest.fixture(params=["fake", "folder", "s3"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Give what opens one empty store, as each writer would for itself."""
    if request.param == "folder":
        return lambda: FolderObjectStore(tmp_path / "store")
    if request.param == "s3":
        endpoint = request.getfixturevalue("s3_endpoint")
        address = f"s3://refit/contract/{uuid4().hex}"
        return lambda: S3ObjectStore.connect(address, endpoint=endpoint)
    shared = FakeObjectStore()
    return lambda: shared


@pytest.fixture
def store(open_store: Opener) -> ObjectStore:
    return open_store()


def test_what_was_created_is_read_back_byte_for_byte(store: ObjectStore) -> None:
    content = bytes(range(256)) * 3
    etag = store.create("lists/part-0.parquet", content)

    found = store.get("lists/part-0.parquet")
    assert found is not None
    assert (found.content, found.etag) == (content, etag)


@pytest.mark.parametrize(
    ("start", "length", "expected"),
    [(0, 1, b"0"), (3, 4, b"3456"), (0, 10, b"0123456789"), (7, 100, b"789"), (10, 1, b""), (99, 5, b"")],
)
def test_a_range_is_the_bytes_from_its_start_and_ends_with_the_object(
    store: ObjectStore, start: int, length: int, expected: bytes
) -> None:
    store.create("ten", b"0123456789")
    assert store.get_range("ten", start, length) == expected


def test_there_is_no_range_of_what_is_not_there(store: ObjectStore) -> None:
    store.create("batches/a.json", b"1")
    assert store.get_range("nothing", 0, 5) is None
    assert store.get_range("batches", 0, 5) is None


def test_an_object_may_be_empty(store: ObjectStore) -> None:
    store.create("empty", b"")
    found = store.get("empty")
    assert found is not None
    assert found.content == b""


def test_there_is_no_object_before_one_is_written(store: ObjectStore) -> None:
    assert store.get("nothing.json") is None


def test_a_prefix_is_no_object(store: ObjectStore) -> None:
    store.create("batches/a.json", b"1")
    assert store.get("batches") is None


def test_creating_again_with_the_same_bytes_is_fine(store: ObjectStore) -> None:
    first = store.create("a.json", b"one")
    assert store.create("a.json", b"one") == first


def test_creating_again_with_other_bytes_is_a_conflict_and_changes_nothing(store: ObjectStore) -> None:
    store.create("a.json", b"one")
    with pytest.raises(ConflictError, match=r"a\.json"):
        store.create("a.json", b"two")

    found = store.get("a.json")
    assert found is not None
    assert found.content == b"one"


def test_swapping_none_creates_and_swapping_the_current_etag_replaces(store: ObjectStore) -> None:
    first = store.swap("live.json", b"one", expected=None)
    second = store.swap("live.json", b"two", expected=first)

    found = store.get("live.json")
    assert found is not None
    assert (found.content, found.etag) == (b"two", second)
    assert first != second


def test_swapping_an_etag_that_has_passed_is_a_conflict(store: ObjectStore) -> None:
    first = store.swap("live.json", b"one", expected=None)
    store.swap("live.json", b"two", expected=first)
    with pytest.raises(ConflictError, match=r"live\.json"):
        store.swap("live.json", b"three", expected=first)

    found = store.get("live.json")
    assert found is not None
    assert found.content == b"two"


def test_swapping_none_for_an_object_that_exists_is_a_conflict(store: ObjectStore) -> None:
    store.create("live.json", b"one")
    with pytest.raises(ConflictError):
        store.swap("live.json", b"two", expected=None)


def test_swapping_an_object_that_is_gone_is_a_conflict(store: ObjectStore) -> None:
    elsewhere = store.create("other.json", b"one")
    with pytest.raises(ConflictError):
        store.swap("live.json", b"two", expected=elsewhere)
    assert store.get("live.json") is None


def test_swapping_in_what_is_there_already_is_fine(store: ObjectStore) -> None:
    """A writer whose answer was lost tries again and must not take its own success for somebody else's."""
    first = store.swap("live.json", b"one", expected=None)
    second = store.swap("live.json", b"two", expected=first)
    assert store.swap("live.json", b"two", expected=first) == second


def test_of_two_swaps_at_once_exactly_one_wins(open_store: Opener) -> None:
    """Both have read the same object; whoever loses hears of it, and the winner's bytes stay."""
    start = open_store().create("live.json", b"start")
    together = threading.Barrier(2)

    def swap(content: bytes) -> bytes | None:
        own = open_store()
        together.wait()
        try:
            own.swap("live.json", content, expected=start)
        except ConflictError:
            return None
        return content

    with ThreadPoolExecutor(2) as pool:
        won = [content for content in pool.map(swap, [b"left", b"right"]) if content is not None]

    found = open_store().get("live.json")
    assert found is not None
    assert won == [found.content]


def test_keys_are_those_with_the_prefix_in_order(store: ObjectStore) -> None:
    for key in ("b/2.json", "a/1.json", "b/10.json", "b.json", "b/x/ä.json"):
        store.create(key, b"x")
    assert store.keys("b/") == ["b/10.json", "b/2.json", "b/x/ä.json"]
    assert store.keys("") == ["a/1.json", "b.json", "b/10.json", "b/2.json", "b/x/ä.json"]
    assert store.keys("c") == []


def test_what_was_deleted_is_gone_and_its_name_is_free(store: ObjectStore) -> None:
    store.create("b/x/1.json", b"one")
    store.create("b/2.json", b"two")
    store.delete("b/x/1.json")
    assert store.get("b/x/1.json") is None
    assert store.keys("") == ["b/2.json"]
    store.create("b/x/1.json", b"other")
    assert [store.get_range(key, 0, 9) for key in store.keys("")] == [b"two", b"other"]


def test_deleting_what_is_not_there_is_no_error(store: ObjectStore) -> None:
    store.delete("nothing.json")
    store.create("a.json", b"x")
    store.delete("a.json")
    store.delete("a.json")
    assert store.keys("") == []


def test_a_single_request_is_answered_as_it_is(store: ObjectStore) -> None:
    """No look at what is there, no second try: who asks like this decides for himself."""
    assert store.ask(Get("a")) == Answer(MISSING)
    first = store.ask(Create("a", b"one"))
    assert store.ask(Get("a")) == Answer(DONE, b"one", first.etag)
    assert store.ask(Create("a", b"one")) == Answer(REFUSED)
    assert store.ask(Swap("nothing", b"one", first.etag)) == Answer(REFUSED)
    second = store.ask(Swap("a", b"two", first.etag))
    assert (second.outcome, second.etag == first.etag) == (DONE, False)
    assert store.ask(Swap("a", b"two", first.etag)) == Answer(REFUSED)
    assert store.ask(List("")) == Answer(DONE, keys=("a",))
    assert [store.ask(Delete("a")), store.ask(Delete("a"))] == [Answer(DONE), Answer(DONE)]
    assert store.ask(List("")) == Answer(DONE)


def test_a_folder_keeps_no_empty_folders(tmp_path: Path) -> None:
    store = FolderObjectStore(tmp_path)
    store.create("a/b/c.json", b"x")
    store.create("a/d.json", b"x")
    store.delete("a/b/c.json")
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".lock", "a", "d.json"]


def test_where_no_upload_is_open_none_is_aborted(store: ObjectStore) -> None:
    store.create("a.json", b"x")
    assert store.abort_uploads(datetime.now(UTC)) == 0
    assert store.keys("") == ["a.json"]


def test_uploads_that_were_begun_before_a_moment_are_aborted_and_later_ones_go_on(s3_endpoint: str) -> None:
    """The server of the tests says of every upload that it began in November 2010."""
    store = S3ObjectStore.connect("s3://refit/contract/uploads", endpoint=s3_endpoint)
    store.client.create_multipart_upload(Bucket="refit", Key="contract/uploads/part-00000.parquet")
    assert store.abort_uploads(datetime(2010, 1, 1, tzinfo=UTC)) == 0
    assert store.abort_uploads(datetime(2011, 1, 1, tzinfo=UTC)) == 1
    assert store.abort_uploads(datetime(2011, 1, 1, tzinfo=UTC)) == 0


def test_the_address_says_where_it_begins(s3_endpoint: str, tmp_path: Path) -> None:
    assert S3ObjectStore.connect("s3a://refit/some/shop/", endpoint=s3_endpoint).address == "s3://refit/some/shop"
    assert S3ObjectStore.connect("s3://refit", endpoint=s3_endpoint).address == "s3://refit"
    assert FolderObjectStore(tmp_path).address == str(tmp_path)


def test_a_bucket_may_be_a_store_without_a_prefix(s3_endpoint: str) -> None:
    whole = S3ObjectStore.connect("s3://refit", endpoint=s3_endpoint)
    part = S3ObjectStore.connect("s3://refit/without-prefix", endpoint=s3_endpoint)
    part.create("a.json", b"x")
    assert whole.keys("without-prefix/") == ["without-prefix/a.json"]


@pytest.mark.parametrize("address", ["refit/shop", "http://refit/shop", "s3://", "s3:///shop"])
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is not an address of the form s3://bucket/prefix$"):
        S3ObjectStore.connect(address)


@pytest.mark.parametrize("verb", ["read", "read part of", "write", "list"])
def test_an_s3_server_that_is_down_is_one_sentence_that_asks_for_another_try(
    s3_endpoint: str, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("refit.adapters.s3._CONFIG", _impatient())
    monkeypatch.setattr("refit.storage.requests._FIRST_PAUSE", 0.001)
    store = S3ObjectStore.connect("s3://refit/shop", endpoint="http://127.0.0.1:9")
    calls = {
        "read": lambda: store.get("live.json"),
        "read part of": lambda: store.get_range("live.json", 0, 1),
        "write": lambda: store.create("live.json", b"x"),
        "list": lambda: store.keys("live.json"),
    }
    with pytest.raises(StoreUnavailableError) as failure:
        calls[verb]()
    assert str(failure.value).startswith(f"cannot {verb.split()[0]} s3://refit/shop/live.json: ")
    assert str(failure.value).endswith("; is the object store up?")
    assert "\n" not in str(failure.value)


def test_a_bucket_that_does_not_exist_is_told_from_an_object_that_does_not(s3_endpoint: str) -> None:
    store = S3ObjectStore.connect("s3://no-such-bucket/shop", endpoint=s3_endpoint)
    with pytest.raises(StoreUnavailableError, match="NoSuchBucket"):
        store.get("live.json")
    with pytest.raises(StoreUnavailableError, match="NoSuchBucket"):
        store.create("live.json", b"x")


def test_a_folder_shows_no_object_that_is_not_written_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full at the last moment leaves neither the object nor a rest of it."""

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    store = FolderObjectStore(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space left"):
            store.create("a.json", b"x")
    assert store.get("a.json") is None
    assert store.keys("") == []
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def _impatient() -> object:
    """Return boto3's settings with short waits: the sentences are the same after long ones."""
    from botocore.config import Config

    return Config(retries={"total_max_attempts": 1, "mode": "standard"}, connect_timeout=2, read_timeout=1)
