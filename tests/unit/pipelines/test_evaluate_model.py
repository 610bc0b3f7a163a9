"""The step that judges: a shop of two tastes, models that know them and models that do not, and what is kept of it."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from markdown_it import MarkdownIt
from pyspark.sql import SparkSession
from scipy.sparse import csr_array
from support.tea_shop import TeaShop

from pipelines import build_training_set, evaluate_model, rebuild_training_set, register_model
from pipelines.addresses import VERDICT_FILE, Addresses
from refit.adapters.implicit import ImplicitLibrary
from refit.config import Shop, load_shop
from refit.digests import canonical_json, digest_of_files
from refit.errors import ConfigurationError, ModelDamagedError
from refit.evaluation.evaluate import judge_challenger
from refit.governance.audit_log import AuditLog
from refit.governance.champions import AliasMovedError
from refit.interfaces import ModelVersion
from refit.model.item_factors import ItemFactors
from refit.model.item_links import ItemItemWeights
from refit.rendering.markdown import plain_text
from refit.testing import FakeObjectStore, FakeRegistry, FakeTracker, crown
from refit.training.training_set import load_manifest

AS_OF = datetime(2026, 2, 1, tzinfo=UTC)
CUTOFF = AS_OF - timedelta(days=14)
PEOPLE = 60
ITEMS = [f"{letter}{n}" for letter in "ab" for n in range(8)]
SETTINGS = """
[training]
holdout_days = 14
min_interactions = 10
min_people = 10
min_items = 2

[promotion]
min_people = 10
cohort_people = 10
"""


def events() -> list[tuple[str, str, datetime]]:
    """
    Return what 60 people bought: 30 like a, 30 like b, each bought five items of their letter and then two others.

    Every third person is new. The first items of either letter are bought by fewer and fewer, in the rhythm of people.
    """
    found = []
    for person in range(PEOPLE):
        letter = "ab"[person % 2]
        days = 10 if person % 3 == 0 else 90
        order = np.random.default_rng(person).permutation(8)
        for n, item in enumerate(order[:5]):
            found.append((f"p{person:02d}", f"{letter}{item}", CUTOFF - timedelta(days=days - n // 3)))
        found += [(f"p{person:02d}", f"{letter}{item}", CUTOFF + timedelta(days=13)) for item in order[5:7]]
    return found


def model(*, knows: bool) -> ItemFactors:
    """Return a model with one factor per letter, or one that likes a of whoever it sees."""
    letters = np.array([[item[0] == "a", item[0] == "b"] for item in ITEMS], dtype=np.float32)
    strength = np.linspace(1.0, 0.8, len(ITEMS), dtype=np.float32)[:, None]
    backwards = np.concatenate([np.full((len(ITEMS), 1), 0.1), 0 * strength], axis=1).astype(np.float32)
    return ItemFactors(
        items=pa.array(ITEMS),
        factors=(letters * strength) if knows else backwards,
        people=np.full(len(ITEMS), 19),
        alpha=1.0,
        regularisation=0.1,
        facts={"cutoff": CUTOFF.isoformat(), "window_days": 365},
    )


@dataclass(frozen=True)
class World:
    """A built training set and empty registries around it."""

    shop: Shop
    spark: SparkSession
    tea: TeaShop
    training_set: str
    addresses: Addresses
    tracker: FakeTracker
    registry: FakeRegistry
    log: AuditLog = field(default_factory=lambda: AuditLog(FakeObjectStore()))

    def keep(self, model: ItemFactors) -> dict[str, str]:
        """Log a model and return what names it."""
        files = model.to_files()
        run_id = self.tracker.log_run("train", params={}, metrics={}, tags={}, files={})
        model_id = self.tracker.log_model(run_id, files, params={})
        return {"run_id": run_id, "model_id": model_id, "digest": digest_of_files(files)}

    def crown(self, model: ItemFactors, cutoff: datetime = CUTOFF) -> ModelVersion:
        """Make *model* the champion."""
        kept = self.keep(model)
        tags = {"digest": kept["digest"], "cutoff": cutoff.isoformat()}
        challenger = self.registry.register(model_id=kept["model_id"], run_id=kept["run_id"], tags=tags)
        return crown(self.registry, challenger, self.log)

    def judge(self, kept: dict[str, str], **shown: Any) -> evaluate_model.Receipt:
        return evaluate_model.run(
            self.training_set,
            **kept,
            **shown,
            shop=self.shop,
            spark=self.spark,
            lake=self.tea.lake,
            addresses=self.addresses,
            tracker=self.tracker,
            registry=self.registry,
            log=self.log,
            factoriser=ImplicitLibrary(),
        )


@pytest.fixture(scope="module")
def landed(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> TeaShop:
    """Give the shop's lake; nothing in these tests writes to it but training sets."""
    root = tmp_path_factory.mktemp("tastes")
    tea = TeaShop.empty(spark, root / "lake" / "corner")
    tea.sell(events())
    tea.stock({name: ("tea" if name[0] == "a" else "cup", 4.0, True) for name in ITEMS}, CUTOFF - timedelta(days=1))
    tea.register({f"p{n:02d}": "FR" if n < 45 else "DE" for n in range(PEOPLE)}, CUTOFF - timedelta(days=1))
    return tea


