"""Publication: readers see the whole old batch or the whole new one, and every run is published once."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from support.published import (
    AS_OF,
    CREATED,
    DAY,
    GOOD_UNTIL,
    HOUR,
    MODEL,
    NEXT_DAY,
    document,
    go_live,
    live,
    people,
    publish_again,
    score,
)

from refit.batches.pointer import FORMAT, NO_FENCE, Pointer, read_pointer
from refit.digests import sha256
from refit.errors import ConflictError, DamagedBatchError, NotFoundError, NothingPublishedError
from refit.publication import (
    LIVE,
    PointerOutcome,
    Published,
    collect,
    date_pointer,
    new_attempt,
    order,
    point_back,
    publish,
    read_commit,
    read_live_batch,
    read_manifest,
    stamp,
    write_manifest,
)
from refit.storage.requests import Answer, Create, Get, Request, Swap, UnknownOutcomeError
from refit.testing import FakeObjectStore


@pytest.fixture
def store() -> FakeObjectStore:
    return FakeObjectStore()


def test_nothing_is_live_before_the_pointer_is_written(store: FakeObjectStore) -> None:
    prefix, commit = score(store, "a", [["ann"]])
    write_manifest(store, prefix, commit, {"decision": "publish"}, good_until=GOOD_UNTIL)
    with pytest.raises(NothingPublishedError, match=r"^nothing is published at memory://fake: there is no live\.json"):
        read_live_batch(store)


def test_the_first_batch_goes_live_with_all_its_rows_in_order(store: FakeObjectStore) -> None:
    batch, published = live(store, "ann", "ben")
    where = PointerOutcome("published", 1, DAY, batch)
    assert published == Published(live=where, dated=where)
    assert people(store) == ["ann", "ben"]
    assert read_manifest(store)["verdict"] == {"decision": "publish"}


def test_both_pointers_say_everything_a_reader_needs(store: FakeObjectStore) -> None:
    batch, _ = live(store, "ann")
    prefix = f"batches/run_date={DAY}/batch={batch}"
    named = {
        "batch": batch,
        "run_date": DAY,
        "as_of": f"{DAY}T00:00:00+00:00",
        "good_until": GOOD_UNTIL,
        "manifest": f"{prefix}/manifest.json",
        "manifest_sha256": sha256(store.objects[f"{prefix}/manifest.json"]),
        "index": f"{prefix}/index.json",
        "index_sha256": sha256(store.objects[f"{prefix}/index.json"]),
        "model": MODEL,
    }
    fence = [DAY, "2026-01-05T03:00:00.000000Z", "ann"]
    move = {
        **named,
        "generation": 1,
        "kind": "publish",
        "logical_run": "ann",
        "fence": fence,
        "at": f"{DAY}T00:00:00+00:00",
        "by": "publish_recommendations",
        "reason": "",
    }
    assert document(store) == {
        "format": FORMAT,
        "generation": 1,
        **named,
        "made_from": {"as_of": f"{DAY}T00:00:00+00:00"},
        "horizon": "",
        "highest": fence,
        "current": fence,
        "history": [move],
    }
    assert document(store, date_pointer(DAY)) == document(store)


def test_what_is_written_before_the_pointer_says_what_was_judged(store: FakeObjectStore) -> None:
    """Index: all that scoring made. Manifest: the same without places, with verdict, digest of the index, freshness."""
    prefix, commit = score(store, "20260105T030000Z-a", [["ann", "ben"], ["cem"]], facts={"k": 2})
    publish_again(store, prefix, commit)
    index = json.loads(store.objects[f"{prefix}/index.json"])
    manifest = json.loads(store.objects[f"{prefix}/manifest.json"])
    assert index == commit == read_commit(store, prefix)
    assert (index["format"], manifest["format"]) == ("refit-index/3", "refit-manifest/2")
    told_of_a_part = {"rows", "bytes", "sha256", "content", "first", "last", "row_groups", "places"}
    assert [set(part) - {"key"} for part in index["parts"]] == [told_of_a_part] * 2
    assert index["places"] == f"{prefix}/places.jsonl"
    assert [set(part) - {"key"} for part in manifest["parts"]] == [{"rows", "bytes", "sha256", "content"}] * 2
    content = store.objects[f"{prefix}/index.json"]
    assert manifest["index"] == {"key": f"{prefix}/index.json", "bytes": len(content), "sha256": sha256(content)}
    told = ("batch", "run_date", "as_of", "created", "logical_run", "ordered_at", "content_sha256", "model", "k")
    assert [manifest[name] for name in told] == [index[name] for name in told]
    assert (manifest["good_until"], manifest["created"]) == (GOOD_UNTIL, "20260105T030000Z")


def test_equal_lists_have_one_digest_whatever_the_batch_and_its_files_are_called(store: FakeObjectStore) -> None:
    _, one = score(store, "a", [["ann", "ben"], ["cem"]])
    _, same = score(store, "b", [["ann"], ["ben", "cem"]], logical_run="another", created=CREATED + HOUR)
    _, other = score(store, "c", [["ann", "ben"], ["dia"]])
    assert one["content_sha256"] == same["content_sha256"]
    assert other["content_sha256"] not in {one["content_sha256"], ""}


@pytest.mark.parametrize("run_date", [DAY, NEXT_DAY])
def test_a_batch_of_the_same_or_a_later_date_replaces_the_live_one(store: FakeObjectStore, run_date: str) -> None:
    live(store, "ann")
    batch, published = live(store, "ben", at=CREATED + HOUR, run_date=run_date)
    assert published.live == PointerOutcome("published", 2, run_date, batch)
    assert people(store) == ["ben"]
    assert [move["logical_run"] for move in document(store)["history"]] == ["ben", "ann"]


def test_a_batch_for_an_older_date_moves_the_pointer_of_its_date_and_leaves_the_live_one(
    store: FakeObjectStore,
) -> None:
    batch, _ = live(store, "ann")
    before = store.objects[LIVE]
    late, published = live(store, "ben", at=CREATED + HOUR, run_date="2025-12-31")
    assert published.live == PointerOutcome("superseded", 1, DAY, batch)
    assert published.dated == PointerOutcome("published", 1, "2025-12-31", late)
    assert store.objects[LIVE] == before
    assert read_manifest(store, "2025-12-31")["batch"] == late


def test_of_two_runs_for_one_date_the_one_that_was_ordered_later_stays(store: FakeObjectStore) -> None:
    """Whichever comes first: the other is told."""
    newer, _ = live(store, "new", at=CREATED + HOUR)
    _, published = live(store, "old")
    assert published == Published(
        live=PointerOutcome("superseded", 1, DAY, newer), dated=PointerOutcome("superseded", 1, DAY, newer)
    )
    assert people(store) == ["new"]


def test_publishing_again_changes_nothing_even_with_other_lists(store: FakeObjectStore) -> None:
    """A second try of the run scores again and finds that the first one was live already."""
    batch, _ = live(store, "ann")
    pointers = {key: store.objects[key] for key in (LIVE, date_pointer(DAY))}
    _, again = go_live(store, CREATED + HOUR, [["other"]], logical_run="ann")
    assert again.live == PointerOutcome("published", 1, DAY, batch)
    assert again.dated == again.live
    assert {key: store.objects[key] for key in pointers} == pointers
    assert people(store) == ["ann"]


def test_a_run_that_died_between_its_pointers_is_finished_by_its_next_try(store: FakeObjectStore) -> None:
    batch, _ = live(store, "ann")
    del store.objects[LIVE]
    _, again = go_live(store, CREATED + HOUR, [["other"]], logical_run="ann")
    assert (again.live.outcome, again.dated) == ("published", PointerOutcome("published", 1, DAY, batch))


class BusyStore(FakeObjectStore):
    """Somebody else moves `live.json` just before each of the first `busy` writes to it."""

    busy = 0

    def ask(self, request: Request) -> Answer:
        if self.busy and isinstance(request, Create | Swap) and request.key == LIVE:
            self.busy -= 1
            others = read_pointer(self.objects[LIVE], LIVE)
            self.objects[LIVE] = replace(others, generation=others.generation + 1).to_json()
        return super().ask(request)


def test_a_lost_swap_is_tried_again_on_top_of_the_winner() -> None:
    store = BusyStore()
    live(store, "ann")
    store.busy = 3
    _, published = live(store, "ben", at=CREATED + HOUR)
    assert (published.live.outcome, published.live.generation) == ("published", 5)


def test_a_pointer_that_never_rests_is_given_up_with_a_sentence() -> None:
    store = BusyStore()
    live(store, "ann")
    store.busy = 1_000
    with pytest.raises(
        Exception, match=r"^memory://fake: others wrote live\.json first each time it was tried; the same"
    ):
        live(store, "ben", at=CREATED + HOUR)
    assert 1_000 - store.busy == 12


def test_a_collection_that_loses_its_swap_raises_the_horizon_on_top_of_the_winner() -> None:
    """Whatever else has moved the pointer: before a file is deleted, its horizon says so."""
    store = BusyStore()
    live(store, "ann")
    live(store, "ben", at=CREATED + HOUR)
    store.busy = 3
    collected = collect(store, horizon=stamp(CREATED + HOUR), keep=1)
    pointer = read_pointer(store.objects[LIVE], LIVE)
    assert (pointer.generation, pointer.horizon) == (5, stamp(CREATED + HOUR))
    assert len(collected.deleted) == 4


def test_a_collection_that_loses_every_swap_deletes_nothing() -> None:
    store = BusyStore()
    live(store, "ann")
    live(store, "ben", at=CREATED + HOUR)
    store.busy = 1_000
    files = store.keys("batches/")
    with pytest.raises(
        UnknownOutcomeError, match=r"^memory://fake: others wrote live\.json first each time it was tried"
    ):
        collect(store, horizon=stamp(CREATED + HOUR), keep=1)
    assert store.keys("batches/") == files
    assert 1_000 - store.busy == 12


class MeetingStore(FakeObjectStore):
    """The first look of each of two threads at `live.json` waits for the other one, so both see the same state."""

    meeting = threading.Barrier(1)
    met: frozenset[int] = frozenset()

    def ask(self, request: Request) -> Answer:
        answer = super().ask(request)
        if request.key == LIVE and threading.get_ident() not in self.met:
            self.met |= {threading.get_ident()}
            self.meeting.wait(10)
        return answer


def test_of_two_publishers_at_once_the_later_date_is_live_in_the_end() -> None:
    """Both swap from the same state, one loses and looks again; whatever the order, the newer batch wins."""
    store = MeetingStore()
    staged = [score(store, name, [[name]], run_date=run_date) for name, run_date in (("old", DAY), ("new", NEXT_DAY))]
    store.meeting = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda batch: publish_again(store, *batch), staged))

    store.meeting = threading.Barrier(1)
    assert people(store) == ["new"]
    assert answers[1].live.outcome == "published"
    assert answers[1].live.generation == (2 if answers[0].live.outcome == "published" else 1)


def test_a_batch_that_was_begun_before_the_horizon_comes_too_late(store: FakeObjectStore) -> None:
    """Its files may be deleted at any moment."""
    live(store, "ann")
    prefix, commit = score(store, "20260105T040000Z-b", [["ben"]], created=CREATED + HOUR)
    live(store, "cem", at=CREATED + 2 * HOUR)
    assert collect(store, horizon=stamp(CREATED + 2 * HOUR), keep=1).horizon == "20260105T050000Z"
    assert publish_again(store, prefix, commit).live.outcome == "expired"
    assert people(store) == ["cem"]
    _, again = live(store, "ben", at=CREATED + 3 * HOUR)
    assert again.live.outcome == "published"


def withdrawn_from(asked: int) -> Any:
    """Return what finds a champion withdrawn from its *asked*-th question on."""
    questions = iter(range(1, 100))
    return lambda version: f"version {version} was rolled back" if next(questions) >= asked else None


def test_lists_of_a_withdrawn_champion_are_not_published(store: FakeObjectStore) -> None:
    prefix, commit = score(store, "a", [["ann"]])
    published = publish(
        store, prefix, commit, {"decision": "publish"}, good_until="", withdrawn=withdrawn_from(1), at=AS_OF
    )
    assert published == Published(live=PointerOutcome("withdrawn", 0, "", "", "version 3 was rolled back"), dated=None)
    assert f"{prefix}/manifest.json" in store.objects
    assert LIVE not in store.objects


def test_a_champion_that_is_withdrawn_while_its_lists_go_live_loses_the_race() -> None:
    """The rollback has moved the pointer, so the swap is lost and the question is asked again."""
    store = BusyStore()
    live(store, "ann")
    prefix, commit = score(store, "20260105T040000Z-b", [["ben"]], created=CREATED + HOUR)
    store.busy = 1
    published = publish(
        store, prefix, commit, {"decision": "publish"}, good_until="", withdrawn=withdrawn_from(3), at=AS_OF
    )
    assert (published.live.outcome, published.live.why) == ("withdrawn", "version 3 was rolled back")
    assert people(store) == ["ann"]


def test_a_judged_batch_is_not_judged_again(store: FakeObjectStore) -> None:
    """A verdict with other numbers is taken for the one that was written first; another decision is a conflict."""
    prefix, commit = score(store, "a", [["ann"]])
    first = write_manifest(store, prefix, commit, {"decision": "publish", "n": 1}, good_until=GOOD_UNTIL)
    again = write_manifest(store, prefix, commit, {"decision": "publish", "n": 2}, good_until=GOOD_UNTIL)
    assert again == first == sha256(store.objects[f"{prefix}/manifest.json"])
    with pytest.raises(ConflictError, match=r"manifest\.json says something else about this batch or its verdict, and"):
        write_manifest(store, prefix, commit, {"decision": "refuse"}, good_until=GOOD_UNTIL)
    publish_again(store, prefix, commit)
    assert document(store)["manifest_sha256"] == first


@pytest.mark.parametrize(
    ("content", "error"), [(b"{", "JSONDecodeError"), (b"[]", "TypeError"), (b'{"index":{}}', "KeyError")]
)
def test_a_manifest_that_cannot_be_read_stops_the_publication_of_its_batch(
    store: FakeObjectStore, content: bytes, error: str
) -> None:
    """Nobody can tell any more what was judged."""
    prefix, commit = score(store, "20260105T030000Z-a", [["ann"]])
    store.objects[f"{prefix}/manifest.json"] = content
    with pytest.raises(DamagedBatchError, match=rf"^{prefix}/manifest\.json is no manifest: {error}.*; score again$"):
        publish_again(store, prefix, commit)
    assert store.objects[f"{prefix}/manifest.json"] == content
    assert LIVE not in store.objects


def test_a_batch_that_was_not_finished_is_not_found(store: FakeObjectStore) -> None:
    with pytest.raises(NotFoundError, match="holds no finished batch; run score_users first"):
        read_commit(store, "batches/run_date=2026-01-05/batch=a")


def test_an_index_of_another_kind_is_not_published(store: FakeObjectStore) -> None:
    store.create("batches/a/index.json", b'{"batch":"a","format":"refit-index/1"}')
    with pytest.raises(
        DamagedBatchError, match=r"is no index of this version of Refit \(it lacks created, logical_run,"
    ):
        read_commit(store, "batches/a")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"{", "live.json is no pointer: JSONDecodeError"),
        (b"[]", "live.json is no pointer: TypeError"),
        (b'{"format":"refit-live/2"}', "live.json is no pointer: KeyError('generation')"),
        (b'{"format":"refit-live/1"}', "live.json has format 'refit-live/1', 'refit-live/2' is expected; read it "),
    ],
)
def test_a_pointer_that_cannot_be_read_stops_everybody(store: FakeObjectStore, content: bytes, sentence: str) -> None:
    """Nothing is overwritten that nobody understands."""
    store.objects[LIVE] = content
    for act in (
        lambda: live(store, "ann"),
        lambda: point_back(store, version=3, logical_run="r", reason="", by="", at=""),
        lambda: collect(store, horizon="9", keep=1),
    ):
        with pytest.raises(DamagedBatchError) as refusal:
            act()
        assert str(refusal.value).startswith(sentence)
    assert store.objects[LIVE] == content


def test_a_pointer_remembers_fifty_moves(store: FakeObjectStore) -> None:
    for number in range(53):
        live(store, f"p{number:02d}", at=CREATED + number * HOUR)
    history = document(store)["history"]
    assert [move["generation"] for move in history] == list(range(53, 3, -1))


def test_stamps_and_orders_do_not_depend_on_the_zone_of_a_clock() -> None:
    instant = datetime.fromisoformat("2026-01-06T00:30:00+01:00")
    assert (stamp(instant), order(instant)) == ("20260105T233000Z", "2026-01-05T23:30:00.000000Z")
    made = new_attempt(logical_run="r", ordered_at=instant, created=instant.astimezone(UTC), code="c")
    assert made.batch.startswith("20260105T233000Z-")
    assert len(made.batch) == len("20260105T233000Z-0123456789ab")
    assert made.batch != new_attempt(logical_run="r", ordered_at=instant, created=instant, code="c").batch


def test_whoever_reads_while_a_batch_goes_live_sees_one_whole_batch(store: FakeObjectStore) -> None:
    """The old manifest stays valid: a reader that follows the old pointer finds every old file unchanged."""
    live(store, "ann")
    manifest = read_manifest(store)
    live(store, "ben", at=CREATED + HOUR, run_date=NEXT_DAY)
    assert [sha256(store.objects[entry["key"]]) for entry in manifest["parts"]] == [
        entry["sha256"] for entry in manifest["parts"]
    ]


def fill_in(store: FakeObjectStore, name: str, created: datetime, *, run_date: str = DAY) -> Published:
    """Publish a backfill that was ordered at *created*."""
    prefix, commit = score(store, f"{stamp(created)}-{name}", [[name]], run_date=run_date, created=created)
    return publish(
        store,
        prefix,
        commit,
        {"decision": "publish"},
        good_until=GOOD_UNTIL,
        withdrawn=lambda _: None,
        at=AS_OF,
        backfill=True,
    )


def test_a_backfill_of_the_same_date_that_was_ordered_later_keeps_no_live_run_back(store: FakeObjectStore) -> None:
    """What the date shows is newer; what is live is not, and readers must not wait for the next day."""
    live(store, "old", run_date="2026-01-04")
    filled = fill_in(store, "filled", CREATED + 2 * HOUR)
    assert (filled.live.outcome, filled.dated and filled.dated.outcome) == ("left_alone", "published")
    batch, published = live(store, "ann", at=CREATED + HOUR)
    assert published.live == PointerOutcome("published", 2, DAY, batch)
    assert filled.dated is not None
    assert published.dated == replace(filled.dated, outcome="superseded")
    assert people(store) == ["ann"]
    assert read_live_batch(store, DAY)["user_id"].to_pylist() == ["filled"]


def test_a_run_that_went_live_past_a_newer_backfill_hears_the_same_when_it_asks_again(store: FakeObjectStore) -> None:
    fill_in(store, "filled", CREATED + 2 * HOUR)
    prefix, commit = score(store, "20260105T040000Z-ann", [["ann"]], created=CREATED + HOUR)
    first, again = publish_again(store, prefix, commit), publish_again(store, prefix, commit)
    assert first == again
    assert (first.live.outcome, first.dated and first.dated.outcome) == ("published", "superseded")


def test_a_backfill_that_comes_after_a_newer_one_is_told_and_leaves_what_is_live(store: FakeObjectStore) -> None:
    batch, _ = live(store, "ann", at=CREATED + 2 * HOUR)
    late = fill_in(store, "late", CREATED + HOUR)
    assert late == Published(
        live=PointerOutcome("left_alone", 1, DAY, batch), dated=PointerOutcome("superseded", 1, DAY, batch)
    )


@pytest.mark.parametrize(("newest_day", "outcome"), [("2026-01-04", "published"), ("2026-01-03", "ahead")])
def test_lists_of_days_that_are_not_landed_do_not_keep_back_those_of_the_days_before(
    store: FakeObjectStore, newest_day: str, outcome: str
) -> None:
    """One day after the newest landed one is the day for which lists are made; a later one would supersede it."""
    live(store, "old", run_date="2026-01-04")
    prefix, commit = score(store, "20260105T030000Z-ahead", [["zoe"]])
    ahead = {**commit, "made_from": {**commit["made_from"], "newest_day": newest_day}}
    published = publish_again(store, prefix, ahead)
    assert published.live.outcome == outcome
    assert (published.dated is None) == (date_pointer(DAY) not in store.objects) == (outcome == "ahead")
    if outcome == "ahead":
        assert published.live.why == (
            "it is of 2026-01-05, 2 days after 2026-01-03, the newest landed day that it was made from, and 1 is "
            "allowed: it would keep the lists of the days between from readers; land those days first, or score as of "
            "the day after 2026-01-03"
        )
        assert f"{prefix}/manifest.json" in store.objects
        assert people(store) == ["old"]


def test_a_backfill_of_days_that_are_not_landed_moves_nothing_but_its_date(store: FakeObjectStore) -> None:
    batch, _ = live(store, "old", run_date="2026-01-04")
    filled = fill_in(store, "filled", CREATED, run_date="2026-01-20")
    assert filled.live == PointerOutcome("left_alone", 1, "2026-01-04", batch)
    assert people(store) == ["old"]


def test_a_run_that_is_live_already_is_asked_nothing_more(store: FakeObjectStore) -> None:
    """Not even when its champion has been withdrawn since: a rollback has dealt with what was live."""
    prefix, commit = score(store, "20260105T030000Z-a", [["ann"]])
    first = publish_again(store, prefix, commit)
    watched = AskedStore(objects=store.objects)
    again = publish(
        watched, prefix, commit, {"decision": "publish"}, good_until=GOOD_UNTIL, withdrawn=withdrawn_from(1), at=AS_OF
    )
    assert again == first
    assert watched.asked == [Get(LIVE), Get(date_pointer(DAY))]


class AskedStore(FakeObjectStore):
    """Remembers the requests."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        super().__init__(objects=objects)
        self.asked: list[Request] = []

    def ask(self, request: Request) -> Answer:
        self.asked.append(request)
        return super().ask(request)


def test_what_its_date_takes_no_more_does_not_go_live_either(store: FakeObjectStore) -> None:
    """A collection may have begun with the files of that date."""
    live(store, "old", run_date="2026-01-04")
    prefix, commit = score(store, "20260105T030000Z-a", [["ann"]])
    closed = Pointer(
        generation=0, target=None, horizon="20260105T030001Z", highest=NO_FENCE, current=NO_FENCE, history=()
    )
    store.objects[date_pointer(DAY)] = closed.to_json()
    published = publish_again(store, prefix, commit)
    assert published.dated == PointerOutcome("expired", 0, "", "")
    assert published.live.outcome == "expired"
    assert people(store) == ["old"]


def test_a_batch_that_was_begun_at_the_horizon_itself_is_not_too_old(store: FakeObjectStore) -> None:
    """The collector spares it by the same comparison."""
    live(store, "ann")
    prefix, commit = score(store, "20260105T040000Z-b", [["ben"]], created=CREATED + HOUR)
    pointer = read_pointer(store.objects[LIVE], LIVE)
    store.objects[LIVE] = replace(pointer, horizon="20260105T040000Z").to_json()
    assert publish_again(store, prefix, commit).live.outcome == "published"
