"""The whole check on a small lake: the profile of training, the step, its verdict and its pages."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipelines import check_drift
from pipelines.addresses import LAKE_CATALOG, PROFILE_FILE, Addresses
from pipelines.settings import REPOSITORY
from refit.adapters.folder import FolderObjectStore
from refit.config import Drift, Shop, load_shop
from refit.digests import canonical_json, digest_of_files
from refit.drift.collection import reference_profile
from refit.errors import ConfigurationError, ModelDamagedError, NotEnoughDataError
from refit.governance.audit_log import AuditLog
from refit.governance.champions import AliasMovedError
from refit.lake.as_of import days_before
from refit.lake.lake import Lake, Landed
from refit.model.item_factors import ItemFactors
from refit.testing import FakeObjectStore
from refit.testing.tracking import FakeRegistry, FakeTracker, crown

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
CUTOFF = FIRST + timedelta(days=63)
AS_OF = FIRST + timedelta(days=77)
PLACES = Addresses("corner", "unused", "")
PLACE = PLACES.training_set("0" * 64)
POLICY = Drift(
    numbers=("value", "price", "hour"),
    categories=("weekday", "event_type", "top_item"),
    min_rows=100,
    share_limit=0.2,
    top_items=10,
)
SCHEMA = "user_id string, item_id string, event_type string, event_time timestamp, value double, unit_price double"


@dataclass
class DrawnTables:
    """Stands in for Evidently and remembers what it was given."""

    sizes: list[int] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)

    def report(
        self, reference: pa.Table, current: pa.Table, *, numbers: Sequence[str], categories: Sequence[str]
    ) -> bytes:
        self.sizes = [len(reference), len(current)]
        self.columns = sorted(reference.column_names)
        return b"<html>second opinion</html>"


def a_day(number: int, *, dear: bool) -> dict[str, Any]:
    """Return 90 events of a day by 60 people on 20 items; on a dear day prices and items are others."""
    chance = random.Random(number)
    start = FIRST + timedelta(days=number)
    rows = [(chance.randrange(60), chance.random(), chance.randrange(86_400), chance.random()) for _ in range(90)]
    items = [int(20 * u * u) for _, u, _, _ in rows]
    return {
        "user_id": [f"u{person}" for person, _, _, _ in rows],
        "item_id": [f"i{19 - item if dear else item:02d}" for item in items],
        "event_type": ["purchase" if price < 0.3 else "view" for _, _, _, price in rows],
        "event_time": pa.array([start + timedelta(seconds=at) for _, _, at, _ in rows], pa.timestamp("us", tz="UTC")),
        "value": [1.0] * len(rows),
        "unit_price": [round((3 if dear else 1) * (5 + 10 * price), 2) for _, _, _, price in rows],
    }


@dataclass
class Corner:
    """A shop with a champion."""

    lake: Lake
    shop: Shop
    spark: SparkSession
    tracker: FakeTracker = field(default_factory=FakeTracker)
    registry: FakeRegistry = field(default_factory=FakeRegistry)
    log: AuditLog = field(default_factory=lambda: AuditLog(FakeObjectStore()))
    reporter: DrawnTables = field(default_factory=DrawnTables)
    opened: int = 0

    def open_spark(self) -> SparkSession:
        self.opened += 1
        return self.spark

    def check(self, force: bool = False, reason: str = "", as_of: datetime = AS_OF) -> check_drift.Receipt:
        return check_drift.run(
            as_of,
            force,
            reason,
            "dana",
            shop=self.shop,
            open_spark=self.open_spark,
            lake=self.lake,
            addresses=PLACES,
            tracker=self.tracker,
            registry=self.registry,
            log=self.log,
            open_reporter=lambda: self.reporter,
        )

    def last(self) -> dict[str, bytes]:
        """Return the files of the newest run."""
        return self.tracker.runs[f"run-{len(self.tracker.runs)}"].files


def made_lake(folder: Path, spark: SparkSession, *, dear_from: int) -> Lake:
    lake = Lake(str(folder), LAKE_CATALOG, FolderObjectStore(folder))
    entries = []
    for number in range(77):
        day = (FIRST + timedelta(days=number)).date().isoformat()
        path = f"interactions/event_date={day}"
        (folder / path).mkdir(parents=True)
        pq.write_table(pa.table(a_day(number, dear=number >= dear_from)), folder / path / "part.parquet")
        entries.append(Landed(day, path, 90, day, "one"))
    (folder / "items").mkdir()
    listed = {"item_id": [f"i{n:02d}" for n in range(20)], "category": ["toys"] * 20, "price": [1.0] * 20}
    pq.write_table(pa.table(listed), folder / "items" / "part.parquet")
    items = spark.read.parquet(str(folder / "items"))
    catalogue = [Landed("2026-01-01", "items", 20, "d", "one")]
    schema = spark.createDataFrame([], SCHEMA).schema
    lake.commit("one", {"interactions": (schema, entries), "items": (items.schema, catalogue)})
    (folder / PLACE / "pairs").mkdir(parents=True)
    people = pa.table({"user_id": [f"u{n}" for n in range(60)], "item_id": ["i00"] * 60})
    pq.write_table(people, folder / PLACE / "pairs" / "part.parquet")
    used = [asdict(entry) for entry in lake.days("interactions", FIRST, FIRST + timedelta(days=70))]
    lake.store.create(f"{PLACE}/manifest.json", canonical_json({"digest": "0" * 64, "used": used}))
    return lake


@pytest.fixture(scope="module")
def champion_files(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Give the files of a model trained on the days before the cutoff; they are the same in every lake here."""
    lake = made_lake(tmp_path_factory.mktemp("trained"), spark, dear_from=999)
    shop = load_shop(REPOSITORY / "shops", "simulated").model_copy(update={"drift": POLICY})
    profile = reference_profile(spark, lake, shop, days_before(lake, CUTOFF), CUTOFF, users=None)
    model = ItemFactors(
        items=pa.array([f"i{n:02d}" for n in range(20)]),
        factors=np.ones((20, 2), dtype=np.float32),
        people=np.ones(20, dtype=np.int64),
        alpha=1.0,
        regularisation=0.1,
        facts={"training_set": "0" * 64},
    )
    return {**model.to_files(), PROFILE_FILE: canonical_json(profile.to_json())}


