"""
Publication against a real S3 server over HTTP: what it costs, and what a kill or a fault at each request does.

The publisher is a process of its own where it is killed, and a proxy between it and the server chooses the request.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from botocore.config import Config
from support import stack_s3
from support.published import AS_OF, DAY, go_live, publish_again, score

from pipelines.settings import REPOSITORY
from refit.adapters import s3
from refit.adapters.s3 import S3ObjectStore
from refit.batches.pointer import read_pointer
from refit.errors import TransientError
from refit.publication import (
    LIVE,
    collect,
    date_pointer,
    point_back,
    publish,
    read_commit,
    read_live_batch,
    read_manifest,
    require_point_back,
)
from refit.storage.object_store import ObjectStore
from refit.testing.fault_proxy import FAULTS, KILLS, FaultProxy

pytestmark = pytest.mark.long

FILES = [["ann", "ben"], ["cem"]]
N = len(FILES) + 2
"""Part files, places and index."""
CREATED = datetime(2026, 1, 5, 3, tzinfo=UTC)
NEXT_DAY = "2026-01-06"
SUPPORT = Path(__file__).parents[1] / "support"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    with (
        pytest.MonkeyPatch.context() as patch,
        stack_s3.serving(tmp_path_factory.mktemp("publication")) as server,
        FaultProxy(server) as proxy,
    ):
        patch.setenv("AWS_ACCESS_KEY_ID", stack_s3.ACCESS_KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setattr("refit.storage.requests._FIRST_PAUSE", 0.001)
        yield proxy


def connect(proxy: FaultProxy, name: str, *, direct: bool = False, seconds: float = 60) -> S3ObjectStore:
    """Return a store below *name* that waits for an answer for so many *seconds*."""
    return replace(_opened(f"http://{proxy.upstream}" if direct else proxy.address, seconds), prefix=name)


@cache
def _opened(endpoint: str, seconds: float) -> S3ObjectStore:
    """Making a client takes longer than many requests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("refit.adapters.s3._CONFIG", s3._CONFIG.merge(Config(read_timeout=seconds)))
        return S3ObjectStore.connect("s3://refit", endpoint=endpoint)


def start(*words: str) -> subprocess.Popen[bytes]:
    """Start a process that publishes."""
    folders = [SUPPORT.parent, REPOSITORY / "src", REPOSITORY]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    command = [sys.executable, str(SUPPORT / "publishing_process.py"), *words]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)


def verbs(proxy: FaultProxy) -> list[str]:
    """Return the requests so far as method and name of the object."""
    return [f"{method} {path.partition('?')[0].rpartition('/')[2]}" for method, path, _ in proxy.requests]


def generation(store: ObjectStore, key: str = LIVE) -> int:
    found = store.get(key)
    return read_pointer(found.content, key).generation if found else 0


def people(store: ObjectStore) -> list[str]:
    names: list[str] = read_live_batch(store)["user_id"].to_pylist()
    return names


def test_publishing_n_files_costs_five_requests_more(proxy: FaultProxy) -> None:
    """Part files, places, index are N; then the step reads index and `live.json` and writes manifest and pointers."""
    store = connect(proxy, "cost")
    for number, run_date in enumerate([DAY, NEXT_DAY]):
        proxy.begin()
        created = CREATED + timedelta(days=number)
        prefix, _ = score(store, f"2026010{5 + number}T030000Z-a", FILES, run_date=run_date, created=created)
        assert publish_again(store, prefix, read_commit(store, prefix)).live.outcome == "published"
        assert len(proxy.requests) == N + 5
    assert verbs(proxy) == [
        "PUT part-00000.parquet",
        "PUT part-00001.parquet",
        "PUT places.jsonl",
        "PUT index.json",
        "GET index.json",
        "GET live.json",
        "PUT manifest.json",
        f"PUT run_date%3D{NEXT_DAY}.json",
        "PUT live.json",
    ]


