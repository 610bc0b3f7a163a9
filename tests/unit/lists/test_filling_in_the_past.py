"""Lists for past days beside live ones: whose pointer moves, and which runs have nothing to do."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql.types import StructType
from support.published import CHAMPION, CREATED, DAY, GOOD_UNTIL, MODEL, go_live, score

from pipelines import score_users
from pipelines.addresses import LAKE_CATALOG, Addresses
from refit.adapters.folder import FolderObjectStore
from refit.config import load_shop
from refit.digests import digest_of_files
from refit.errors import NothingPublishedError
from refit.governance.audit_log import AuditLog
from refit.interfaces import ModelVersion
from refit.lake.lake import Lake, Landed
from refit.lists.inputs import is_live, made_from
from refit.model.item_factors import ItemFactors
from refit.publication import LIVE, Published, new_attempt, publish, read_manifest
from refit.storage.object_store import ObjectStore
from refit.testing.object_store import FakeObjectStore
from refit.testing.tracking import FakeRegistry, FakeTracker, crown

LATER = CREATED + timedelta(hours=1)
AS_OF = datetime(2026, 1, 3, tzinfo=UTC)


def fill_in(store: ObjectStore, run_date: str, people: str, created: datetime = LATER) -> Published:
    """Score and publish a batch as a backfill does."""
    prefix, commit = score(store, f"b-{run_date}-{people}", [people.split()], run_date=run_date, created=created)
    return publish(
        store,
        prefix,
        commit,
        {"decision": "publish"},
        good_until=GOOD_UNTIL,
        withdrawn=lambda version: None,
        at=created.isoformat(),
        backfill=True,
    )


@pytest.fixture
def store() -> FakeObjectStore:
    return FakeObjectStore()


@pytest.mark.parametrize("run_date", ["2026-01-02", DAY, "2026-01-09"], ids=["earlier", "the live date", "later"])
def test_a_backfill_moves_the_pointer_of_its_date_and_never_what_is_live(store: FakeObjectStore, run_date: str) -> None:
    """Not even for the date that is live: what people see now is changed by live runs alone."""
    go_live(store, CREATED, [["ann", "bob"]])
    live = store.get(LIVE)
    published = fill_in(store, run_date, "ann bob cid")
    assert published.live.outcome == "left_alone"
    assert published.live.run_date == DAY
    assert published.dated is not None
    assert published.dated.outcome == "published"
    assert store.get(LIVE) == live
    assert read_manifest(store, run_date)["batch"] == f"b-{run_date}-ann bob cid"


def test_a_date_that_was_live_once_can_be_made_anew(store: FakeObjectStore) -> None:
    """Runs are ordered by when they began, so what a backfill makes of a past day today replaces what was made then."""
    go_live(store, CREATED, [["ann"]])
    assert fill_in(store, DAY, "ann bob").dated == fill_in(store, DAY, "ann bob").dated
    assert read_manifest(store, DAY)["batch"] == f"b-{DAY}-ann bob"
    late = fill_in(store, DAY, "ann bob cid", CREATED - timedelta(hours=1))
    assert late.dated is not None
    assert late.dated.outcome == "superseded"


def test_a_shop_whose_first_lists_are_of_the_past_has_none_that_are_live(store: FakeObjectStore) -> None:
    fill_in(store, DAY, "ann")
    with pytest.raises(NothingPublishedError):
        read_manifest(store)
    assert read_manifest(store, DAY)["run_date"] == DAY


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Give a lake with two landed days."""
    made = Lake(str(tmp_path), LAKE_CATALOG, FolderObjectStore(tmp_path))
    _land(made, "one", {1: "d1", 2: "d2"})
    return made


def _land(lake: Lake, landing: str, days: dict[int, str]) -> None:
    entries = [Landed(date(2026, 1, day).isoformat(), "", 10, digest, landing) for day, digest in days.items()]
    lake.commit(landing, {"interactions": (StructType(), entries)})


