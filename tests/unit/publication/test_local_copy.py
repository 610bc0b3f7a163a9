"""A copy for loaders: every byte checked, and a folder that is absent or whole, whenever the copier dies."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.published import DAY, point, stage

import refit
from pipelines.copy_lists import Receipt, run
from pipelines.settings import REPOSITORY
from refit.adapters.folder import FolderObjectStore
from refit.adapters.s3 import S3ObjectStore
from refit.batches.pointer import LIVE, date_pointer
from refit.digests import sha256
from refit.errors import DamagedBatchError, NothingPublishedError
from refit.publication.local_copy import Copied, CopyFailedError, copy_live
from refit.storage.object_store import StoredObject
from refit.testing import FakeObjectStore

FILES = [["ann", "ben"], ["cem"]]


@pytest.fixture
def store() -> FakeObjectStore:
    """Give a store in which batch a is live, with three people in two files."""
    made = FakeObjectStore()
    point(made, stage(made, "a", FILES), 1)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give the place of the copies, which the first copy makes."""
    return tmp_path / "for loaders" / "lists"


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def rest(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def people(folder: Path) -> list[str]:
    """Return whom a loader finds that reads the files below `current`."""
    files = sorted((folder / "current").glob("*.parquet"))
    return [user_id for file in files for user_id in pq.read_table(file)["user_id"].to_pylist()]


def test_a_copy_has_the_bytes_of_the_batch_and_its_manifest(store: FakeObjectStore, folder: Path) -> None:
    copied = copy_live(store, folder)
    prefix = f"batches/run_date={DAY}/batch=a"
    names = ["manifest.json", "part-00000.parquet", "part-00001.parquet"]
    assert visible(copied.folder) == names
    assert [(copied.folder / name).read_bytes() for name in names] == [store.objects[f"{prefix}/{n}"] for n in names]
    assert copied == Copied(
        folder=folder / "batch=a",
        copied=True,
        generation=1,
        run_date=DAY,
        batch="a",
        files=2,
        rows=3,
        bytes=sum(len(store.objects[f"{prefix}/{name}"]) for name in names[1:]),
    )
    assert visible(folder) == ["batch=a", "current"]
    assert os.readlink(folder / "current") == "batch=a"
    assert rest(folder) == [".lock"]
    assert people(folder) == ["ann", "ben", "cem"]


def test_a_whole_copy_is_left_alone(store: FakeObjectStore, folder: Path) -> None:
    """Its files are not written again, and the answer says so."""
    first = copy_live(store, folder)
    before = {path.name: path.stat().st_ino for path in first.folder.iterdir()}
    again = copy_live(store, folder)
    assert again.copied is False
    assert {path.name: path.stat().st_ino for path in first.folder.iterdir()} == before
    assert (again.folder, again.rows) == (first.folder, 3)


@pytest.mark.parametrize("harm", ["changed", "gone"])
def test_a_copy_that_was_damaged_is_made_again(store: FakeObjectStore, folder: Path, harm: str) -> None:
    damaged = copy_live(store, folder).folder / "part-00001.parquet"
    if harm == "gone":
        damaged.unlink()
    else:
        damaged.write_bytes(damaged.read_bytes() + b" ")
    assert copy_live(store, folder).copied is True
    assert people(folder) == ["ann", "ben", "cem"]
    assert rest(folder) == [".lock"]


def test_the_next_batch_takes_over_and_the_one_before_stays_for_slow_loaders(
    store: FakeObjectStore, folder: Path
) -> None:
    copy_live(store, folder)
    for generation, batch in enumerate(["b", "c"], 2):
        point(store, stage(store, batch, [[batch]]), generation)
        assert copy_live(store, folder).copied is True
        assert people(folder) == [batch]
    assert visible(folder) == ["batch=b", "batch=c", "current"]


def test_a_rollback_leads_back_to_the_copy_that_is_still_there(store: FakeObjectStore, folder: Path) -> None:
    first = stage(store, "b", [["bea"]])
    copy_live(store, folder)
    point(store, first, 2)
    copy_live(store, folder)
    point(store, stage(store, "a", FILES), 3)
    back = copy_live(store, folder)
    assert (back.copied, back.generation, back.batch) == (False, 3, "a")
    assert people(folder) == ["ann", "ben", "cem"]
    assert visible(folder) == ["batch=a", "batch=b", "current"]


def test_the_batch_of_a_date_may_be_copied(store: FakeObjectStore, tmp_path: Path) -> None:
    point(store, stage(store, "old", [["zoe"]], run_date="2026-01-03"), 4, key=date_pointer("2026-01-03"))
    receipt = run(str(tmp_path / "third"), "2026-01-03", store=store)
    assert (receipt.generation, receipt.run_date, receipt.batch) == (4, "2026-01-03", "old")
    assert people(tmp_path / "third") == ["zoe"]


@pytest.mark.parametrize("part", ["part-00000.parquet", "part-00001.parquet", "manifest.json"])
def test_a_store_with_other_bytes_gives_no_copy(store: FakeObjectStore, folder: Path, part: str) -> None:
    store.objects[f"batches/run_date={DAY}/batch=a/{part}"] += b" "
    with pytest.raises(DamagedBatchError, match=rf"{part} differs from its SHA-256"):
        copy_live(store, folder)
    assert visible(folder) == []
    assert rest(folder) == [".lock"]


def test_where_nothing_is_published_nothing_is_copied(folder: Path) -> None:
    with pytest.raises(NothingPublishedError):
        copy_live(FakeObjectStore(), folder)
    assert visible(folder) == []


@dataclass(eq=False)
class OvertakenStore(FakeObjectStore):
    """Does something just before the second part file is read for the first time."""

    overtake: Callable[[], None] | None = None

    def get(self, key: str) -> StoredObject | None:
        if self.overtake and key.endswith("part-00001.parquet"):
            once, self.overtake = self.overtake, None
            once()
        return super().get(key)


def test_a_copy_that_was_overtaken_by_collection_is_of_the_newer_batch(store: FakeObjectStore, folder: Path) -> None:
    """The first file of batch a had arrived already; nothing of it is left."""
    reader = OvertakenStore(objects=store.objects)
    newer = stage(store, "b", [["fay"]])

    def overtake() -> None:
        point(store, newer, 2)
        for key in store.keys(f"batches/run_date={DAY}/batch=a/"):
            del store.objects[key]

    reader.overtake = overtake
    assert copy_live(reader, folder).batch == "b"
    assert people(folder) == ["fay"]
    assert visible(folder) == ["batch=b", "current"]


def test_a_full_disk_is_one_sentence_and_changes_nothing(
    store: FakeObjectStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy_live(store, folder)
    point(store, stage(store, "b", FILES), 2)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(CopyFailedError) as failure:
            copy_live(store, folder)
    assert str(failure.value) == (
        f"cannot copy the lists of memory://fake to {folder}: No space left on device; what was there is unchanged; "
        "make room, or give a folder that can be written, and copy again"
    )
    assert visible(folder) == ["batch=a", "current"]
    assert rest(folder) == [".lock"]


def test_what_others_keep_in_the_folder_is_not_touched(store: FakeObjectStore, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    (folder / "loaded").mkdir()
    copy_live(store, folder)
    for generation, batch in enumerate(["b", "c"], 2):
        point(store, stage(store, batch, FILES), generation)
        copy_live(store, folder)
    assert visible(folder) == ["batch=b", "batch=c", "current", "loaded", "notes.txt"]
    assert (folder / "notes.txt").read_text() == "mine"


def test_the_package_and_the_command_copy_a_bucket(
    s3_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipelines.__main__ import main

    bucket = S3ObjectStore.connect("s3://refit/copies", endpoint=s3_endpoint)
    point(bucket, stage(bucket, "a", FILES), 1)
    copied = refit.copy_live("s3://refit/copies", tmp_path / "one", endpoint=s3_endpoint)
    assert people(tmp_path / "one") == ["ann", "ben", "cem"]

    for name, value in {"S3_ENDPOINT": s3_endpoint, "BUCKET": "refit", "SHOP": "copies"}.items():
        monkeypatch.setenv(f"REFIT_{name}", value)
    assert main(["copy_lists", f"folder={tmp_path / 'two'}"]) == 0
    receipt = json.loads(capsys.readouterr().out)
    assert (
        receipt
        == Receipt(
            folder=str(tmp_path / "two" / "batch=a"),
            copied=True,
            generation=1,
            run_date=DAY,
            batch="a",
            files=2,
            rows=3,
            bytes=copied.bytes,
        ).__dict__
    )


COPIER = """
import os, sys, time
from pathlib import Path
from refit.adapters.folder import FolderObjectStore
from refit.publication import local_copy

calls = 0

def counted(name, real):
    def call(*arguments, **more):
        global calls
        if calls == stop_at:
            print(f"reached {name} {os.getpid()}", flush=True)
            time.sleep(pause)
        calls += 1
        return real(*arguments, **more)
    return call

for place, name in [(os, "fsync"), (os, "replace"), (Path, "rename"), (Path, "mkdir"), (Path, "symlink_to")]:
    setattr(place, name, counted(name, getattr(place, name)))
pause = float(sys.argv[2])
for line in sys.stdin:
    stop_at, folder = int(line.split()[0]), Path(line.split(maxsplit=1)[1].rstrip())
    if (child := os.fork()) == 0:
        local_copy.copy_live(FolderObjectStore(Path(sys.argv[1])), folder)
        print(f"done {calls} {os.getpid()}", flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    print("ended", flush=True)
"""


class Copier:
    """A process that copies in children of its own; a child halts just before its call number *stop_at*."""

    def __init__(self, shop: Path, pause: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", COPIER, str(shop), str(pause)],
            cwd=REPOSITORY / "src",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, folder: Path, stop_at: int) -> list[str]:
        """Let a child copy to *folder*, and return what it says when it halts or is done: what, and its process."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{stop_at} {folder}\n")
        self.process.stdin.flush()
        return self.hear()

    def hear(self) -> list[str]:
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()


@pytest.fixture
def copier(tmp_path: Path) -> Iterator[Callable[[float], Copier]]:
    """Give what starts a process that copies from the folder `shop`, with so many seconds of halt."""
    started: list[Copier] = []

    def start(pause: float) -> Copier:
        started.append(Copier(tmp_path / "shop", pause))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


def test_a_kill_at_any_moment_leaves_no_folder_or_a_whole_one(
    tmp_path: Path, copier: Callable[[float], Copier]
) -> None:
    """kill -9 before each system call that changes the folder, of a first copy and of the next one."""
    store = FolderObjectStore(tmp_path / "shop")
    first, second = stage(store, "a", FILES), stage(store, "b", [["fay"], ["gil"], ["hal"]])
    whole = {"a": ["ann", "ben", "cem"], "b": ["fay", "gil", "hal"]}
    halting = copier(60.0)
    told = []
    for target in (first, second):
        for step in range(60):
            folder = tmp_path / f"{target.batch}-{step}"
            point(store, first, 1)
            if target is second:
                copy_live(store, folder)
            point(store, target, 2)
            *reached, child = halting.start(folder, step)
            if reached[0] == "reached":
                os.kill(int(child), signal.SIGKILL)
            assert halting.hear() == ["ended"]

            for copy in folder.glob("batch=*"):
                manifest = json.loads((copy / "manifest.json").read_bytes())
                for part in manifest["parts"]:
                    assert sha256((copy / Path(part["key"]).name).read_bytes()) == part["sha256"]
            current = folder / "current"
            seen = os.readlink(current) if current.is_symlink() else ""
            assert not seen or people(folder) == whole[seen.removeprefix("batch=")]
            told.append((target.batch, reached[0], seen))
            if reached[0] == "done":
                break
            assert copy_live(store, folder).batch == target.batch
            assert people(folder) == whole[target.batch]
            assert rest(folder) == [".lock"]
    assert {seen for batch, _, seen in told if batch == "a"} == {"", "batch=a"}
    assert {seen for batch, _, seen in told if batch == "b"} == {"batch=a", "batch=b"}
    assert [reached for _, reached, _ in told].count("done") == 2
    assert len(told) >= 20


def test_two_copies_at_once_wait_for_each_other(tmp_path: Path, copier: Callable[[float], Copier]) -> None:
    """The second one finds the whole copy of the first and leaves it alone."""
    store = FolderObjectStore(tmp_path / "shop")
    point(store, stage(store, "a", FILES), 1)
    slow = copier(1.5)
    assert slow.start(tmp_path / "lists", 4)[0] == "reached"
    began = time.monotonic()
    assert copy_live(store, tmp_path / "lists").copied is False
    assert time.monotonic() - began > 0.5
    assert slow.hear()[0] == "done"
    assert people(tmp_path / "lists") == ["ann", "ben", "cem"]


def test_a_pointer_to_nothing_reaches_the_loader_as_a_sentence(store: FakeObjectStore, folder: Path) -> None:
    copy_live(store, folder)
    del store.objects[LIVE]
    with pytest.raises(NothingPublishedError):
        copy_live(store, folder)
    assert people(folder) == ["ann", "ben", "cem"]