def test_following_the_pointer_to_a_checked_batch_costs_three_requests_more_at_most(proxy: FaultProxy) -> None:
    store = connect(proxy, "cost-of-reading")
    go_live(store, CREATED, FILES)
    proxy.begin()
    assert people(store) == ["ann", "ben", "cem"]
    assert len(proxy.requests) == len(FILES) + 2 <= N + 3


def test_a_second_batch_of_one_date_costs_two_requests_more_and_a_second_try_four(proxy: FaultProxy) -> None:
    """The pointer of the date is taken to be absent first; who is live already writes nothing."""
    store = connect(proxy, "cost-again")
    go_live(store, CREATED, FILES, logical_run="one")
    later = CREATED + timedelta(hours=1)
    proxy.begin()
    prefix, _ = score(store, "20260105T040000Z-b", FILES, created=later, logical_run="two")
    commit = read_commit(store, prefix)
    publish_again(store, prefix, commit)
    assert len(proxy.requests) == N + 7
    proxy.begin()
    assert publish_again(store, prefix, commit).live.outcome == "published"
    assert [method for method, _, _ in proxy.requests] == ["GET", "GET"]


def test_a_rollback_costs_three_requests_and_two_more_to_see_whether_it_can_be_done(proxy: FaultProxy) -> None:
    store = connect(proxy, "cost-of-rollback")
    first, _ = go_live(store, CREATED, FILES, logical_run="one")
    go_live(store, CREATED + timedelta(days=1), [["dia"]], run_date=NEXT_DAY, logical_run="two")
    proxy.begin()
    assert require_point_back(store, batch=first)["batch"] == first
    assert len(proxy.requests) == 2
    back = point_back(store, batch=first, logical_run="back", reason="test", by="lee", at=AS_OF)
    assert (back.live.outcome, back.live.generation, back.live.batch) == ("rolled_back", 3, first)
    assert len(proxy.requests) == 5
    assert people(store) == ["ann", "ben", "cem"]


@pytest.mark.parametrize("when", KILLS)
@pytest.mark.parametrize("number", range(1, N + 6))
def test_a_publisher_that_is_killed_at_any_request_leaves_the_old_or_the_new_batch(
    proxy: FaultProxy, number: int, when: str
) -> None:
    """Then each kind of second try publishes, there is one generation more, and collecting leaves no rest."""
    name = f"killed-{number}-{when.replace(' ', '-')}"
    store = connect(proxy, name, direct=True)
    go_live(store, CREATED, [["old"]], logical_run="old")
    proxy.begin({number: when})
    begun = CREATED + timedelta(days=1)
    process = start(proxy.address, f"s3://refit/{name}", NEXT_DAY, "new", begun.isoformat(), "ann", "ben")
    proxy.victim = process.pid
    output, _ = process.communicate(timeout=120)
    assert (process.returncode, output, len(proxy.requests)) == (-9, b"", number)

    is_live = number == N + 5 and when == "killed after"
    assert people(store) == (["ann", "ben"] if is_live else ["old"])
    written = [key for key in store.keys("batches/") if key.endswith("index.json") and NEXT_DAY in key]
    for key in written:
        prefix = key.rpartition("/")[0]
        assert publish_again(store, prefix, read_commit(store, prefix)).live.outcome == "published"
    _, published = go_live(
        store, begun + timedelta(minutes=5), [["ann"], ["ben"]], run_date=NEXT_DAY, logical_run="new"
    )
    assert (published.live.outcome, published.live.generation) == ("published", 2)
    assert people(store) == ["ann", "ben"]
    assert generation(store, date_pointer(NEXT_DAY)) == 1

    # What was begun after the newest published batch may still go live, so a collection waits for the next one.
    go_live(store, begun + timedelta(minutes=10), [["ann"], ["ben"]], run_date=NEXT_DAY, logical_run="next")
    collect(store, horizon="9", keep=1, since="9999-12-31")
    assert people(store) == ["ann", "ben"]
    live = read_manifest(store)
    batch = {part["key"] for part in live["parts"]} | {
        f"batches/run_date={NEXT_DAY}/batch={live['batch']}/{name}"
        for name in ("index.json", "manifest.json", "places.jsonl")
    }
    assert set(store.keys("")) == {LIVE, date_pointer(DAY), date_pointer(NEXT_DAY), *batch}


