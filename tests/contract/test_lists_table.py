"""
What readers of published lists may rely on, whichever way they read: the pointers themselves, or an Iceberg table.

The table is read with plain pyiceberg, as any engine would: the catalogue, the metadata, the files.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import pytest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from support.published import CHAMPION, CREATED, DAY, go_live, publish_again, score

from refit.adapters import iceberg
from refit.adapters.iceberg import CatalogUnavailableError, IcebergLists
from refit.adapters.s3 import S3ObjectStore
from refit.errors import ConfigurationError, ConflictError, NothingPublishedError
from refit.publication import collect, point_back, stamp
from refit.publication.read import batch_prefix, read_live_batch

HOUR, ONE_DAY = timedelta(hours=1), timedelta(days=1)


class View(Protocol):
    """One way to read."""

    def follow(self, run_date: str) -> None:
        """Do what publishing does after the pointers have moved."""

    def people(self, run_date: str | None = None) -> list[str]:
        """Return who has a list in the live batch, or in that of a date."""


@dataclass
class ByPointers:
    store: S3ObjectStore

    def follow(self, run_date: str) -> None:
        """Nothing follows the pointers: they are what is read."""

    def people(self, run_date: str | None = None) -> list[str]:
        return sorted(read_live_batch(self.store, run_date)["user_id"].to_pylist())


@dataclass
class ByTable:
    store: S3ObjectStore
    table: IcebergLists
    reader: SqlCatalog

    def follow(self, run_date: str) -> None:
        self.table.follow(self.store, run_date)

    def people(self, run_date: str | None = None) -> list[str]:
        table = self.reader.load_table("corner.lists")
        branch = "main" if run_date is None else f"run_date_{run_date.replace('-', '_')}"
        snapshot = table.snapshot_by_name(branch)
        if snapshot is None:
            raise NothingPublishedError(f"there is no branch {branch}")
        return sorted(table.scan(snapshot_id=snapshot.snapshot_id).to_arrow()["user_id"].to_pylist())


@pytest.fixture
def store(s3_endpoint: str) -> S3ObjectStore:
    return S3ObjectStore.connect(f"s3://refit/table-{uuid4().hex[:8]}", endpoint=s3_endpoint)


Opener = Callable[[], IcebergLists]


@pytest.fixture
def open_table(store: S3ObjectStore, s3_endpoint: str, tmp_path: Path) -> Opener:
    """Give what opens the table, as each process would for itself."""
    catalog = f"sqlite:///{tmp_path / 'catalog.db'}"
    return lambda: IcebergLists.connect(catalog, shop="corner", lists=store.address, endpoint=s3_endpoint, keep=2)


@pytest.fixture
def by_table(store: S3ObjectStore, open_table: Opener, s3_endpoint: str, tmp_path: Path) -> ByTable:
    table = open_table()
    properties = {"uri": f"sqlite:///{tmp_path / 'catalog.db'}", "s3.endpoint": s3_endpoint}
    return ByTable(store, table, SqlCatalog("refit", **properties))


@pytest.fixture(params=["pointers", "table"])
def view(request: pytest.FixtureRequest, store: S3ObjectStore) -> View:
    if request.param == "pointers":
        return ByPointers(store)
    made: View = request.getfixturevalue("by_table")
    return made


def day(number: int) -> str:
    return f"2026-01-{5 + number:02d}"


def test_before_anything_is_published_there_is_nothing(view: View) -> None:
    view.follow(DAY)
    with pytest.raises(NothingPublishedError):
        view.people()


def test_a_published_batch_is_read_whole(view: View, store: S3ObjectStore) -> None:
    go_live(store, CREATED, [["ann", "ben"], ["cem"], ["dia"]])
    view.follow(DAY)
    assert view.people() == ["ann", "ben", "cem", "dia"]
    assert view.people(DAY) == ["ann", "ben", "cem", "dia"]


def test_the_next_batch_replaces_the_one_before_as_a_whole(view: View, store: S3ObjectStore) -> None:
    for number, people in enumerate([[["ann"], ["ben"]], [["cem"]]]):
        go_live(store, CREATED + number * ONE_DAY, people, run_date=day(number))
        view.follow(day(number))
    assert view.people() == ["cem"]
    assert (view.people(day(0)), view.people(day(1))) == (["ann", "ben"], ["cem"])


def test_publishing_one_logical_run_again_changes_nothing(view: View, store: S3ObjectStore) -> None:
    """The same try again, and another try of the same run with other lists: the first one stays."""
    batch, first = go_live(store, CREATED, [["ann"]], logical_run="monday")
    view.follow(DAY)
    prefix = batch_prefix(DAY, batch)
    assert first.live.outcome == "published"

    again = publish_again(store, *score(store, batch, [["ann"]], logical_run="monday", created=CREATED))
    view.follow(DAY)
    assert (again.live.outcome, again.live.generation) == ("published", 1)
    _, other = go_live(store, CREATED + HOUR, [["zoe"]], logical_run="monday")
    view.follow(DAY)
    assert (other.live.outcome, other.live.batch) == ("published", batch)
    assert view.people() == view.people(DAY) == ["ann"]
    assert store.keys(f"{prefix}/") != []


def test_a_backfill_is_read_by_its_date_and_leaves_what_is_live(view: View, store: S3ObjectStore) -> None:
    go_live(store, CREATED + 2 * ONE_DAY, [["ann"]], run_date=day(2))
    view.follow(day(2))
    _, filled = go_live(store, CREATED + 3 * ONE_DAY, [["ben"]], run_date=day(0))
    view.follow(day(0))
    assert (filled.live.outcome, filled.dated and filled.dated.outcome) == ("superseded", "published")
    assert (view.people(), view.people(day(0)), view.people(day(2))) == (["ann"], ["ben"], ["ann"])


def test_of_two_runs_for_one_date_the_one_that_was_ordered_first_is_superseded(
    view: View, store: S3ObjectStore
) -> None:
    go_live(store, CREATED + HOUR, [["ann"]])
    view.follow(DAY)
    _, late = go_live(store, CREATED, [["zoe"]])
    view.follow(DAY)
    assert late.live.outcome == "superseded"
    assert view.people() == view.people(DAY) == ["ann"]


@pytest.mark.parametrize("by", ["batch", "version"])
def test_a_rollback_shows_the_earlier_batch_and_a_later_one_comes_after_it(
    view: View, store: S3ObjectStore, by: str
) -> None:
    older = replace(CHAMPION, version=2)
    first, _ = go_live(store, CREATED, [["ann"], ["ben"]], champion=older)
    go_live(store, CREATED + ONE_DAY, [["cem"]], run_date=day(1))
    view.follow(day(1))
    target = {"batch": first} if by == "batch" else {"version": 2}
    for _ in range(2):
        back = point_back(store, **target, logical_run="back", reason="test", by="lee", at="now")
        view.follow(day(1))
        assert (back.live.outcome, back.live.generation) == ("rolled_back", 3)
        assert view.people() == ["ann", "ben"]
        assert view.people(day(1)) == ["cem"]
    go_live(store, CREATED + 2 * ONE_DAY, [["dia"]], run_date=day(2))
    view.follow(day(2))
    assert view.people() == ["dia"]


def test_a_date_whose_lists_were_collected_has_none(view: View, store: S3ObjectStore) -> None:
    for number in range(4):
        go_live(store, CREATED + number * ONE_DAY, [[f"u{number}"]], run_date=day(number))
        view.follow(day(number))
    collect(store, horizon=stamp(CREATED + 30 * ONE_DAY), keep=2, since="9999-12-31")
    go_live(store, CREATED + 31 * ONE_DAY, [["new"]], run_date="2026-02-05")
    view.follow("2026-02-05")
    for number in (0, 1):
        with pytest.raises(NothingPublishedError):
            view.people(day(number))
    assert view.people() == ["new"]


def test_the_table_holds_the_part_files_of_the_batch_and_no_rows_of_its_own(
    by_table: ByTable, store: S3ObjectStore
) -> None:
    batch, _ = go_live(store, CREATED, [["ann"], ["ben"]])
    by_table.follow(DAY)
    table = by_table.reader.load_table("corner.lists")
    files = sorted(table.inspect.files()["file_path"].to_pylist())
    assert files == [f"{store.address}/{batch_prefix(DAY, batch)}/part-{number:05d}.parquet" for number in range(2)]
    assert [key for key in store.keys("iceberg/") if key.endswith(".parquet")] == []
    assert table.properties["gc.enabled"] == "false"
    rows = table.scan(row_filter="user_id = 'ben'").to_arrow().to_pylist()
    assert [row["user_id"] for row in rows] == ["ben"]
    assert [entry["item_id"] for entry in rows[0]["recommendations"]] == ["ben-1", "ben-2"]


def test_one_switch_is_one_snapshot(by_table: ByTable, store: S3ObjectStore) -> None:
    """A reader by time never meets a table that has lost the old files and not yet got the new ones."""
    for number in range(3):
        go_live(store, CREATED + number * ONE_DAY, [[f"u{number}"]], run_date=day(number))
        by_table.table.follow(store, day(number))
        shown = by_table.reader.load_table("corner.lists").inspect.history()
        assert len(shown) == number + 1
    summaries = [one.summary for one in by_table.reader.load_table("corner.lists").snapshots()]
    assert {summary and summary["total-records"] for summary in summaries} == {"1"}


def test_following_again_commits_nothing(by_table: ByTable, store: S3ObjectStore) -> None:
    go_live(store, CREATED, [["ann"]])
    by_table.follow(DAY)
    before = by_table.reader.load_table("corner.lists").metadata_location
    by_table.follow(DAY)
    assert by_table.reader.load_table("corner.lists").metadata_location == before


def test_a_crash_between_the_pointer_and_the_table_is_mended_by_the_next_try(
    by_table: ByTable, store: S3ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_live(store, CREATED, [["ann"]])
    by_table.follow(DAY)
    go_live(store, CREATED + ONE_DAY, [["ben"]], run_date=day(1))

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(iceberg, "_switch", die)
        with pytest.raises(KeyboardInterrupt):
            by_table.follow(day(1))
    assert by_table.people() == ["ann"]
    by_table.follow(day(1))
    assert (by_table.people(), by_table.people(day(0)), by_table.people(day(1))) == (["ben"], ["ann"], ["ben"])


def test_a_writer_that_was_overtaken_leaves_the_newer_batch(
    by_table: ByTable, open_table: Opener, store: S3ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has read that a is live; before it commits, b goes live and is shown by its own writer."""
    go_live(store, CREATED, [["ann"]])
    other = open_table()
    switch = iceberg._switch

    def overtaken(*arguments: object) -> None:
        monkeypatch.setattr(iceberg, "_switch", switch)
        go_live(store, CREATED + ONE_DAY, [["ben"]], run_date=day(1))
        other.follow(store, day(1))
        switch(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(iceberg, "_switch", overtaken)
    by_table.follow(DAY)
    assert (by_table.people(), by_table.people(day(0)), by_table.people(day(1))) == (["ben"], ["ann"], ["ben"])


def test_many_writers_at_once_end_with_what_is_live(
    by_table: ByTable, open_table: Opener, store: S3ObjectStore
) -> None:
    by_table.follow(DAY)

    def write(number: int) -> None:
        go_live(store, CREATED + number * HOUR, [[f"u{number}"], [f"v{number}"]], logical_run=f"run {number}")
        for _ in range(20):
            try:
                open_table().follow(store, DAY)
            except (CatalogUnavailableError, ConflictError):
                continue
            return
        raise AssertionError("the table never rested")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert by_table.people() == by_table.people(DAY) == ["u3", "v3"]


def test_old_snapshots_are_forgotten(by_table: ByTable, store: S3ObjectStore) -> None:
    """Five batches for one date: two branches, and two former snapshots for readers that are still at them."""
    for number in range(5):
        go_live(store, CREATED + number * HOUR, [[f"u{number}"]])
        by_table.follow(DAY)
    table = by_table.reader.load_table("corner.lists")
    assert len(table.snapshots()) == 4
    assert by_table.people() == by_table.people(DAY) == ["u4"]


def test_a_table_that_never_rests_is_given_up_with_a_sentence(
    by_table: ByTable, store: S3ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_live(store, CREATED, [["ann"]])

    def lose(*_: object) -> None:
        raise CommitFailedException("somebody else was first")

    monkeypatch.setattr(iceberg, "_switch", lose)
    with pytest.raises(
        ConflictError,
        match=r"^the Iceberg table corner\.lists or the live batch changed 10 times meanwhile; try again$",
    ):
        by_table.follow(DAY)


def test_a_catalogue_that_is_gone_is_one_sentence(by_table: ByTable, store: S3ObjectStore, tmp_path: Path) -> None:
    go_live(store, CREATED, [["ann"]])
    by_table.follow(DAY)
    (tmp_path / "catalog.db").write_bytes(b"")
    with pytest.raises(CatalogUnavailableError) as failure:
        by_table.follow(DAY)
    assert str(failure.value) == (
        "the Iceberg table corner.lists cannot follow the lists: OperationalError; readers of the table see the batch "
        "before; is its catalogue up? The same call may be made again"
    )


@pytest.mark.parametrize("address", ["nonsense", "postgresql+nodriver://lee:secret-word@host/db"])
def test_an_address_that_cannot_be_opened_is_refused_and_not_repeated(store: S3ObjectStore, address: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        IcebergLists.connect(address, shop="corner", lists=store.address, endpoint=None, keep=2)
    assert str(refusal.value).startswith("the Iceberg catalogue cannot be opened (")
    assert "secret-word" not in str(refusal.value)
    assert refusal.value.__cause__ is None