@pytest.fixture
def world(spark: SparkSession, landed: TeaShop, write_shop: Callable[..., Path]) -> World:
    folder = write_shop(
        replace={"[evaluation]\nseed = 1": '[evaluation]\nseed = 1\nk = 3\nks = [1]\ncohorts = ["country"]'},
        append=SETTINGS,
    )
    shop = load_shop(folder, "corner")
    addresses = Addresses(shop="corner", lake=str(Path(landed.lake.root).parent), bucket="refit")
    built = build_training_set.run(AS_OF, shop=shop, spark=spark, lake=landed.lake, addresses=addresses)
    return World(shop, spark, landed, built.training_set, addresses, FakeTracker(), FakeRegistry())


def test_a_model_that_knows_tastes_is_proposed_before_there_is_a_champion(world: World) -> None:
    """Of three unbought items of the right letter two are wanted: recall 1, and popularity knows no letters."""
    kept = world.keep(model(knows=True))
    receipt = world.judge(kept)
    assert receipt.proposed
    assert receipt.judged == PEOPLE
    assert receipt.champion is None
    assert receipt.metrics["challenger"]["recall"] == 1.0
    assert receipt.metrics["popularity"]["recall"] < 0.9
    assert set(receipt.metrics) == {
        "challenger",
        "popularity",
        "recent_popularity",
        "items_cosine",
        "items_pearson",
        "people_cosine",
        "people_pearson",
    }
    assert receipt.metrics["items_cosine"]["recall"] == receipt.metrics["people_cosine"]["recall"] == 1.0
    run = world.tracker.runs[kept["run_id"]]
    assert run.metrics["challenger.recall_at_3"] == 1.0
    assert run.metrics["challenger.recall_at_1"] == pytest.approx(receipt.metrics["challenger"]["mrr"], abs=0.5)
    assert run.metrics["challenger.coverage"] == 1.0
    record = json.loads(run.files[VERDICT_FILE])
    assert record["decision"] == "propose"
    assert record["measured"]["metrics"]["challenger"]["recall@3"] == dict(mean=1.0, low=1.0, high=1.0, telling=60)
    assert set(record["measured"]["cohorts"]) == {"new", "returning", "country=FR", "country=DE"}
    page = run.files[receipt.dossier].decode()
    assert page.startswith("<!doctype html>")
    assert "A corner shop" in page
    assert "10 people, drawn by chance" in page
    assert page.count("<summary>") == 10
    # Items are shown by their titles: those of the history, and one that was wanted.
    assert re.search(r"Before: [AB]\d, [AB]\d, ", page)
    assert re.search(r"✓ [AB]\d", page)
    assert "Against the champion" not in page