def _inputs(lake: Lake, write_shop: Any, append: str = "", champion: ModelVersion = CHAMPION) -> dict[str, Any]:
    shop = load_shop(write_shop(append=append), "corner")
    return made_from(lake, shop, champion, AS_OF, "code 1")


def _publish_from(store: ObjectStore, inputs: dict[str, Any]) -> None:
    go_live(store, CREATED, [["ann"]])
    stored = store.get(LIVE)
    assert stored is not None
    document = json.loads(stored.content) | {"made_from": json.loads(json.dumps(inputs))}
    store.swap(LIVE, json.dumps(document).encode(), expected=stored.etag)


def test_what_is_live_is_recognised_by_what_it_was_made_from(
    lake: Lake, store: FakeObjectStore, write_shop: Any
) -> None:
    """The same day landed again, as a backfill of it does, is the same; nothing published is never the same."""
    assert not is_live(store, _inputs(lake, write_shop))
    _publish_from(store, _inputs(lake, write_shop))
    assert is_live(store, _inputs(lake, write_shop))
    _land(lake, "two", {2: "d2"})
    assert is_live(store, _inputs(lake, write_shop))


def test_other_data_another_champion_and_another_rule_are_new(
    lake: Lake, store: FakeObjectStore, write_shop: Any
) -> None:
    """Also a day of long ago that was landed again with other rows."""
    _publish_from(store, _inputs(lake, write_shop))
    assert not is_live(store, _inputs(lake, write_shop, append="[lists]\nk = 7\n"))
    other = ModelVersion(model_id="m-2", run_id="r-2", tags={}, **{**MODEL, "version": 4})  # type: ignore[arg-type]
    assert not is_live(store, _inputs(lake, write_shop, champion=other))
    _land(lake, "two", {1: "corrected"})
    assert not is_live(store, _inputs(lake, write_shop))


class SparkOpened(Exception):
    """The step has begun to score."""


def _open_spark() -> Any:
    raise SparkOpened


def test_a_run_that_nobody_asked_for_ends_before_it_opens_spark(
    lake: Lake, store: FakeObjectStore, write_shop: Any
) -> None:
    """The calendar and events start runs that have nothing to do; who starts one by hand wants lists."""
    shop = load_shop(write_shop(), "corner")
    tracker, registry, log = FakeTracker(), FakeRegistry(), AuditLog(FakeObjectStore())
    one = np.ones((1, 1), dtype=np.float32)
    files = ItemFactors(
        items=pa.array(["a"]), factors=one, people=np.ones(1, dtype=np.int64), alpha=1.0, regularisation=0.1, facts={}
    ).to_files()
    run_id = tracker.log_run("train", params={}, metrics={}, tags={}, files={})
    model_id = tracker.log_model(run_id, files, params={})
    tags = {"digest": digest_of_files(files), "cutoff": "2026-01-01T00:00:00+00:00"}
    champion = crown(registry, registry.register(model_id=model_id, run_id=run_id, tags=tags), log)
    made_by = new_attempt(logical_run="recommend/1/000", ordered_at=LATER, created=LATER, code="code 1")

    def step(*, unless_live: bool) -> score_users.Receipt:
        return score_users.run(
            None,
            unless_live,
            shop=shop,
            open_spark=_open_spark,
            lake=lake,
            registry=registry,
            log=log,
            tracker=tracker,
            addresses=Addresses("corner", "lake", "bucket"),
            open_store=lambda: store,
            made_by=made_by,
        )

    with pytest.raises(SparkOpened):
        step(unless_live=True)
    _publish_from(store, made_from(lake, shop, champion, AS_OF, "code 1"))
    receipt = step(unless_live=True)
    assert (receipt.scored, receipt.why) == (False, "the live lists are made from all that is there already")
    with pytest.raises(SparkOpened):
        step(unless_live=False)