def corner(
    folder: Path, spark: SparkSession, files: dict[str, bytes], *, dear_from: int = 999, cutoff: datetime = CUTOFF
) -> Corner:
    lake = made_lake(folder, spark, dear_from=dear_from)
    made = Corner(lake, load_shop(REPOSITORY / "shops", "simulated").model_copy(update={"drift": POLICY}), spark)
    model_id = made.tracker.log_model(
        made.tracker.log_run("train", params={}, metrics={}, tags={}, files={}), files, params={}
    )
    tags = {"digest": digest_of_files(files), "cutoff": cutoff.isoformat()}
    crown(made.registry, made.registry.register(model_id=model_id, run_id="run-1", tags=tags), made.log)
    return made


def test_a_shop_that_stays_as_it_is_is_skipped_with_a_page(
    spark: SparkSession, tmp_path: Path, champion_files: dict[str, bytes]
) -> None:
    shop = corner(tmp_path, spark, champion_files)
    receipt = shop.check()
    assert (receipt.decision, receipt.retrain, receipt.champion) == ("skip", False, 1)
    assert "of 11 features moved beyond their limits" in receipt.reasons[0]
    assert "fewer than the share of 0.2" in receipt.reasons[0]
    assert set(receipt.statistics) >= {"price.ks", "top_item.new", "recency.missing", "new_people.new", "age_days"}
    assert receipt.statistics["age_days"] == 14.0
    files = shop.last()
    assert set(files) == {"drift_verdict.json", "drift.html", "evidently.html"}
    page = files["drift.html"].decode()
    assert "A simulated shop" in page
    assert "2026-03-05 (not included)" in page
    assert "2026-03-12 to 2026-03-18 (included)" in page
    # 28 days of 90 events and the 7 of the newest window, all of them, since they are fewer than 20,000
    assert shop.reporter.sizes == [2_520, 630]
    assert shop.reporter.columns == sorted((*POLICY.numbers, *POLICY.categories))


def test_a_shop_that_has_changed_is_retrained_with_every_number(
    spark: SparkSession, tmp_path: Path, champion_files: dict[str, bytes]
) -> None:
    """Prices tripled on the last 7 days (no price overlaps, so the distance is 1) and best sellers became slow."""
    shop = corner(tmp_path, spark, champion_files, dear_from=70)
    receipt = shop.check()
    assert (receipt.decision, receipt.retrain) == ("retrain", True)
    assert receipt.statistics["price.ks"] == pytest.approx(1.0)
    assert "price: ks 1.000 > 0.1 (n 630)" in receipt.reasons[0]
    assert "top_item: psi" in receipt.reasons[0]
    record = json.loads(shop.last()["drift_verdict.json"])
    assert record["decision"] == "retrain"
    price = next(measure for measure in record["measures"] if measure["name"] == "price.ks")
    assert (price["limit"], price["n"], price["passed"]) == (0.1, 630, False)


