"""The symlink manifest: SQL engines switch to the live batch by one object, also after a crash between two writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.published import CREATED, DAY, go_live, point, score, stage

from pipelines import publish_recommendations, wiring
from refit.config import load_shop
from refit.errors import ConflictError
from refit.publication.symlinks import SYMLINKS, write_symlinks
from refit.storage.object_store import StoredObject
from refit.testing import FakeObjectStore
from refit.verdicts import Verdict


def named(store: FakeObjectStore) -> list[str]:
    return store.objects[SYMLINKS].decode().splitlines()


def files(batch: str, count: int) -> list[str]:
    return [f"memory://fake/batches/run_date={DAY}/batch={batch}/part-{n:05d}.parquet" for n in range(count)]


def test_it_names_every_part_file_of_the_live_batch_by_its_address() -> None:
    """One absolute address a line, and a line end after the last, as the engines want it."""
    store = FakeObjectStore()
    batch, _ = go_live(store, CREATED, [["ann"], ["ben"]])
    assert write_symlinks(store) is True
    assert named(store) == files(batch, 2)
    assert store.objects[SYMLINKS].endswith(b"part-00001.parquet\n")


def test_it_is_not_written_again_while_the_same_batch_is_live() -> None:
    store = FakeObjectStore()
    go_live(store, CREATED, [["ann"]])
    write_symlinks(store)
    before = dict(store.objects)
    assert write_symlinks(store) is False
    assert store.objects == before


def test_before_anything_is_live_nothing_is_written() -> None:
    store = FakeObjectStore()
    assert write_symlinks(store) is False
    assert store.objects == {}


def test_a_crash_between_the_pointer_and_the_symlinks_is_mended_by_the_next_call() -> None:
    store = FakeObjectStore()
    point(store, stage(store, "a", [["ann"]]), 1)
    write_symlinks(store)
    point(store, stage(store, "b", [["ben"], ["cem"]]), 2)
    assert named(store) == files("a", 1)
    assert write_symlinks(store) is True
    assert named(store) == files("b", 2)


@dataclass(eq=False)
class BusyStore(FakeObjectStore):
    """Lets others act just before a swap or a read; each action happens once."""

    before_swap: list[Callable[[], None]] = field(default_factory=list)

    def swap(self, key: str, content: bytes, *, expected: str | None) -> str:
        if self.before_swap:
            self.before_swap.pop(0)()
        return super().swap(key, content, expected=expected)


def overtaken(others: Callable[[FakeObjectStore], None]) -> BusyStore:
    """Return a store in which a is live and named, b has just gone live, and *others* act before the next swap."""
    shop = FakeObjectStore()
    point(shop, stage(shop, "a", [["ann"]]), 1)
    write_symlinks(shop)
    point(shop, stage(shop, "b", [["ben"]]), 2)
    return BusyStore(objects=shop.objects, before_swap=[lambda: others(shop)])


def test_a_writer_that_was_overtaken_leaves_the_newer_batch() -> None:
    """It had read that b is live; before it writes, c goes live and is named by its own writer."""

    def c_goes_live(shop: FakeObjectStore) -> None:
        point(shop, stage(shop, "c", [["cem"]]), 3)
        write_symlinks(shop)

    store = overtaken(c_goes_live)
    write_symlinks(store)
    assert named(store) == files("c", 1)


def test_a_writer_that_meets_the_same_bytes_again_still_leaves_what_is_live() -> None:
    """Before it writes b, others have named b and gone back to a: the object is as it was, and yet b would be wrong."""

    def there_and_back(shop: FakeObjectStore) -> None:
        write_symlinks(shop)
        point(shop, stage(shop, "a", [["ann"]]), 3)
        write_symlinks(shop)

    store = overtaken(there_and_back)
    assert write_symlinks(store) is True
    assert named(store) == files("a", 1)


def test_an_object_that_never_rests_is_given_up_with_a_sentence() -> None:
    shop = FakeObjectStore()
    point(shop, stage(shop, "a", [["ann"]]), 1)

    class Contested(FakeObjectStore):
        def swap(self, key: str, content: bytes, *, expected: str | None) -> str:
            raise ConflictError("somebody else was first")

    with pytest.raises(ConflictError) as failure:
        write_symlinks(Contested(objects=shop.objects))
    assert str(failure.value) == (
        "memory://fake/symlink/manifest.txt or the live batch changed 10 times meanwhile; try again"
    )


def test_a_reader_that_lists_the_folder_finds_one_object() -> None:
    """Hive takes every object of the folder for a list of files."""
    store = FakeObjectStore()
    for number, batch in enumerate("abc", 1):
        point(store, stage(store, batch, [["ann"]]), number)
        write_symlinks(store)
    assert store.keys("symlink/") == [SYMLINKS]
    found: StoredObject | None = store.get(SYMLINKS)
    assert found is not None
    assert found.content.decode().splitlines() == files("c", 1)


Publish = Callable[..., publish_recommendations.Receipt]


@pytest.fixture
def publish(write_shop: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Give what runs the publishing step; its gate has seen the lists and found them good."""
    shop = load_shop(write_shop(), "corner")
    followers = [lambda store, run_date: write_symlinks(store)]
    good = Verdict(gate="lists", decision="publish", measures=(), reasons=())
    monkeypatch.setattr(publish_recommendations, "judge_lists", lambda *_, **__: good)

    def run(batch: str, store: FakeObjectStore) -> publish_recommendations.Receipt:
        return publish_recommendations.run(
            batch,
            shop=shop,
            store=store,
            approved=lambda version: None,
            withdrawn=lambda version: None,
            at="2026-01-05T04:00:00+00:00",
            followers=followers,
        )

    return run


