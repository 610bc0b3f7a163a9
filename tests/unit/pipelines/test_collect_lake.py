"""Collecting the lake: what is current or a rebuild needs stays; the rest goes when it is old enough, not sooner."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql.types import StructType

from pipelines.collect_lake import Receipt, run
from refit.adapters.folder import FolderObjectStore
from refit.config import Events, Lists, Retention, Shop, Training
from refit.digests import canonical_json, sha256
from refit.governance.audit_log import AuditLog
from refit.lake.lake import Lake, Landed
from refit.storage.object_store import ObjectStore
from refit.storage.store_clock import AheadOfClockError
from refit.testing import FakeObjectStore, FakeRegistry, crown

EMPTY, ONE_DAY = StructType(), timedelta(days=1)
FIRST = datetime(2026, 1, 5, tzinfo=UTC)
EVENTS = Events(weights={"purchase": 1.0}, relevant=("purchase",), bought=("purchase",))
KEPT = {"replaced_days": 10, "quarantine_days": 20, "training_sets_days": 60, "snapshots_days": 90}


def day(number: int) -> str:
    return (FIRST + number * ONE_DAY).date().isoformat()


class Shelf:
    """A lake with files of a few bytes, and what is needed to collect it."""

    def __init__(self, store: ObjectStore | None = None) -> None:
        self.store = store or FakeObjectStore()
        self.lake = Lake("nowhere", "catalog.json", self.store)
        self.log, self.registry = AuditLog(FakeObjectStore()), FakeRegistry()
        self.shop = Shop.model_construct(
            retention=Retention.model_validate({"lake": KEPT}), training=Training(), lists=Lists(), events=EVENTS
        )

    def land(self, landing: str, *days: int, apart: int = 0) -> list[Landed]:
        """Land days with one event each, and *apart* in quarantine, with the catalogue as of the end of the last."""
        own = [f"interactions/landing={landing}/event_date={day(n)}" for n in days]
        made = [Landed(day(n), f"{path}/fate=kept", 1, "d", landing) for n, path in zip(days, own, strict=True)]
        end, items, intake = day(days[-1] + 1), f"items/landing={landing}", f"intake/landing={landing}"
        tables: dict[str, tuple[StructType, list[Landed]]] = {
            "interactions": (EMPTY, made),
            "items": (EMPTY, [Landed(end, items, 1, "d", landing)]),
            "intake": (EMPTY, [Landed(day(n), intake, 1, "", landing) for n in days if apart]),
        }
        files = [f"{path}/fate={fate}/part-0" for path in own for fate in ("kept", "exact_repeats")]
        files += [f"interactions/landing={landing}/_SUCCESS", f"{items}/part-0", f"reports/landing={landing}/page.html"]
        for name in (*files, *([f"{intake}/part-0"] if apart else [])):
            self.store.create(name, landing.encode())
        self.lake.commit(landing, tables)
        return made

    def train(self, as_of: int, used: list[Landed], *, users: Landed | None = None, finished: bool = True) -> str:
        """Make a training set and return its digest."""
        digest = sha256(str(as_of).encode())
        place = f"training_sets/{digest[:16]}"
        for name in ("pairs/part-0", "holdout/part-0", "tuning-1/trial.json"):
            self.store.create(f"{place}/{name}", b"rows")
        if finished:
            manifest: dict[str, Any] = {
                "digest": digest,
                "ingredients": {"as_of": (FIRST + as_of * ONE_DAY).isoformat()},
                "used": [{**vars(entry), "schema": ""} for entry in used],
                **({"users": vars(users)} if users else {}),
            }
            self.store.create(f"{place}/manifest.json", canonical_json(manifest))
        return digest

    def collect(self, now: int) -> Receipt:
        return run(
            FIRST + now * ONE_DAY, shop=self.shop, lake=self.lake, log=self.log, open_registry=lambda: self.registry
        )

    def keys(self, prefix: str) -> list[str]:
        return [key for key in self.store.keys("") if key.startswith(prefix)]


def test_a_replaced_version_goes_days_after_it_was_noticed_and_what_is_current_stays() -> None:
    shelf = Shelf()
    shelf.land("one", 0, 1)
    shelf.land("two", 1)
    current = shelf.lake.days("interactions", FIRST, FIRST + 9 * ONE_DAY)
    before = shelf.store.keys("")
    for now in (2, 11):
        receipt = shelf.collect(now)
        assert (receipt.objects_deleted, receipt.waiting) == (0, 4)
    assert [key for key in shelf.store.keys("") if key != "catalog/unnamed.json"] == before
    receipt = shelf.collect(12)
    assert (receipt.versions_deleted, receipt.catalogue_deleted, receipt.snapshots_deleted) == (1, 2, 1)
    gone = set(before) - set(shelf.store.keys(""))
    assert {key for key in gone if not key.startswith("catalog/")} == {"items/landing=one/part-0"} | {
        f"interactions/landing=one/event_date={day(1)}/fate={fate}/part-0" for fate in ("kept", "exact_repeats")
    }
    assert shelf.lake.days("interactions", FIRST, FIRST + 9 * ONE_DAY) == current
    assert Lake("nowhere", "catalog.json", shelf.store).contents() == shelf.lake.contents()
    assert (shelf.collect(13).objects_deleted, shelf.collect(13).waiting) == (0, 0)


def test_what_became_current_meanwhile_is_kept() -> None:
    """A landing is at work when it is noticed first, and shown before its time has come."""
    shelf = Shelf()
    shelf.store.create(f"interactions/landing=slow/event_date={day(0)}/fate=kept/part-0", b"slow")
    assert shelf.collect(0).waiting == 1
    path = f"interactions/landing=slow/event_date={day(0)}/fate=kept"
    shelf.lake.commit("slow", {"interactions": (EMPTY, [Landed(day(0), path, 1, "d", "slow")])})
    assert shelf.collect(30).objects_deleted == 0
    assert shelf.keys("interactions/") == [f"{path}/part-0"]


def test_a_wrong_instant_deletes_nothing_that_was_named_until_then() -> None:
    shelf = Shelf()
    made = shelf.land("one", 0, apart=1)
    shelf.train(1, made)
    for number in range(1, 4):
        shelf.land(f"n{number}", number)
    before = shelf.store.keys("")
    assert shelf.collect(4000).objects_deleted == 0
    assert [key for key in shelf.store.keys("") if key != "catalog/unnamed.json"] == before
    assert shelf.collect(5).waiting == len(shelf.keys("catalog/interactions/")) + len(shelf.keys("catalog/items/")) - 2


def test_what_a_kept_training_set_was_made_from_stays() -> None:
    shelf = Shelf()
    first = shelf.land("one", 0)
    shelf.land("two", 0)
    digest = shelf.train(1, first)
    for now in (30, 60):
        assert shelf.collect(now).versions_deleted == 0
    assert shelf.keys("interactions/landing=one/")
    shelf.collect(62)
    receipt = shelf.collect(73)
    assert (receipt.versions_deleted, receipt.training_sets_deleted) == (2, 4)
    assert shelf.keys("interactions/landing=one/") == shelf.keys(f"training_sets/{digest[:16]}") == []


def test_training_sets_of_champions_stay_and_those_of_earlier_ones_can_be_rebuilt() -> None:
    shelf = Shelf()
    replaced = shelf.land("one", 0)
    shelf.land("two", 0)
    digests = [shelf.train(number, replaced) for number in range(4)]
    for number, digest in enumerate(digests[:3]):
        tags = {"training_set": digest, "digest": str(number), "cutoff": day(number)}
        challenger = shelf.registry.register(model_id=f"m{number}", run_id="r", tags=tags)
        crown(shelf.registry, challenger, shelf.log)
    for now in (100, 111):
        shelf.collect(now)
    left = [[key.rpartition("/")[2] for key in shelf.keys(f"training_sets/{digest[:16]}/")] for digest in digests]
    whole = ["part-0", "manifest.json", "part-0", "trial.json"]
    assert left == [["manifest.json"], whole, whole, []]
    assert shelf.keys("interactions/landing=one/")


def test_the_snapshot_that_says_who_consented_to_a_kept_training_set_stays() -> None:
    shelf = Shelf()
    named = [Landed(day(1), f"users/landing=u{number}", 1, "d", f"u{number}") for number in range(3)]
    for entry in named:
        shelf.store.create(f"{entry.path}/part-0", b"people")
        shelf.lake.commit(entry.landing, {"users": (EMPTY, [entry])})
    shelf.train(1, [], users=named[0])
    for now in (20, 30):
        shelf.collect(now)
    assert shelf.keys("users/") == ["users/landing=u0/part-0", "users/landing=u2/part-0"]


def test_before_anything_is_landed_nothing_is_done() -> None:
    shelf = Shelf()
    assert (shelf.collect(1).objects_deleted, shelf.store.keys("")) == (0, [])


def test_an_instant_after_the_clock_of_the_store_is_refused() -> None:
    store = FakeObjectStore(clock=FIRST + 5 * ONE_DAY)
    shelf = Shelf(store)
    shelf.land("one", 0)
    before = dict(store.objects)
    with pytest.raises(AheadOfClockError, match=r"^now="):
        shelf.collect(6)
    assert store.objects == before


def test_a_training_set_that_was_never_finished_goes() -> None:
    shelf = Shelf()
    shelf.train(50, [], finished=False)
    assert shelf.collect(50).waiting == 3
    assert shelf.collect(60).training_sets_deleted == 3


def test_what_a_killed_replay_left_goes() -> None:
    """Its training sets and summaries lie below a folder of its own, like those of the lake."""
    shelf = Shelf()
    for name in ("training_sets/a1/pairs/part-0", "summaries/b2/manifest.json"):
        shelf.store.create(f"replays/5f0c/{name}", b"rows")
    assert (shelf.collect(50).waiting, shelf.collect(51).replays_deleted) == (1, 0)
    collected = shelf.collect(60)
    assert (collected.replays_deleted, collected.objects_deleted) == (1, 2)
    assert shelf.keys("replays/") == []


def test_an_intake_goes_after_its_days_and_a_younger_one_stays() -> None:
    shelf = Shelf()
    shelf.land("one", 0, 5, apart=1)
    shelf.land("two", 6, apart=1)
    shelf.land("three", 7)
    shelf.collect(21)
    shelf.collect(25)
    assert shelf.keys("intake/landing=one/")
    for now in (26, 36):
        shelf.collect(now)
    assert shelf.keys("intake/") == ["intake/landing=two/part-0"]
    named = shelf.lake.days("intake", FIRST, FIRST + 99 * ONE_DAY)
    assert [entry.day for entry in named] == [day(6)]
    assert len(shelf.lake.days("interactions", FIRST, FIRST + 99 * ONE_DAY)) == 4


def test_of_old_snapshots_the_first_of_each_month_stays_and_the_newest_whatever_its_age() -> None:
    shelf = Shelf()
    for number in (0, 1, 30, 31, 32, 60, 61):
        shelf.land(f"n{number}", number)
    for now in (140, 150):
        shelf.collect(now)
    kept = {key.split("/")[1] for key in shelf.keys("items/")}
    assert kept == {f"landing=n{number}" for number in (0, 30, 60, 61)}
    for asked, landing in ((0, "n0"), (20, "n0"), (40, "n30"), (61, "n60"), (99, "n61")):
        found = shelf.lake.snapshot("items", FIRST + asked * ONE_DAY)
        assert found is not None
        assert found.landing == landing
    assert {key.split("/")[1] for key in shelf.keys("interactions/")} == {
        f"landing=n{number}" for number in (0, 1, 30, 31, 32, 60, 61)
    }


def test_an_interrupted_collection_is_finished_by_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf()
    for number in range(3):
        shelf.land(f"n{number}", 0)
    shelf.collect(1)
    delete = shelf.store.delete
    left = [1]

    def killed(key: str) -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        delete(key)

    monkeypatch.setattr(shelf.store, "delete", killed)
    with pytest.raises(KeyboardInterrupt):
        shelf.collect(11)
    monkeypatch.undo()
    shelf.collect(11)
    assert {key.split("/")[1] for key in shelf.keys("interactions/")} == {"landing=n2"}
    assert shelf.collect(12).waiting == 0


def test_files_of_others_are_left_alone_and_folders_do_not_stay_behind(tmp_path: Path) -> None:
    """On a disk Hadoop puts a hidden checksum beside each file."""
    shelf = Shelf(FolderObjectStore(tmp_path))
    for number in range(2):
        shelf.land(f"n{number}", 0)
    for path in tmp_path.rglob("part-0"):
        path.with_name(".part-0.crc").write_bytes(b"crc")
    for name in ("notes.txt", "others/checkpoints/x", "interactions/readme"):
        shelf.store.create(name, b"mine")
    for now in (1, 11):
        shelf.collect(now)
    assert not (tmp_path / "interactions" / "landing=n0").exists()
    assert not (tmp_path / "items" / "landing=n0").exists()
    assert (tmp_path / "interactions" / "landing=n1").exists()
    assert all((tmp_path / name).exists() for name in ("notes.txt", "others/checkpoints/x", "interactions/readme"))
    assert date.fromisoformat(day(0)) == shelf.lake.newest_day("interactions")