def test_everybody_who_wanted_something_is_told_beside_those_who_can_judge(world: World) -> None:
    """
    60 people of the shop judge; here are 20 newcomers and 10 who also wanted an item that came after the cutoff.

    Means over everybody from raw events: a person without a history has no hit, and an item that nobody knew is missed.
    """
    late = [(f"new{n}", "a0", CUTOFF + timedelta(days=2)) for n in range(20)]
    late += [(f"p{n:02d}", "z9", CUTOFF + timedelta(days=3)) for n in range(10)]
    tea = TeaShop.empty(world.spark, Path(world.tea.lake.root).parent.parent / "late" / "corner")
    tea.sell([*events(), *late])
    tea.stock({name: ("tea", 4.0, True) for name in ITEMS}, CUTOFF - timedelta(days=1))
    addresses = Addresses(shop="corner", lake=str(Path(tea.lake.root).parent), bucket="refit")
    shop = world.shop.model_copy(update={"evaluation": world.shop.evaluation.model_copy(update={"cohorts": ()})})
    built = build_training_set.run(AS_OF, shop=shop, spark=world.spark, lake=tea.lake, addresses=addresses)
    assert (built.judges, built.asked["people"], built.asked["new_people"], built.asked["new_items"]) == (60, 80, 20, 1)
    here = replace(world, shop=shop, tea=tea, addresses=addresses, training_set=built.training_set)
    kept = here.keep(model(knows=True))
    receipt = here.judge(kept)
    assert receipt.left_out == (
        "60 of 80 people who came to want something can judge: 20 were new, 0 wanted only new items (1 of 17 are new)"
    )
    assert receipt.metrics["challenger"]["recall"] == 1.0
    assert receipt.everybody["challenger"]["recall"] == pytest.approx((50 * 1.0 + 10 * 2 / 3) / 80)
    assert receipt.everybody["challenger"]["hit_rate"] == pytest.approx(60 / 80)
    run = here.tracker.runs[kept["run_id"]]
    assert run.metrics["challenger.everybody.recall_at_3"] == receipt.everybody["challenger"]["recall"]
    page = run.files["dossier.html"].decode()
    assert receipt.left_out in page
    assert f"{receipt.everybody['challenger']['recall']:.4f}" in page

    sampled = shop.model_copy(update={"evaluation": shop.evaluation.model_copy(update={"max_people": 30})})
    few = replace(here, shop=sampled).judge(kept)
    assert few.everybody["challenger"]["hit_rate"] == pytest.approx(60 / 80)


def test_a_training_set_of_before_is_judged_and_says_what_it_does_not_tell(world: World) -> None:
    place = world.addresses.training_set(world.training_set)
    stored = world.tea.lake.store.get(f"{place}/manifest.json")
    assert stored is not None
    old = json.loads(stored.content)
    old.pop("asked")
    old["content"].pop("left_out")
    found = judge_challenger(world.spark, world.tea.lake, world.shop, place, old, {"challenger": model(knows=True)})
    assert found.compared.everybody is None
    assert "made before people and items were counted" in found.notes[0]
    again = rebuild_training_set.run(
        world.training_set, spark=world.spark, lake=world.tea.lake, addresses=world.addresses
    )
    assert not again.restored


def by_hand(relevant: list[str], ranked: list[str], k: int) -> dict[str, float]:
    """Return metrics in plain Python, from ids."""
    hits = [item in relevant for item in ranked[:k]]
    gained = sum(1 / math.log2(rank + 2) for rank, hit in enumerate(hits) if hit)
    ideal = sum(1 / math.log2(rank + 2) for rank in range(min(k, len(relevant))))
    return {
        "ndcg": gained / ideal,
        "recall": sum(hits) / len(relevant),
        "capped_recall": sum(hits) / min(k, len(relevant)),
        "hit_rate": float(any(hits)),
    }


def test_a_judge_outside_finds_the_same_numbers_in_the_exported_lists(world: World) -> None:
    kept = world.keep(model(knows=True))
    receipt = world.judge(kept, export=True)
    assert receipt.exported == "judged_lists.parquet"
    table = pq.read_table(io.BytesIO(world.tracker.runs[kept["run_id"]].files[receipt.exported]))
    assert table.num_rows == receipt.judged == 60
    assert {name for name in table.column_names if name.startswith("list:")} == {f"list:{n}" for n in receipt.metrics}
    raw = {(user, item) for user, item, at in events() if at >= CUTOFF}
    rows = table.to_pylist()
    assert {(row["user_id"], item) for row in rows for item in row["relevant"]} == raw
    assert [row["wanted"] for row in rows] == [len(row["relevant"]) for row in rows]
    for name, told in receipt.metrics.items():
        for k in (1, 3):
            found = [by_hand(row["relevant"], row[f"list:{name}"], k) for row in rows]
            for metric in found[0]:
                mean = sum(each[metric] for each in found) / len(found)
                assert mean == pytest.approx(world.tracker.runs[kept["run_id"]].metrics[f"{name}.{metric}_at_{k}"])
        assert told["ndcg"] == pytest.approx(sum(each["ndcg"] for each in found) / len(found))


