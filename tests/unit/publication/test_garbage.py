"""Collecting: what a pointer or a rollback may need stays; everything else goes when it is old enough, not sooner."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.published import CREATED, DAY, go_live, publish_again, score

from pipelines import lower_horizon
from pipelines.collect_garbage import Receipt, run
from refit.adapters.s3 import S3ObjectStore
from refit.batches.pointer import date_pointer, read_pointer
from refit.config import Retention, Shop, load_shop
from refit.errors import ConfigurationError, NotFoundError, NothingPublishedError
from refit.governance.audit_log import AuditLog
from refit.publication import collect, new_attempt, point_back, stamp, write_manifest
from refit.publication.read import batch_prefix, read_live_batch, read_staged_batch
from refit.storage.store_clock import AheadOfClockError, NoClockError
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
    assert set(counts) <= {0, 5}
    return [count == 5 for count in counts]


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
    assert (receipt.batches_deleted, receipt.batches_kept, receipt.objects_deleted) == (5, 7, 25)
    assert read_live_batch(store)["user_id"].to_pylist() == ["u11", "v11"]
    for number in range(5):
        with pytest.raises(NothingPublishedError, match=r"have been collected; score and publish that date again$"):
            read_live_batch(store, day(number))
    for number in range(5, 12):
        assert read_live_batch(store, day(number))["user_id"].to_pylist() == [f"u{number}", f"v{number}"]


def test_what_dates_before_a_given_one_name_goes_and_what_that_date_names_stays(store: FakeObjectStore) -> None:
    prefixes = publish_days(store, 4)
    collected = collect(store, horizon=stamp(CREATED + 9 * ONE_DAY), keep=1, since=day(2))
    assert there(store, prefixes) == [False, False, True, True]
    assert set(collected.kept) == set(prefixes[2:])
    assert read_live_batch(store, day(2))["user_id"].to_pylist() == ["u2", "v2"]


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
    batch = new_attempt(logical_run="r", ordered_at=begun, created=begun, code="tests").batch
    prefix, commit = score(store, batch, [["zoe"]], created=begun)
    write_manifest(store, prefix, commit, {"decision": "refuse"}, good_until="")
    go_live(store, begun + HOUR, FILES)

    run(begun + 24 * HOUR, shop=shop, store=store)
    assert read_staged_batch(store, DAY, batch)["user_id"].to_pylist() == ["zoe"]
    receipt = run(begun + 24 * HOUR + timedelta(seconds=1), shop=shop, store=store)
    assert (receipt.batches_deleted, receipt.objects_deleted) == (1, 4)
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
    slow = new_attempt(logical_run="slow", ordered_at=CREATED + HOUR, created=CREATED + HOUR, code="tests").batch
    prefix, commit = score(store, slow, FILES, created=CREATED + HOUR, logical_run="slow")
    go_live(store, CREATED + 2 * HOUR, FILES)
    files = {key: store.objects[key] for key in store.keys(f"{prefix}/")}
    run(CREATED + 2 * ONE_DAY, shop=shop, store=store)
    store.objects |= files
    assert publish_again(store, prefix, commit).live.outcome == "expired"
    assert slow not in read_live_pointer(store)


def read_live_pointer(store: FakeObjectStore) -> str:
    return store.objects["live.json"].decode()


def test_whoever_still_writes_for_a_date_of_which_something_went_finds_the_horizon(
    store: FakeObjectStore, shop: Shop
) -> None:
    """For a date that nothing was published for, too: a late pointer would name files that may be gone."""
    publish_days(store, 3)
    for created in (CREATED - HOUR, CREATED):
        go_live(store, created, FILES, run_date="2026-01-04")
    never = "2026-01-03"
    late, commit = score(store, f"{stamp(CREATED)}-0123456789ab", FILES, run_date=never, logical_run="late")
    horizon = run(CREATED + 3 * ONE_DAY, shop=shop, store=store).horizon
    found = {date: read_pointer(store.objects[date_pointer(date)], date) for date in ("2026-01-04", never)}
    assert [(pointer.horizon, pointer.target is None) for pointer in found.values()] == [
        (horizon, False),
        (horizon, True),
    ]
    again, commit = score(store, f"{stamp(CREATED)}-0123456789ab", FILES, run_date=never, logical_run="late")
    dated = publish_again(store, again, commit).dated
    assert (again, dated and dated.outcome) == (late, "expired")


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


@pytest.mark.parametrize("deletes", range(0, 25, 3))
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
        "horizon": "20260105T110000Z",
        "batches_deleted": 2,
        "batches_kept": 7,
        "objects_deleted": 10,
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
        ("days = 0", ["[retention] days = 0 must be 1 or more"]),
        ("keep = 1", ["[retention] keep = 1 must be 2 or more"]),
        ("grace_hours = 0", ["[retention] grace_hours = 0 must be more than 0"]),
        ("weeks = 2", ["[retention] knows no weeks; known are days, grace_hours, keep"]),
    ],
)
def test_a_retention_that_cannot_be_is_refused(write_shop: ShopWriter, lines: str, parts: list[str]) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        load_shop(write_shop(append=f"[retention]\n{lines}"), "corner")
    assert [part for part in parts if part not in str(refusal.value)] == []


NOW = CREATED + 3 * ONE_DAY
"""What the clock of the store says where a test looks at it."""


def test_a_moment_that_is_still_to_come_is_refused_and_changes_nothing(store: FakeObjectStore, shop: Shop) -> None:
    """As horizon it would stop publication until then."""
    publish_days(store, 3)
    store.clock = NOW
    before = dict(store.objects)
    with pytest.raises(
        AheadOfClockError,
        match=r"^now=2027-01-05T00:00:00\+00:00 is 8,685\.0 hours after the clock of the object store "
        r"\(2026-01-08T03:00:00\+00:00\), 0\.25 hours are allowed: give an instant that has passed, or put the clock "
        r"of the machine right that has set it$",
    ):
        run(datetime(2027, 1, 5, tzinfo=UTC), shop=shop, store=store)
    assert store.objects == before


def test_a_clock_that_is_a_little_ahead_collects_as_of_the_clock_of_the_store(
    store: FakeObjectStore, shop: Shop
) -> None:
    publish_days(store, 3)
    store.clock = NOW - 24 * HOUR - timedelta(seconds=1)
    assert run(store.clock + timedelta(minutes=15), shop=shop, store=store).horizon == "20260106T025959Z"
    with pytest.raises(AheadOfClockError):
        run(store.clock + timedelta(minutes=15, seconds=1), shop=shop, store=store)


def test_what_was_begun_after_the_newest_published_batch_can_still_go_live(store: FakeObjectStore, shop: Shop) -> None:
    """Whatever the clocks of caller and store say: it is what comes next."""
    publish_days(store, 3)
    begun = CREATED + 2 * ONE_DAY + HOUR
    prefix, commit = score(
        store, f"{stamp(begun)}-0123456789ab", [["next"]], created=begun, run_date=day(3), logical_run="next"
    )
    receipt = run(datetime(2027, 1, 5, tzinfo=UTC), shop=shop, store=store)
    assert (receipt.horizon, receipt.batches_deleted) == ("20260107T030000Z", 1)
    assert publish_again(store, prefix, commit).live.outcome == "published"


@pytest.mark.parametrize("wrong", ["ordered_at", "created"])
def test_a_run_that_was_ordered_or_begun_in_the_future_is_refused_before_a_pointer_moves(
    store: FakeObjectStore, wrong: str
) -> None:
    """As fence it would supersede every run of its date until then."""
    go_live(store, CREATED, FILES)
    before = {key: store.objects[key] for key in store.keys("") if not key.startswith("batches/")}
    moments = {"ordered_at": NOW, "created": NOW, wrong: NOW + HOUR}
    name = f"{stamp(moments['created'])}-0123456789ab"
    prefix, commit = score(store, name, [["zoe"]], created=moments["ordered_at"], logical_run="zoe")
    store.clock = NOW
    with pytest.raises(AheadOfClockError, match=rf"^{wrong}=2026-01-08T04:00:00\+00:00 is 1\.0 hours after"):
        publish_again(store, prefix, commit)
    assert {key: store.objects[key] for key in store.keys("") if not key.startswith("batches/")} == before
    store.clock = NOW + HOUR
    assert publish_again(store, prefix, commit).live.outcome == "published"


def test_a_move_is_not_dated_with_a_moment_that_is_to_come(store: FakeObjectStore) -> None:
    store.clock = datetime(2026, 1, 4, 23, tzinfo=UTC)
    batch, commit = score(store, "20260104T230000Z-a", FILES, created=store.clock)
    with pytest.raises(AheadOfClockError, match=r"^at=2026-01-05T00:00:00\+00:00 is 1\.0 hours after the clock"):
        publish_again(store, batch, commit)


class TimelessStore(FakeObjectStore):
    """Answers without the time."""

    def ask(self, request: Any) -> Any:
        return replace(super().ask(request), at=None)


def test_a_store_that_tells_no_time_is_said_to(shop: Shop) -> None:
    store = TimelessStore()
    with pytest.raises(NoClockError, match=r"^the object store does not say what time it is, .* header Date$"):
        run(CREATED, shop=shop, store=store)
    with pytest.raises(NoClockError):
        go_live(store, CREATED, FILES)
    assert store.keys("dates/") == []


def poisoned(store: FakeObjectStore, shop: Shop, key: str) -> None:
    """Leave *key* as a wrong `now` of before has left it."""
    pointer = read_pointer(store.objects[key], key)
    store.objects[key] = replace(pointer, horizon="20270103T000000Z").to_json()


def test_a_horizon_in_the_future_is_lowered_on_record_and_lists_go_live_again(
    store: FakeObjectStore, shop: Shop
) -> None:
    """To the clock of the store, since what was begun before may have been deleted."""
    publish_days(store, 3)
    dated = f"dates/run_date={day(2)}.json"
    for key in ("live.json", dated):
        poisoned(store, shop, key)
    store.clock = NOW
    made = go_live(store, NOW - HOUR, [["zoe"]], run_date=day(3), logical_run="zoe")[1]
    assert made.live.outcome == "expired"
    log = AuditLog(store)
    for reason, name in (("", "dana"), ("a wrong now", " ")):
        with pytest.raises(ConfigurationError, match=r"give reason=\.\.\. and requested_by=\.\.\.$"):
            lower_horizon.run(reason, name, log=log, store=store)

    receipt = lower_horizon.run("a wrong now", "dana", log=log, store=store)
    was = {"live.json": "20270103T000000Z", dated: "20270103T000000Z"}
    assert receipt == lower_horizon.Receipt(lowered=was, horizon="20260108T030000Z", record=1)
    (record,) = log.verified()
    assert (record.kind, record.by, record.reason, record.at) == (
        "horizon",
        "dana",
        "a wrong now",
        "2026-01-08T03:00:00+00:00",
    )
    assert record.facts == {"horizons": was, "to": "20260108T030000Z"}
    assert [read_pointer(store.objects[key], key).horizon for key in was] == ["20260108T030000Z"] * 2

    at_once = lower_horizon.run("a wrong now", "dana", log=log, store=store)
    assert at_once == lower_horizon.Receipt(lowered={}, horizon="20260108T030000Z", record=None)

    store.clock = NOW + HOUR
    late = go_live(store, NOW - timedelta(seconds=1), [["zoe"]], run_date=day(3), logical_run="late")[1]
    assert late.live.outcome == "expired", "its files may be gone"
    assert go_live(store, NOW, [["zoe"]], run_date=day(3), logical_run="zoe")[1].live.outcome == "published"
    again = lower_horizon.run("a wrong now", "dana", log=log, store=store)
    assert again == lower_horizon.Receipt(lowered={}, horizon="20260108T040000Z", record=None)
    assert len(log.verified()) == 1


def test_lowering_the_horizon_leaves_everything_else_of_a_pointer_as_it_was(store: FakeObjectStore, shop: Shop) -> None:
    publish_days(store, 2)
    before = json.loads(store.objects["live.json"])
    poisoned(store, shop, "live.json")
    store.clock = NOW
    lower_horizon.run("a wrong now", "dana", log=AuditLog(store), store=store)
    assert json.loads(store.objects["live.json"]) == {**before, "horizon": "20260108T030000Z"}
    assert read_live_batch(store)["user_id"].to_pylist() == ["u1", "v1"]


def test_what_is_live_stays_when_neither_history_nor_its_date_names_it(store: FakeObjectStore, shop: Shop) -> None:
    """History remembers fifty moves; the batch itself is named by the pointer alone then."""
    (old, *_) = publish_days(store, 3)
    live = read_pointer(store.objects["live.json"], "live.json")
    first = read_pointer(store.objects[f"dates/run_date={day(0)}.json"], "date")
    kept = tuple(move for move in live.history if move["run_date"] != day(0))
    store.objects["live.json"] = replace(live, target=first.target, history=kept).to_json()
    store.objects[f"dates/run_date={day(0)}.json"] = replace(first, target=None).to_json()
    run(CREATED + 100 * ONE_DAY, shop=shop, store=store)
    assert there(store, [old]) == [True]
    assert read_live_batch(store)["user_id"].to_pylist() == ["u0", "v0"]


def test_before_the_first_publication_not_even_a_horizon_is_written(store: FakeObjectStore, shop: Shop) -> None:
    """A date that was filled in is no reason: what is live is what a collection goes by."""
    go_live(store, CREATED, FILES)
    del store.objects["live.json"]
    before = dict(store.objects)
    assert run(CREATED + 100 * ONE_DAY, shop=shop, store=store).horizon == ""
    assert store.objects == before
