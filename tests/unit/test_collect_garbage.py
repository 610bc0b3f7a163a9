"""Collecting: what a pointer or a rollback may need stays; everything else goes when it is old enough, not sooner."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from published import CREATED, DAY, go_live, publish_again, score

from pipelines.collect_garbage import Receipt, run
from refit.adapters.s3 import S3ObjectStore
from refit.config import Retention, Shop, load_shop
from refit.errors import ConfigurationError, NotFoundError, NothingPublishedError
from refit.publication import new_try, point_back, write_manifest
from refit.publication.reading import batch_prefix, read_live_batch, read_staged_batch
from refit.testing import FakeObjectStore

ShopWriter = Callable[..., Path]
FILES = [["ann"], ["ben"]]
HOUR, ONE_DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def shop(write_shop: ShopWriter) -> Shop:
    """Give a shop that keeps the batch of a date for ten days, two batches for rollback, and all that is a day old."""
    return load_shop(write_shop(append="[retention]\ndays = 10\nkeep = 2\ngrace_hours = 24"), "corner")


@pytest.fixture
def store() -> FakeObjectStore:
    return FakeObjectStore()


def day(number: int) -> str:
    return (datetime(2026, 1, 5, tzinfo=UTC) + number * ONE_DAY).date().isoformat()


def publish_days(store: FakeObjectStore, count: int) -> list[str]:
    """Publish one batch a day, each begun at 03:00 of its day, and return their prefixes."""
    made = [go_live(store, CREATED + n * ONE_DAY, [[f"u{n}"], [f"v{n}"]], run_date=day(n))[0] for n in range(count)]
    return [batch_prefix(day(number), batch) for number, batch in enumerate(made)]


def there(store: FakeObjectStore, prefixes: list[str]) -> list[bool]:
    """Return for each batch whether it is there, whole; half a batch is an error."""
    counts = [len(store.keys(f"{prefix}/")) for prefix in prefixes]
    assert set(counts) <= {0, 4}
    return [count == 4 for count in counts]


def test_before_anything_is_published_nothing_is_deleted(store: FakeObjectStore, shop: Shop) -> None:
    score(store, "20200101T000000Z-000000000000", FILES)
    before = dict(store.objects)
    receipt = run(CREATED + 100 * ONE_DAY, shop=shop, store=store)
    assert (receipt.batches_deleted, receipt.objects_deleted) == (0, 0)
    assert store.objects == before


def test_everything_that_is_young_stays(store: FakeObjectStore, shop: Shop) -> None:
    """At noon of the third day no batch of a date is ten days old."""
    prefixes = publish_days(store, 3)
    assert run(CREATED + 2 * ONE_DAY + 9 * HOUR, shop=shop, store=store) == Receipt(
        horizon="20260106T120000Z", batches_deleted=0, batches_kept=3, objects_deleted=0, uploads_aborted=0
    )
    assert there(store, prefixes) == [True] * 3


def test_the_batch_of_a_date_goes_when_it_is_older_than_the_days_of_the_retention(
    store: FakeObjectStore, shop: Shop
) -> None:
    """Fifteen days on, of twelve daily batches those of the first five days go; the rest can be read, by date too."""
    prefixes = publish_days(store, 12)
    receipt = run(CREATED + 15 * ONE_DAY - HOUR, shop=shop, store=store)
    assert there(store, prefixes) == [False] * 5 + [True] * 7
    assert (receipt.batches_deleted, receipt.batches_kept, receipt.objects_deleted) == (5, 7, 20)
    assert read_live_batch(store)["user_id"].to_pylist() == ["u11", "v11"]
    for number in range(5):
        with pytest.raises(NothingPublishedError, match=r"have been collected; score and publish that date again$"):
            read_live_batch(store, day(number))
    for number in range(5, 12):
        assert read_live_batch(store, day(number))["user_id"].to_pylist() == [f"u{number}", f"v{number}"]


def test_the_live_batch_and_those_before_it_stay_whatever_their_age(store: FakeObjectStore, shop: Shop) -> None:
    """Nothing was published for half a year: two are kept, and a rollback to the other one works."""
    prefixes = publish_days(store, 4)
    receipt = run(CREATED + 180 * ONE_DAY, shop=shop, store=store)
    assert there(store, prefixes) == [False, False, True, True]
    assert (receipt.batches_deleted, receipt.batches_kept) == (2, 2)
    back = point_back(
        store, batch=prefixes[2].rpartition("=")[2], logical_run="back", reason="test", by="lee", at="2026-07-01"
    )
    assert back.live.outcome == "rolled_back"
    assert read_live_batch(store)["user_id"].to_pylist() == ["u2", "v2"]


def test_a_rollback_to_what_was_collected_is_refused_with_a_sentence(store: FakeObjectStore, shop: Shop) -> None:
    prefixes = publish_days(store, 4)
    run(CREATED + 180 * ONE_DAY, shop=shop, store=store)
    with pytest.raises(NotFoundError, match=r"have been collected; score again$"):
        point_back(
            store, batch=prefixes[0].rpartition("=")[2], logical_run="back", reason="test", by="lee", at="2026-07-01"
        )


def test_a_refused_batch_stays_readable_by_its_id_until_the_grace_is_over(store: FakeObjectStore, shop: Shop) -> None:
    go_live(store, CREATED, FILES)
    begun = CREATED + HOUR
    batch = new_try(logical_run="r", ordered_at=begun, created=begun, code="tests").batch
    prefix, commit = score(store, batch, [["zoe"]], created=begun)
    write_manifest(store, prefix, commit, {"decision": "refuse"}, good_until="")

    run(begun + 24 * HOUR, shop=shop, store=store)
    assert read_staged_batch(store, DAY, batch)["user_id"].to_pylist() == ["zoe"]
    receipt = run(begun + 24 * HOUR + timedelta(seconds=1), shop=shop, store=store)
    assert (receipt.batches_deleted, receipt.objects_deleted) == (1, 3)
    with pytest.raises(NotFoundError, match="was never judged or has been collected"):
        read_staged_batch(store, DAY, batch)


def test_files_of_a_batch_that_was_never_finished_go_too(store: FakeObjectStore, shop: Shop) -> None:
    """A killed scoring leaves part files and no index; a lost attempt of a task leaves a file beside a live batch."""
    batch, _ = go_live(store, CREATED + ONE_DAY, FILES)
    orphan = f"{batch_prefix(DAY, '20260105T000000Z-0123456789ab')}/part-00000-aaaa.parquet"
    beside = f"{batch_prefix(DAY, batch)}/part-00001-bbbb.parquet"
    store.create(orphan, b"half a batch")
    store.create(beside, b"a lost attempt")
    receipt = run(CREATED + 3 * ONE_DAY, shop=shop, store=store)
    assert orphan not in store.objects
    assert (receipt.batches_deleted, receipt.objects_deleted) == (1, 1)
    assert beside in store.objects, "it goes with its batch"


def test_a_batch_that_was_replaced_for_its_date_goes_after_the_grace(store: FakeObjectStore, shop: Shop) -> None:
    """Five batches for one date: the last one is live, one is kept for rollback."""
    made = [go_live(store, CREATED + n * HOUR, FILES)[0] for n in range(5)]
    run(CREATED + 2 * ONE_DAY, shop=shop, store=store)
    assert there(store, [batch_prefix(DAY, batch) for batch in made]) == [False, False, False, True, True]


def test_a_batch_that_slept_longer_than_the_grace_is_told_to_start_again(store: FakeObjectStore, shop: Shop) -> None:
    """It was scored before the horizon and asks to be published when its files may be gone already."""
    go_live(store, CREATED, FILES)
    slow = new_try(logical_run="slow", ordered_at=CREATED + HOUR, created=CREATED + HOUR, code="tests").batch
    prefix, commit = score(store, slow, FILES, created=CREATED + HOUR, logical_run="slow")
    files = {key: store.objects[key] for key in store.keys(f"{prefix}/")}
    run(CREATED + 2 * ONE_DAY, shop=shop, store=store)
    store.objects |= files
    assert publish_again(store, prefix, commit).live.outcome == "expired"
    assert slow not in read_live_pointer(store)


def read_live_pointer(store: FakeObjectStore) -> str:
    return store.objects["live.json"].decode()


def test_a_collection_again_deletes_nothing_more(store: FakeObjectStore, shop: Shop) -> None:
    publish_days(store, 12)
    now = CREATED + 15 * ONE_DAY
    run(now, shop=shop, store=store)
    before = dict(store.objects)
    assert run(now, shop=shop, store=store).objects_deleted == 0
    assert store.objects == before


@dataclass(eq=False)
class DyingStore(FakeObjectStore):
    """Dies at its n-th delete."""

    left: int = 0
    deleted: list[str] = field(default_factory=list)

    def ask(self, request: Any) -> Any:
        if type(request).__name__ == "Delete":
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
        return super().ask(request)


@pytest.mark.parametrize("deletes", range(0, 20, 3))
def test_a_collection_that_died_is_finished_by_the_next_one(store: FakeObjectStore, shop: Shop, deletes: int) -> None:
    """Whatever it had deleted, no pointer names anything that is gone."""
    prefixes = publish_days(store, 12)
    now = CREATED + 15 * ONE_DAY - HOUR
    with pytest.raises(KeyboardInterrupt):
        run(now, shop=shop, store=DyingStore(objects=store.objects, left=deletes))
    for key in store.keys("dates/"):
        target = json.loads(store.objects[key])
        assert "manifest" not in target or target["manifest"] in store.objects
    assert read_live_batch(store)["user_id"].to_pylist() == ["u11", "v11"]
    run(now, shop=shop, store=store)
    assert there(store, prefixes) == [False] * 5 + [True] * 7


def test_the_command_collects_a_bucket_with_its_unfinished_uploads(
    s3_endpoint: str,
    write_shop: ShopWriter,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Only those of the shop; the server says of every upload that it began in 2010."""
    from pipelines.__main__ import main

    bucket = S3ObjectStore.connect("s3://refit/corner", endpoint=s3_endpoint)
    made = [go_live(bucket, CREATED + n * HOUR, FILES)[0] for n in range(9)]
    for key in ("corner/left-behind", "another-shop/in-progress"):
        bucket.client.create_multipart_upload(Bucket="refit", Key=key)
    settings = {"S3_ENDPOINT": s3_endpoint, "BUCKET": "refit", "SHOP": "corner", "SHOPS": str(write_shop())}
    for name, value in settings.items():
        monkeypatch.setenv(f"REFIT_{name}", value)

    assert main(["collect_garbage", "now=2026-01-08"]) == 0
    receipt = json.loads(capsys.readouterr().out)
    assert receipt == {
        "horizon": "20260106T000000Z",
        "batches_deleted": 2,
        "batches_kept": 7,
        "objects_deleted": 8,
        "uploads_aborted": 1,
    }
    assert [bool(bucket.keys(f"{batch_prefix(DAY, batch)}/")) for batch in made] == [False] * 2 + [True] * 7
    open_uploads = bucket.client.list_multipart_uploads(Bucket="refit")["Uploads"]
    assert [upload["Key"] for upload in open_uploads] == ["another-shop/in-progress"]

    assert main(["collect_garbage", "now="]) == 0
    assert json.loads(capsys.readouterr().out)["horizon"] > "2026"


def test_the_shipped_retention_keeps_two_weeks_and_a_week_of_rollbacks() -> None:
    assert Retention() == Retention(days=14, keep=7, grace_hours=48)


@pytest.mark.parametrize(
    ("lines", "parts"),
    [
        ("days = 1\ngrace_hours = 25", ["retention", "grace_hours = 25 is longer than retention.days = 1"]),
        ("days = 0", ["retention.days", "greater than or equal to 1"]),
        ("keep = 1", ["retention.keep", "greater than or equal to 2"]),
        ("grace_hours = 0", ["retention.grace_hours", "greater than 0"]),
        ("weeks = 2", ["retention.weeks", "Extra inputs"]),
    ],
)
def test_a_retention_that_cannot_be_is_refused(write_shop: ShopWriter, lines: str, parts: list[str]) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        load_shop(write_shop(append=f"[retention]\n{lines}"), "corner")
    assert [part for part in parts if part not in str(refusal.value)] == []