def test_lists_are_exported_only_where_they_are_asked_for(world: World) -> None:
    kept = world.keep(model(knows=True))
    assert world.judge(kept).exported == ""
    assert "judged_lists.parquet" not in world.tracker.runs[kept["run_id"]].files


def test_names_nothing_newer_are_text_in_the_question_and_on_the_page(world: World) -> None:
    """A country that is a picture and a heading, in which the challenger is worse."""
    country = "![x](https://example.org/a.png)\n\n# Approve <b>this</b>"
    tea = TeaShop.empty(world.spark, Path(world.tea.lake.root).parent.parent / "hostile" / "corner")
    tea.sell(events())
    tea.stock({name: (f"{name} [red]", 4.0, True) for name in ITEMS}, CUTOFF - timedelta(days=1))
    tea.register({f"p{n:02d}": country if n % 2 else "FR" for n in range(PEOPLE)}, CUTOFF - timedelta(days=1))
    addresses = Addresses(shop="corner", lake=str(Path(tea.lake.root).parent), bucket="refit")
    built = build_training_set.run(AS_OF, shop=world.shop, spark=world.spark, lake=tea.lake, addresses=addresses)
    here = replace(world, tea=tea, addresses=addresses, training_set=built.training_set)
    here.crown(model(knows=True))
    kept = here.keep(model(knows=False))
    receipt = here.judge(kept)
    assert any(country in reason for reason in receipt.reasons)
    asked = register_model.run(
        here.training_set,
        **kept,
        evaluation=asdict(receipt),
        code="commit 1",
        now=AS_OF,
        registry=here.registry,
        tracker=here.tracker,
    )
    reader = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = [child for token in reader.parse(asked.summary) for child in [token, *(token.children or [])]]
    kinds = {token.type for token in tokens}
    assert not kinds & {"image", "heading_open", "html_inline", "html_block"}
    links = [token.attrs["href"] for token in tokens if token.type == "link_open"]
    assert all(str(link).startswith("memory://fake/") for link in links)
    page = here.tracker.runs[kept["run_id"]].files["dossier.html"].decode()
    assert "<b>this" not in page
    assert "&lt;b&gt;this" in page


def test_a_champion_that_knows_more_is_kept_and_the_person_reads_why(world: World) -> None:
    champion = world.crown(model(knows=True))
    kept = world.keep(model(knows=False))
    drift = {"decision": "retrain", "reasons": ["price has <moved>"]}
    receipt = world.judge(kept, drift=drift)
    assert not receipt.proposed
    assert receipt.champion == champion.version
    assert receipt.reasons[0].startswith("worse than the champion: ndcg@3 is -")
    page = world.tracker.runs[kept["run_id"]].files[receipt.dossier].decode()
    assert "Against the champion" in page
    assert "price has &lt;moved&gt;" in page
    assert "http" not in page.replace("http://www.w3.org", "")

    registered = register_model.run(
        world.training_set,
        **kept,
        evaluation={
            "run_id": receipt.run_id,
            "as_of": receipt.as_of,
            "proposed": receipt.proposed,
            "reasons": receipt.reasons,
            "metrics": receipt.metrics,
            "judged": receipt.judged,
            "k": receipt.k,
            "champion": receipt.champion,
            "dossier": receipt.dossier,
            "anchor": receipt.anchor,
        },
        requested_by="lee",
        code="commit 1",
        now=AS_OF,
        registry=world.registry,
        tracker=world.tracker,
    )
    assert plain_text(registered.summary.splitlines()[0]) == f"- {receipt.reasons[0]}"
    assert f"/{kept['run_id']}/artifacts/dossier.html)" in registered.summary
    table = [line.split(" | ")[0] for line in registered.summary.splitlines() if line.startswith("| ")]
    assert table[:3] == ["| model", "| challenger", "| champion"]


def test_a_champion_is_who_the_audit_log_names(world: World) -> None:
    """A challenger is not compared with what somebody has put under the alias."""
    world.crown(model(knows=True))
    unrecorded = replace(world, log=AuditLog(FakeObjectStore()))
    with pytest.raises(AliasMovedError, match="accept it with adopt version=1"):
        unrecorded.judge(world.keep(model(knows=False)))