def test_people_and_items_that_the_model_does_not_know_are_new(
    spark: SparkSession, tmp_path: Path, champion_files: dict[str, bytes]
) -> None:
    """Half of the people are taken out of the training set: about half of the days of people are new, none expected."""
    shop = corner(tmp_path, spark, champion_files)
    half = pa.table({"user_id": [f"u{n}" for n in range(30)], "item_id": ["i00"] * 30})
    pq.write_table(half, tmp_path / PLACE / "pairs" / "part.parquet")
    days = {(row, n) for n in range(70, 77) for row in a_day(n, dear=False)["user_id"]}
    new = sum(int(person[1:]) >= 30 for person, _ in days) / len(days)
    assert 0.4 < new < 0.6
    receipt = shop.check()
    assert receipt.statistics["new_people.new"] == pytest.approx(new, abs=1e-9)
    assert receipt.statistics["new_items.new"] == 0.0


def test_without_the_training_set_nobody_can_be_called_new_and_nothing_be_sampled(
    spark: SparkSession, tmp_path: Path, champion_files: dict[str, bytes]
) -> None:
    shop = corner(tmp_path, spark, champion_files)
    shutil.rmtree(tmp_path / PLACE)
    receipt = shop.check()
    assert receipt.decision == "skip"
    assert receipt.statistics["new_people.psi"] is None
    files = shop.last()
    assert "evidently.html" not in files
    assert "There is no report by Evidently, the reference cannot be sampled" in files["drift.html"].decode()


def test_days_that_are_gone_from_the_lake_are_named_on_the_page(
    spark: SparkSession, tmp_path: Path, champion_files: dict[str, bytes]
) -> None:
    shop = corner(tmp_path, spark, champion_files)
    for before in (26, 27):
        shutil.rmtree(tmp_path / "interactions" / f"event_date={(CUTOFF - timedelta(days=before)).date()}")
    # The lookback of activity needs them too, so the policy here has none.
    shop.shop = shop.shop.model_copy(
        update={"drift": POLICY.model_copy(update={"activity": (), "newcomers": ("new_items",)})}
    )
    shop.check()
    assert "2 of 28 days from 2026-02-05 are not in the lake any more" in shop.last()["drift.html"].decode()


def test_a_champion_is_who_the_audit_log_names(
    spark: SparkSession, tmp_path: Path, champion_files: dict[str, bytes]
) -> None:
    """An alias that somebody has set by hand says nothing about drift either."""
    shop = replace(corner(tmp_path, spark, champion_files), log=AuditLog(FakeObjectStore()))
    with pytest.raises(AliasMovedError, match="accept it with adopt version=1"):
        shop.check()
    assert shop.opened == 0


def test_without_a_champion_there_is_no_page_and_no_spark(spark: SparkSession, tmp_path: Path) -> None:
    lake = made_lake(tmp_path, spark, dear_from=999)
    shop = Corner(lake, load_shop(REPOSITORY / "shops", "simulated"), spark)
    receipt = shop.check()
    assert (receipt.decision, receipt.champion, receipt.statistics) == ("retrain", None, {})
    assert set(shop.last()) == {"drift_verdict.json"}
    assert shop.opened == 0


def test_a_person_may_force_and_the_page_says_who(
    spark: SparkSession, tmp_path: Path, champion_files: dict[str, bytes]
) -> None:
    shop = corner(tmp_path, spark, champion_files)
    receipt = shop.check(force=True, reason="new catalogue")
    assert receipt.reasons == ["forced by dana: new catalogue"]
    assert "forced by dana: new catalogue" in shop.last()["drift.html"].decode()


def test_nothing_landed_since_the_training_is_a_refusal_that_is_kept(
    spark: SparkSession, tmp_path: Path, champion_files: dict[str, bytes]
) -> None:
    shop = corner(tmp_path, spark, champion_files, cutoff=AS_OF)
    daily = shop.shop.drift.model_copy(update={"window_days": 1})
    shop = replace(shop, shop=shop.shop.model_copy(update={"drift": daily}))
    with pytest.raises(NotEnoughDataError, match="too little data to tell: 0 of 0 windows"):
        shop.check(as_of=AS_OF + timedelta(days=1))
    assert json.loads(shop.last()["drift_verdict.json"])["decision"] == "refuse"
    assert "drift.html" in shop.last()


def test_a_champion_that_has_seen_everything_is_a_mistake_of_the_caller(
    spark: SparkSession, tmp_path: Path, champion_files: dict[str, bytes]
) -> None:
    shop = corner(tmp_path, spark, champion_files, cutoff=AS_OF)
    with pytest.raises(ConfigurationError, match="there is nothing new to compare; give a later as_of"):
        shop.check(as_of=AS_OF - timedelta(days=1))
    assert shop.check().reasons == ["the champion has learnt from every day before 2026-03-19; nothing is new"]
    assert shop.opened == 0


def test_a_profile_that_was_changed_is_not_compared_with(
    spark: SparkSession, tmp_path: Path, champion_files: dict[str, bytes]
) -> None:
    shop = corner(tmp_path, spark, champion_files)
    shop.tracker.models["m-1"][PROFILE_FILE] += b" "
    with pytest.raises(ModelDamagedError, match="its files were changed after the judgement"):
        shop.check()