def test_publishing_writes_the_symlinks_last(publish: Publish) -> None:
    store = FakeObjectStore()
    prefix, _ = score(store, "20260105T030000Z-0123456789ab", [["ann"], ["ben"]], facts={"counts": {"people": 2}})
    assert publish(prefix, store).live is True
    assert named(store) == [f"memory://fake/{prefix}/part-{number:05d}.parquet" for number in range(2)]


def test_a_publication_that_died_between_the_pointer_and_the_symlinks_is_finished_by_its_next_try(
    publish: Publish,
) -> None:
    store = FakeObjectStore()
    prefix, _ = score(store, "20260105T030000Z-0123456789ab", [["ann"]], facts={"counts": {"people": 1}})

    def die() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(prefix, BusyStore(objects=store.objects, before_swap=[die]))
    assert "live.json" in store.objects
    assert SYMLINKS not in store.objects
    again = publish(prefix, store)
    assert (again.live, again.generation) == (True, 1)
    assert named(store) == [f"memory://fake/{prefix}/part-00000.parquet"]


@pytest.mark.parametrize(
    ("switch", "catalog", "expected"),
    [("", False, 0), ("[lists]\nsymlink_manifest = true", False, 1), ("[lists]\nsymlink_manifest = true", True, 2)],
    ids=["as shipped", "with symlinks", "with symlinks and a table"],
)
def test_what_follows_the_pointers_is_what_the_shop_and_the_deployment_ask_for(
    write_shop: Callable[..., Path],
    tmp_path: Path,
    s3_endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
    switch: str,
    catalog: bool,
    expected: int,
) -> None:
    """Every one of them is asked in turn and shows what is live."""
    bucket = f"follow-{expected}"
    settings = {"SHOPS": str(write_shop(append=switch)), "SHOP": "corner", "S3_ENDPOINT": s3_endpoint, "BUCKET": bucket}
    settings["ICEBERG_CATALOG"] = f"sqlite:///{tmp_path / 'catalog.db'}" if catalog else ""
    for name, value in settings.items():
        monkeypatch.setenv(f"REFIT_{name}", value)
    store = wiring.lists()
    store.client.create_bucket(Bucket=bucket)
    batch, _ = go_live(store, CREATED, [["ann"]])
    followers = wiring.followers()
    assert len(followers) == expected
    for follow in followers:
        follow(store, DAY)
    file = f"s3://{bucket}/corner/batches/run_date={DAY}/batch={batch}/part-00000.parquet"
    found = store.get(SYMLINKS)
    assert (found.content.decode().splitlines() if found else None) == ([file] if expected else None)
    assert bool(store.keys("iceberg/lists/metadata/")) == catalog