def test_a_challenger_that_is_older_than_the_champion_is_measured_and_never_proposed(world: World) -> None:
    """However much better it is: the champion has learnt from days that the challenger does not know."""
    world = replace(world, shop=world.shop.model_copy(update={"refit": False}))
    world.crown(model(knows=False), CUTOFF + timedelta(days=1))
    receipt = world.judge(world.keep(model(knows=True)))
    assert not receipt.proposed
    assert receipt.reasons[0].startswith("an experiment on the past: training ends before 2026-01-18")
    assert receipt.metrics["challenger"]["recall"] > receipt.metrics["champion"]["recall"]


def memory(settings: dict[str, Any] | None) -> ItemFactors:
    """Return a model of links from what each person had to what the same person came to want in the holdout."""
    weights = np.zeros((len(ITEMS), len(ITEMS)), np.float32)
    had, wanted = ({name: set[str]() for name, *_ in events()} for _ in range(2))
    for name, item, at in events():
        (had if at < CUTOFF else wanted)[name].add(item)
    for name, items in had.items():
        for item in items:
            for other in wanted[name]:
                weights[ITEMS.index(item), ITEMS.index(other)] += 1
    sparse = csr_array(weights)
    facts = {**model(knows=True).facts, **({"settings": settings} if settings else {})}
    links = ItemItemWeights(sparse.indptr.astype(np.int64), sparse.indices.astype(np.int32), sparse.data)
    return replace(model(knows=True), factors=np.empty((len(ITEMS), 0), np.float32), links=links, facts=facts)


def test_a_champion_that_remembers_the_holdout_does_not_win_by_it(world: World) -> None:
    """Believed to have seen nothing it wins; by what it has seen, its recipe is judged in its place."""
    poor = settings_of_shop(world, regularisation=1e6)
    better = replace(model(knows=True), facts={**model(knows=True).facts, "settings": settings_of_shop(world)})
    cheated = replace(world, registry=FakeRegistry(), log=AuditLog(FakeObjectStore()))
    cheated.crown(memory(poor))
    believed = cheated.judge(cheated.keep(better))
    assert believed.metrics["champion"]["ndcg"] > believed.metrics["challenger"]["ndcg"]
    assert not believed.proposed

    world.crown(memory(poor), AS_OF - timedelta(days=1))
    kept = world.keep(better)
    receipt = world.judge(kept)
    assert receipt.proposed
    assert receipt.metrics["champion"]["ndcg"] < receipt.metrics["challenger"]["ndcg"]
    assert receipt.judged == believed.judged
    assert any(
        "has seen 13 of the 14 days that judge; its recipe, trained before 2026-01-18" in why for why in receipt.reasons
    )
    run = world.tracker.runs[kept["run_id"]]
    assert json.loads(run.files[VERDICT_FILE])["champion_judged_by"] == "recipe"
    page = run.files["dossier.html"].decode()
    assert "has seen 13 of the 14 days" in page
    assert "the same recipe trained again on every day before 2026-02-01" in page


def test_the_champions_own_recipe_from_newer_days_is_proposed(world: World) -> None:
    """There is nothing to compare and nothing to lose but what the anchor counts: only the days are newer."""
    mine = settings_of_shop(world)
    world.crown(memory(mine), AS_OF - timedelta(days=1))
    better = replace(model(knows=True), facts={**model(knows=True).facts, "settings": mine})
    receipt = world.judge(world.keep(better))
    assert receipt.proposed
    assert receipt.reasons[0] == "made by the champion's recipe, from newer days"
    assert receipt.metrics["champion"] == receipt.metrics["challenger"]

    again = replace(world, registry=FakeRegistry(), log=AuditLog(FakeObjectStore()))
    again.crown(memory(mine), AS_OF)
    nothing_newer = again.judge(again.keep(replace(better, facts={**better.facts, "training_set": "a set"})))
    assert "made by the champion's recipe, from newer days" not in nothing_newer.reasons