def test_a_publisher_that_nobody_kills_says_what_it_did(proxy: FaultProxy) -> None:
    proxy.begin()
    process = start(proxy.address, "s3://refit/not-killed", DAY, "run", CREATED.isoformat(), "ann", "ben")
    batch, live, dated = json.loads(process.communicate(timeout=120)[0])
    assert (live, dated, len(proxy.requests)) == ("published", "published", N + 5)
    assert read_manifest(connect(proxy, "not-killed"))["batch"] == batch


@pytest.mark.parametrize("times", [1, 3], ids=["once", "three times in a row"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_at_any_request_is_survived(proxy: FaultProxy, fault: str, times: int) -> None:
    """Each request of a publication fails in turn; every time readers see one whole batch and the run is live once."""
    name = f"{fault}-{times}".replace(" ", "-")
    direct = connect(proxy, name, direct=True)
    store = connect(proxy, name, seconds=proxy.slow_seconds / 2 if fault == "slow answer after" else 60)
    go_live(direct, CREATED, [["old"]], logical_run="run 0")
    for number in range(1, N + 6):
        run_date = f"2026-02-{number:02d}"
        created = CREATED + timedelta(days=30 + number)
        proxy.begin({number + again: fault for again in range(times)})
        prefix, _ = score(
            store,
            f"{created:%Y%m%dT%H%M%SZ}-a",
            [[f"{number} ann"], [f"{number} ben"]],
            run_date=run_date,
            created=created,
            logical_run=f"run {number}",
        )
        published = publish_again(store, prefix, read_commit(store, prefix))
        met = [entry[2] for entry in proxy.requests].count(fault)
        assert met == min(times, len(proxy.requests) - number + 1) > 0
        proxy.begin()
        assert (published.live.outcome, published.live.generation) == ("published", number + 1)
        assert people(direct) == [f"{number} ann", f"{number} ben"]
        assert generation(direct, date_pointer(run_date)) == 1


def test_an_s3_that_is_busy_for_long_leaves_the_last_batch_live_and_asks_for_another_try(proxy: FaultProxy) -> None:
    store = connect(proxy, "busy")
    go_live(store, CREATED, [["old"]], logical_run="old")
    prefix, _ = score(store, "20260106T030000Z-a", FILES, run_date=NEXT_DAY, logical_run="new")
    commit = read_commit(store, prefix)
    proxy.begin(dict.fromkeys(range(1, 1000), "503 before"))
    with pytest.raises(TransientError) as failure:
        publish_again(store, prefix, commit)
    tries = len(proxy.requests)
    proxy.begin()
    assert tries == 8
    assert str(failure.value).startswith("s3://refit/busy: it is not known whether live.json was read: ")
    assert str(failure.value).endswith(
        "(reached max retries: 0): planned; is the object store up? The same call may be made again"
    )
    assert people(store) == ["old"]
    assert publish_again(store, prefix, commit).live.generation == 2


def test_lists_of_a_champion_that_is_withdrawn_do_not_go_live(proxy: FaultProxy) -> None:
    """The manifest is written nevertheless, for whoever investigates."""
    store = connect(proxy, "withdrawn")
    prefix, commit = score(store, "20260105T030000Z-a", FILES)
    published = publish(
        store,
        prefix,
        commit,
        {"decision": "publish"},
        good_until="2026-01-07",
        withdrawn=lambda version: f"champion version {version} was rolled back",
        at=AS_OF,
    )
    assert (published.live.outcome, published.live.why) == ("withdrawn", "champion version 3 was rolled back")
    assert (published.live.batch, published.dated) == ("", None)
    assert [key.rpartition("/")[2] for key in store.keys("")] == [
        "index.json",
        "manifest.json",
        "part-00000.parquet",
        "part-00001.parquet",
        "places.jsonl",
    ]
