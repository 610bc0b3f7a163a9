"""The step `score_users` and what readers see of it: rules, segments, new items, and nothing of the future."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from support.tea_shop import AS_OF, BOUGHT, USERS, TeaShop, open_shop, tea_model

from pipelines import publish_recommendations
from pipelines.addresses import Addresses
from pipelines.score_users import Receipt, run
from refit.adapters.folder import FolderObjectStore
from refit.config import Confidence, Shop, load_shop
from refit.digests import digest_of_files
from refit.errors import ConfigurationError, ListsRefusedError, RefitError
from refit.governance.audit_log import AuditLog
from refit.model.item_factors import ItemFactors
from refit.publication import new_attempt, read_commit, read_live_batch, read_live_person, read_manifest
from refit.testing import FakeObjectStore, FakeRegistry, FakeTracker, crown

Tell = Callable[[str, str], None]
Rows = dict[str, list[tuple[str, str]]]
"""Person -> (item, source) in rank order."""
LENIENT = "[lists.gate]\nmin_filled = 0.0\nmin_catalogue = 0.0\nmax_flat = 1.0\n"
RULES = f"""
[lists]
k = 3
segment = "country"
min_segment_people = 3
recent_days = 14
new_items = 1
min_new_people = 2
deny = ["darjeeling", "nothing"]
where = "category IS NULL OR price < 20"
cap_per_category = 2
boosts = [{{ where = "category = 'cup'", factor = 2.0 }}]
{LENIENT}"""


@dataclass(frozen=True)
class Counter:
    """The step with everything that it needs, for one test."""

    spark: SparkSession
    folder: Path
    write_shop: Callable[..., Path]

    def shop(self, settings: str) -> Shop:
        return load_shop(self.write_shop(append=settings), "corner")

    def score(
        self,
        tea: TeaShop,
        settings: str,
        *,
        model: ItemFactors | None = None,
        as_of: datetime | None = AS_OF,
        cutoff: datetime = AS_OF,
        promoted: bool = True,
    ) -> Receipt:
        tracker, registry, log = FakeTracker(), FakeRegistry(), AuditLog(FakeObjectStore())
        files = (model or tea_model()).to_files()
        run_id = tracker.log_run("train", params={}, metrics={}, tags={}, files={})
        model_id = tracker.log_model(run_id, files, params={})
        tags = {"digest": digest_of_files(files), "cutoff": cutoff.isoformat()}
        challenger = registry.register(model_id=model_id, run_id=run_id, tags=tags)
        if promoted:
            crown(registry, challenger, log)
        return run(
            as_of,
            shop=self.shop(settings),
            open_spark=lambda: self.spark,
            lake=tea.lake,
            registry=registry,
            log=log,
            tracker=tracker,
            addresses=Addresses("corner", "lake", "bucket"),
            open_store=partial(FolderObjectStore, self.folder),
            made_by=new_attempt(logical_run="tests", ordered_at=AS_OF, created=AS_OF, code="tests"),
        )

    def publish(self, receipt: Receipt, settings: str) -> Rows:
        champion = read_commit(self.store, receipt.batch)["model"]
        publish_recommendations.run(
            receipt.batch,
            shop=self.shop(settings),
            store=self.store,
            approved={champion["version"]: champion["digest"]}.get,
            withdrawn=lambda version: None,
            at=AS_OF.isoformat(),
        )
        return {row["user_id"]: [_entry(entry) for entry in row["recommendations"]] for row in self.live}

    @property
    def store(self) -> FolderObjectStore:
        return FolderObjectStore(self.folder)

    @property
    def live(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = read_live_batch(self.store).to_pylist()
        return rows


def _entry(entry: dict[str, Any]) -> tuple[str, str]:
    return entry["item_id"], entry["source"]


@pytest.fixture
def counter(spark: SparkSession, tmp_path: Path, write_shop: Callable[..., Path]) -> Counter:
    return Counter(spark, tmp_path / "lists", write_shop)


@pytest.fixture(scope="module")
def tea(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> TeaShop:
    return open_shop(spark, tmp_path_factory.mktemp("tea"))


def test_every_rule_of_the_lists_at_once_and_nothing_of_the_future(
    counter: Counter, tea: TeaShop, spark: SparkSession, tmp_path: Path
) -> None:
    """
    Worked by hand. Darjeeling is denied, the flask too dear, the ghost not available, the new pot wanted by one only.

    So the shelf holds assam, bowl, chai, earl grey, new mug and new tin; two of tea and two of cup at most.
    """
    receipt = counter.score(tea, RULES)
    assert receipt.shelf == {
        "items": 7,
        "allowed": 4,
        "kept_off": {
            "withdrawn": 0,
            "unavailable": 1,
            "unlisted": 0,
            "deny": 1,
            "allow": 0,
            "where": 1,
            "min_price": 0,
        },
        "new": 2,
        "recent_people": 8,
        "segments": 2,
    }
    assert receipt.warnings == [
        "lists.deny names 1 of 2 ids that the catalogue does not know, such as 'nothing'; they change nothing; "
        "correct them or take them out"
    ]
    rows = counter.publish(receipt, RULES)
    assert set(rows) == set(USERS)
    # What France wanted lately holds a new item, which therefore needs no place of its own.
    france, germany, new = "popularity:FR", "popularity:DE", ("new mug", "new")
    assert rows["cold fr"] == [("chai", france), ("bowl", france), ("new mug", france)]
    assert rows["cold de"] == [("earl grey", germany), ("bowl", germany), ("new mug", germany)]
    assert rows["cold"] == rows["cold it"] == [("chai", "popularity"), ("bowl", "popularity"), new]
    # The cup comes first because it is boosted, and the third item of the model makes room for the new one.
    # To somebody who knows neither, assam and chai are alike, so the last bit of a processor's sums orders them.
    assert rows["de2"] in ([("bowl", "factors"), (tea, "factors"), new] for tea in ("assam", "chai"))
    # To this one the model has nothing more to give, and the new mug was bought.
    assert rows["fr1"] == [("bowl", "factors"), ("earl grey", "factors"), ("new tin", france)]
    bought = {(person, item) for person, item, _ in BOUGHT}
    shown = {(person, item) for person, entries in rows.items() for item, _ in entries}
    assert not bought & shown
    assert {item for _, item in shown} <= {"assam", "bowl", "chai", "earl grey", "new mug", "new tin"}

    manifest = read_manifest(counter.store)
    assert manifest["shelf"] == receipt.shelf
    for person in ("cold fr", "fr1", "nobody"):
        whole = [row for row in counter.live if row["user_id"] == person]
        assert read_live_person(counter.store, person) == (whole[0] if whole else None)

    future = open_shop(spark, tmp_path / "future")
    future.sell([("cold fr", "assam", AS_OF), *[(name, "new pot", AS_OF + timedelta(days=1)) for name in USERS]])
    future.stock({"new pot": (None, 1.0, True)}, AS_OF + timedelta(days=1))
    future.register({"fr1": "DE"}, AS_OF + timedelta(days=1))
    again = Counter(counter.spark, tmp_path / "again", counter.write_shop)
    later = again.score(future, RULES)
    assert again.publish(later, RULES) == rows
    assert (later.shelf, later.counts) == (receipt.shelf, receipt.counts)
    assert again.live == counter.live
    assert later.content_sha256 == receipt.content_sha256 == manifest["content_sha256"]
    assert later.batch != receipt.batch


def test_rebuying_is_a_rule_of_the_lists(counter: Counter, tea: TeaShop) -> None:
    """Nothing is left out as bought, lists are as long as the shelf, and one that is shorter than k says why."""
    settings = f"\n[lists]\nk = 50\nrebuy = true\n{LENIENT}"
    rows = counter.publish(counter.score(tea, settings), settings)
    assert {len(entries) for entries in rows.values()} == {6}
    assert [item for item, _ in rows["fr1"]][:2] == ["assam", "chai"]
    assert {row["short"] for row in counter.live} == {"6 of 50: 6 items are allowed"}


def test_histories_are_made_as_the_champion_was_taught(counter: Counter, tea: TeaShop) -> None:
    """Assam was bought in July: for shop.toml it counts like chai and comes first, tuning found that it fades."""
    settings = f"\n[lists]\nrebuy = true\n{LENIENT}"
    found = counter.shop(settings).model_settings("als")
    found = found.model_copy(update={"confidence": Confidence(half_life_days=10)})
    tuned = tea_model(facts={"settings": found.model_dump(mode="json")})
    rows = counter.publish(counter.score(tea, settings, model=tuned), settings)
    assert [item for item, _ in rows["fr1"]][:2] == ["chai", "assam"]


def test_one_person_and_one_item_are_a_shop(counter: Counter, spark: SparkSession, tmp_path: Path) -> None:
    tiny = TeaShop.empty(spark, tmp_path / "tiny")
    tiny.sell([("ann", "chai", AS_OF - timedelta(hours=1))])
    tiny.stock({"chai": ("tea", 6.0, True)})
    model = tea_model(items=pa.array(["chai"]), factors=np.ones((1, 1), dtype=np.float32), people=np.array([1]))
    settings = f"\n[lists]\nrebuy = true\n{LENIENT}"
    receipt = counter.score(tiny, settings, model=model, as_of=None)
    assert counter.publish(receipt, settings) == {"ann": [("chai", "factors")]}


REFUSED: dict[str, tuple[str, type[RefitError], str]] = {
    "a condition that leaves nothing": (
        'where = "price > 1000"',
        ListsRefusedError,
        "there is nothing to recommend: of the model's 7 items 1 are not available, lists.where keeps off 6; nothing",
    ),
    "an allow list of other items": (
        'allow = ["samovar"]',
        ListsRefusedError,
        "there is nothing to recommend: of the model's 7 items 1 are not available, lists.allow keeps off 6; nothing",
    ),
    "a condition that is none": (
        'where = "avg(price) > 2"',
        ConfigurationError,
        "lists.where = 'avg(price) > 2': it must look at one row at a time",
    ),
    "a boost on a column that there is not": (
        "boosts = [{ where = \"colour = 'red'\", factor = 2 }]",
        ConfigurationError,
        "lists.boosts.0.where = \"colour = 'red'\": there is no column colour; the columns are item_id, title, ",
    ),
    "a segment that there is not": (
        'segment = "age"',
        ConfigurationError,
        "lists.segment = 'age': the users table has no such column",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_rule_that_cannot_be_followed_is_refused_before_anything_is_written(
    counter: Counter, tea: TeaShop, tell: Tell, name: str
) -> None:
    setting, kind, sentence = REFUSED[name]
    with pytest.raises(kind) as refusal:
        counter.score(tea, f"\n[lists]\n{setting}\n")
    assert str(refusal.value).startswith(sentence)
    assert not counter.folder.exists()
    tell(name, str(refusal.value))


def test_without_a_champion_nothing_is_scored(counter: Counter, tea: TeaShop) -> None:
    assert counter.score(tea, "", promoted=False) == Receipt(scored=False, why="the shop has no champion yet")


def test_a_champion_that_knows_the_future_of_a_date_makes_no_lists_for_it(counter: Counter, tea: TeaShop) -> None:
    with pytest.raises(ConfigurationError, match=r"^no champion is old enough for .* has seen data up to 2026-02-02; "):
        counter.score(tea, "", cutoff=AS_OF + timedelta(days=1))


def test_rules_that_contradict_each_other_are_refused_when_the_shop_is_read(counter: Counter, tell: Tell) -> None:
    wrong = {
        'allow = ["a", "b"]\ndeny = ["b"]': "lists.allow and lists.deny both name 'b'; keep each id in one of them",
        "k = 3\nnew_items = 3": "lists.new_items 3 leaves the model no place in a list of k = 3",
        'boosts = [{ where = "true", factor = 0 }]': "[lists.boosts] factor = 0 must be 0.001 or more",
        "min_price = nan": "[lists] min_price = nan must be a finite number",
    }
    for setting, sentence in wrong.items():
        with pytest.raises(ConfigurationError) as refusal:
            counter.shop(f"\n[lists]\n{setting}\n")
        assert sentence in str(refusal.value)
        tell(f"[lists] {setting!r}", str(refusal.value).split("shop.toml cannot be used: ")[1])


def test_a_summary_of_old_days_changes_no_byte_of_the_lists(
    counter: Counter, spark: SparkSession, tmp_path: Path
) -> None:
    """Without people of a table, with a summary that cannot be stored, is new, and is there already."""

    class ReadOnly(FolderObjectStore):
        def create(self, key: str, content: bytes) -> str:
            raise PermissionError(key)

    root = tmp_path / "tea"
    tea = open_shop(spark, root, people=False)
    month = f"[training]\nwindow_days = 30\n{LENIENT}"
    nowhere = replace(tea, lake=replace(tea.lake, store=ReadOnly(root)))
    receipts = [counter.score(each, month) for each in (nowhere, tea, tea)]
    assert len(list(root.glob("summaries/*/manifest.json"))) == 1
    assert len({receipt.content_sha256 for receipt in receipts}) == 1
    lists = counter.publish(receipts[-1], month)
    assert all("assam" not in [item for item, _ in lists[f"fr{n}"]] for n in range(4))