def test_a_champion_without_a_recipe_is_judged_on_the_days_that_it_has_not_seen(world: World) -> None:
    """All wishes of the holdout are of one day, the 31st of January: it has seen none of them, and then all."""
    world.crown(memory(None), CUTOFF + timedelta(days=13))
    receipt = world.judge(world.keep(model(knows=True)))
    assert receipt.judged == PEOPLE
    assert any("all models are judged on the days from 2026-01-31 on" in reason for reason in receipt.reasons)
    later = replace(world, registry=FakeRegistry(), log=AuditLog(FakeObjectStore()))
    later.crown(memory(None), AS_OF)
    nobody = later.judge(later.keep(model(knows=True)))
    assert (nobody.judged, nobody.proposed) == (0, False)
    assert nobody.reasons[0] == "0 people could be judged, at least 10 are needed as evidence"


def test_the_same_model_again_is_no_news_in_any_cohort(world: World) -> None:
    """Nobody fares differently with it: that it is no worse is true and no evidence for a change."""
    world.crown(model(knows=True))
    receipt = world.judge(world.keep(model(knows=True)))
    assert not receipt.proposed
    assert receipt.reasons[0].startswith("cannot be told from the champion: 0 of 60 judged people fare differently")
    assert receipt.reasons[2].startswith("not worse in 0 of 4 cohorts; too few people to tell a loss of 10% in new, ")


def settings_of_shop(world: World, **als: Any) -> dict[str, Any]:
    chosen = world.shop.model_settings("als")
    return chosen.model_copy(update={"als": chosen.als.model_copy(update={"rank": 2, **als})}).model_dump(mode="json")


def test_the_recipe_of_the_first_champion_is_trained_again_and_judged_beside(world: World) -> None:
    """
    The champion has learnt to know less than the recipe that came before it; a challenger like it is not the next one.

    A recipe that beats its anchor is the anchor of what comes after it, any other hands the one that it found on.
    """
    good, poor = settings_of_shop(world), settings_of_shop(world, regularisation=1e6)
    unknowing = replace(model(knows=False), facts={**model(knows=False).facts, "settings": poor})
    first = world.judge(world.keep(replace(model(knows=True), facts={**unknowing.facts, "settings": good})))
    assert json.loads(first.anchor) == good

    champion = world.crown(unknowing)
    world.registry.tag(champion, {"anchor": first.anchor})
    champion = replace(champion, tags={**champion.tags, "anchor": first.anchor})
    world.registry.versions[champion.name][champion.version - 1] = champion
    receipt = world.judge(world.keep(replace(unknowing, people=unknowing.people + 1)))
    assert receipt.metrics["anchor"]["ndcg"] > receipt.metrics["champion"]["ndcg"]
    assert any(
        reason.startswith("worse than the anchor, the recipe of an earlier champion") for reason in receipt.reasons
    )
    assert receipt.anchor == first.anchor

    carried = register_model.run(
        world.training_set,
        **world.keep(unknowing),
        evaluation=asdict(receipt),
        code="commit 1",
        now=AS_OF,
        registry=world.registry,
        tracker=world.tracker,
    )
    assert world.registry.challenger(carried.version).tags["anchor"] == first.anchor


def test_a_champion_without_an_anchor_is_one_and_the_same_recipe_is_not_trained_twice(world: World) -> None:
    poor = settings_of_shop(world, regularisation=1e6)
    world.crown(replace(model(knows=False), facts={**model(knows=False).facts, "settings": poor}))
    alike = world.judge(world.keep(replace(model(knows=True), facts={**model(knows=True).facts, "settings": poor})))
    assert "anchor" not in alike.metrics
    assert json.loads(alike.anchor) == poor
    better = settings_of_shop(world, rank=3)
    other = world.judge(world.keep(replace(model(knows=True), facts={**model(knows=True).facts, "settings": better})))
    assert "anchor" in other.metrics
    assert json.loads(other.anchor) == better


def test_an_anchor_that_can_no_longer_be_trained_is_told_and_replaced(world: World) -> None:
    """Sixteen items do not support two hundred factors."""
    large = settings_of_shop(world, rank=200)
    world.crown(replace(model(knows=False), facts={**model(knows=False).facts, "settings": large}))
    mine = settings_of_shop(world)
    receipt = world.judge(world.keep(replace(model(knows=True), facts={**model(knows=True).facts, "settings": mine})))
    assert any("the anchor of champion version 1 can no longer be trained" in reason for reason in receipt.reasons)
    assert json.loads(receipt.anchor) == mine


def test_another_training_set_is_judged_by_other_people(world: World) -> None:
    """Of 60 people 20 are judged: the same ones for the same set, others for another one, with one seed."""
    settings = world.shop.evaluation.model_copy(update={"max_people": 20})
    place = world.addresses.training_set(world.training_set)
    manifest = load_manifest(world.tea.lake, place)
    shop = world.shop.model_copy(update={"evaluation": settings})

    def judged(digest: str) -> list[str]:
        asked = {**manifest, "digest": digest}
        models = {"challenger": model(knows=True)}
        return judge_challenger(world.spark, world.tea.lake, shop, place, asked, models).judged.users.to_pylist()

    first, again, other = judged("a" * 64), judged("a" * 64), judged("b" * 64)
    assert first == again != other
    assert 0 < len(set(first) & set(other)) < 20


def test_a_champion_with_confidences_of_its_own_sees_people_through_them(world: World) -> None:
    """The champion's half-life forgets everything that is ten days old, and its ranking is the same all the same."""
    chosen = world.shop.model_settings(world.shop.models.candidates[0])
    confidence = chosen.confidence.model_copy(update={"half_life_days": 5.0})
    settings = chosen.model_copy(update={"confidence": confidence}).model_dump(mode="json")
    knows = model(knows=True)
    world.crown(replace(knows, facts={**knows.facts, "settings": settings}))
    receipt = world.judge(world.keep(knows))
    assert receipt.metrics["champion"]["recall"] == 1.0


def test_what_was_left_out_is_said(world: World) -> None:
    evaluation = world.shop.evaluation.model_copy(update={"neighbour_pairs": 100, "max_people": 40})
    small = replace(world, shop=world.shop.model_copy(update={"evaluation": evaluation}))
    kept = small.keep(model(knows=True))
    assert small.judge(kept).judged == 40
    page = small.tracker.runs[kept["run_id"]].files["dossier.html"].decode()
    assert re.search(r"were learnt from \d+\.\d% of 300 pairs", page)
    assert "40 people were judged (evaluation.max_people)" in page


def test_tuning_is_shown_where_the_settings_come_from_a_study(world: World) -> None:
    folder = f"{world.addresses.training_set(world.training_set)}/tuning-abc"
    for n, score in enumerate((0.1, 0.3, 0.2)):
        trial = {"number": n, "kind": "als", "values": {"als.rank": 8 * n}, "scores": [score], "state": "done"}
        world.tea.lake.store.create(f"{folder}/trial-{n:05d}.json", canonical_json(trial))
    kept = world.keep(model(knows=True))
    world.judge(kept, settings=f"{folder}/settings-1.json")
    page = world.tracker.runs[kept["run_id"]].files["dossier.html"].decode()
    assert "Tuning" in page
    assert "als.rank 8" in page
    assert "tuning.seconds" not in page
    record = {
        "settings": settings_of_shop(world),
        "stopped": "3 of 9 trials were run in the 5 s that tuning.seconds allows",
    }
    world.tea.lake.store.create(f"{folder}/settings-2.json", canonical_json(record))
    world.judge(kept, settings=f"{folder}/settings-2.json")
    page = world.tracker.runs[kept["run_id"]].files["dossier.html"].decode()
    assert "3 of 9 trials were run in the 5 s that tuning.seconds allows." in page


def test_a_champion_of_other_items_cannot_be_compared(world: World, tell: Callable[[str, str], None]) -> None:
    strange = replace(model(knows=True), items=pa.array([f"sku {item}" for item in ITEMS]))
    world.crown(strange)
    with pytest.raises(ConfigurationError, match="champion knows none of the 16 items") as refused:
        world.judge(world.keep(model(knows=True)))
    tell("a champion of another id space, asked by the step", str(refused.value))


def test_other_bytes_than_those_that_were_named_are_not_judged(world: World) -> None:
    kept = world.keep(model(knows=True))
    with pytest.raises(ModelDamagedError):
        world.judge({**kept, "digest": "0" * 64})


def test_an_unknown_cohort_is_a_mistake_in_the_shop(world: World) -> None:
    evaluation = world.shop.evaluation.model_copy(update={"cohorts": ("planet",)})
    broken = replace(world, shop=world.shop.model_copy(update={"evaluation": evaluation}))
    with pytest.raises(ConfigurationError, match=r"evaluation\.cohorts names planet"):
        broken.judge(broken.keep(model(knows=True)))
