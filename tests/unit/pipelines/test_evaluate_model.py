"""
The step that judges: a shop of two tastes, models that know them and models that do not, and what is kept of it.

A judgement is made once and read by every test that asks for something of it.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable
from copy import deepcopy
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
from support.lasting_corner import lasting_corner
from support.tea_shop import TeaShop

from pipelines import build_training_set, evaluate_model, rebuild_training_set, register_model
from pipelines.addresses import VERDICT_FILE, Addresses
from refit.adapters.implicit import ImplicitLibrary
from refit.config import Shop
from refit.digests import canonical_json, digest_of_files
from refit.errors import ConfigurationError, ModelDamagedError
from refit.evaluation import evaluate
from refit.governance.audit_log import AuditLog
from refit.governance.champions import AliasMovedError
from refit.interfaces import ModelVersion
from refit.model.item_factors import ItemFactors
from refit.model.item_links import ItemItemWeights
from refit.rendering.markdown import plain_text
from refit.testing import FakeObjectStore, FakeRegistry, FakeTracker, crown
from refit.testing.tracking import FakeRun
from refit.training.training_set import load_manifest

AS_OF = datetime(2026, 2, 1, tzinfo=UTC)
CUTOFF = AS_OF - timedelta(days=14)
PEOPLE = 60
ITEMS = [f"{letter}{n}" for letter in "ab" for n in range(8)]
COUNTRY = "![x](//example.org/a.png)\n\n# Approve <b>this</b>"
"""The country of every other person: a picture and a heading, if it is not taken for text."""
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
DECIDING = ("recent_popularity",)
"""The baselines of judgements that are about champions and anchors."""


def events() -> list[tuple[str, str, datetime]]:
    """
    Return what 60 people bought: 30 like a, 30 like b, each bought five items of their letter and then two others.

    Every third person is new. The first items of either letter are bought by fewer and fewer, in the rhythm of people.

    After the cutoff come 20 newcomers, who buy an old item, and an item that nobody knew, which ten of the 60 buy.
    """
    found = []
    for person in range(PEOPLE):
        letter = "ab"[person % 2]
        days = 10 if person % 3 == 0 else 90
        order = np.random.default_rng(person).permutation(8)
        for n, item in enumerate(order[:5]):
            found.append((f"p{person:02d}", f"{letter}{item}", CUTOFF - timedelta(days=days - n // 3)))
        found += [(f"p{person:02d}", f"{letter}{item}", CUTOFF + timedelta(days=13)) for item in order[5:7]]
    found += [(f"new{n}", "a0", CUTOFF + timedelta(days=2)) for n in range(20)]
    found += [(f"p{n:02d}", "z9", CUTOFF + timedelta(days=3)) for n in range(10)]
    return found


def model(*, knows: bool, settings: dict[str, Any] | None = None) -> ItemFactors:
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
        facts={"cutoff": CUTOFF.isoformat(), "window_days": 365, **({"settings": settings} if settings else {})},
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

    def anew(self, **evaluation: Any) -> World:
        """Return the same set with empty registries, in a shop with other settings of *evaluation*."""
        shop = self.shop.model_copy(update={"evaluation": self.shop.evaluation.model_copy(update=evaluation)})
        return replace(self, shop=shop, tracker=FakeTracker(), registry=FakeRegistry(), log=AuditLog(FakeObjectStore()))

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


@dataclass(frozen=True)
class Judgement:
    """What was judged in a world, and what the step said of it; tests only read it."""

    world: World
    kept: dict[str, str]
    receipt: evaluate_model.Receipt

    @classmethod
    def of(cls, world: World, model: ItemFactors, **shown: Any) -> Judgement:
        kept = world.keep(model)
        return cls(world, kept, world.judge(kept, **shown))

    @property
    def run(self) -> FakeRun:
        return self.world.tracker.runs[self.kept["run_id"]]

    @property
    def page(self) -> str:
        return self.run.files[self.receipt.dossier].decode()

    def register(self, evaluation: dict[str, Any], **more: Any) -> register_model.Receipt:
        """Register the judged model with the receipt *evaluation*, in a copy of its registry."""
        return register_model.run(
            self.world.training_set,
            **self.kept,
            evaluation=evaluation,
            **more,
            code="commit 1",
            now=AS_OF,
            registry=deepcopy(self.world.registry),
            tracker=self.world.tracker,
        )


@pytest.fixture(scope="module")
def built(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> World:
    """Give the shop's training set; tests write to its lake nothing but files of studies."""
    root = tmp_path_factory.mktemp("tastes")
    tea = TeaShop.empty(spark, root / "lake" / "corner")
    tea.sell(events())
    tea.stock({name: (f"{name} [red]", 4.0, True) for name in ITEMS}, CUTOFF - timedelta(days=1))
    countries = {f"p{n:02d}": COUNTRY if n % 2 else "FR" for n in range(PEOPLE)}
    tea.register({**countries, **{f"new{n}": "FR" for n in range(20)}}, CUTOFF - timedelta(days=1))
    shop = lasting_corner(spark, root).shop(
        SETTINGS,
        replace={"[evaluation]\nseed = 1": '[evaluation]\nseed = 1\nk = 3\nks = [1]\ncohorts = ["country"]'},
    )
    addresses = Addresses(shop="corner", lake=str(Path(tea.lake.root).parent), bucket="refit")
    receipt = build_training_set.run(AS_OF, shop=shop, spark=spark, lake=tea.lake, addresses=addresses)
    asked = receipt.asked
    assert (receipt.judges, asked["people"], asked["new_people"], asked["new_items"]) == (60, 80, 20, 1)
    return World(shop, spark, tea, receipt.training_set, addresses, FakeTracker(), FakeRegistry())


@pytest.fixture
def world(built: World) -> World:
    """Give the training set with empty registries, judged without the baselines that decide nothing."""
    return built.anew(baselines=DECIDING)


@pytest.fixture(scope="module")
def study(built: World) -> str:
    """Give the folder of a study with three trials; one of its files of settings says why it was stopped."""
    folder = f"{built.addresses.training_set(built.training_set)}/tuning-abc"
    for n, score in enumerate((0.1, 0.3, 0.2)):
        trial = {"number": n, "kind": "als", "values": {"als.rank": 8 * n}, "scores": [score], "state": "done"}
        built.tea.lake.store.create(f"{folder}/trial-{n:05d}.json", canonical_json(trial))
    stopped = "3 of 9 trials were run in the 5 s that tuning.seconds allows"
    record = {"settings": settings_of_shop(built), "stopped": stopped}
    built.tea.lake.store.create(f"{folder}/settings-2.json", canonical_json(record))
    return folder


@pytest.fixture(scope="module")
def alone(built: World) -> Judgement:
    """Give the judgement of a model that knows tastes before there is a champion, with its lists."""
    return Judgement.of(built.anew(), model(knows=True, settings=settings_of_shop(built)), export=True)


@pytest.fixture(scope="module")
def worse(built: World, study: str) -> Judgement:
    """Give the judgement of a model that knows nothing beside a champion that does; it was tuned after drift."""
    world = built.anew()
    world.crown(model(knows=True))
    drift = {"decision": "retrain", "reasons": ["price has <moved>"]}
    return Judgement.of(world, model(knows=False), drift=drift, settings=f"{study}/settings-1.json")


@pytest.fixture(scope="module")
def alike(built: World, study: str) -> Judgement:
    """
    Give the judgement of a model beside a champion with the same lists, made by a recipe of its own.

    That recipe forgets everything that is ten days old, and has more factors than sixteen items support.
    """
    world = built.anew(baselines=DECIDING)
    chosen = world.shop.model_settings(world.shop.models.candidates[0])
    confidence = chosen.confidence.model_copy(update={"half_life_days": 5.0})
    theirs = {"confidence": confidence, "als": chosen.als.model_copy(update={"rank": 200})}
    world.crown(model(knows=True, settings=chosen.model_copy(update=theirs).model_dump(mode="json")))
    challenger = model(knows=True, settings=settings_of_shop(built))
    return Judgement.of(world, challenger, settings=f"{study}/settings-2.json")


@pytest.fixture(scope="module")
def unseen(built: World) -> Judgement:
    """Give the judgement of a good model, in a shop that does not refit, beside one of newer days without a recipe."""
    world = built.anew(baselines=DECIDING)
    world = replace(world, shop=world.shop.model_copy(update={"refit": False}))
    world.crown(model(knows=False), CUTOFF + timedelta(days=13))
    return Judgement.of(world, model(knows=True))


@pytest.fixture(scope="module")
def believed(built: World) -> Judgement:
    """Give the judgement of a good model beside a poor recipe that remembers the holdout and is believed not to."""
    world = built.anew(baselines=DECIDING)
    world.crown(memory(settings_of_shop(built, regularisation=1e6)))
    return Judgement.of(world, model(knows=True, settings=settings_of_shop(built)))


@pytest.fixture(scope="module")
def newer(built: World) -> Judgement:
    """Give the judgement of a model of the champion's own recipe; the champion has seen most of the holdout."""
    world = built.anew(baselines=DECIDING)
    mine = settings_of_shop(built)
    world.crown(memory(mine), AS_OF - timedelta(days=1))
    return Judgement.of(world, model(knows=True, settings=mine))


@pytest.fixture(scope="module")
def drawn(built: World) -> Judgement:
    """Give the judgement of a good model by 30 people drawn of 60, with neighbours from a third of the pairs."""
    world = built.anew(neighbour_pairs=100, max_people=30)
    return Judgement.of(world, model(knows=True), export=True)


def test_a_model_that_knows_tastes_is_proposed_before_there_is_a_champion(alone: Judgement) -> None:
    """Of three unbought items of the right letter two are wanted: recall 1, and popularity knows no letters."""
    receipt, run, page = alone.receipt, alone.run, alone.page
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
    assert run.metrics["challenger.recall_at_3"] == 1.0
    assert run.metrics["challenger.recall_at_1"] == pytest.approx(receipt.metrics["challenger"]["mrr"], abs=0.5)
    assert run.metrics["challenger.coverage"] == 1.0
    record = json.loads(run.files[VERDICT_FILE])
    assert record["decision"] == "propose"
    assert record["measured"]["metrics"]["challenger"]["recall@3"] == dict(mean=1.0, low=1.0, high=1.0, telling=60)
    assert set(record["measured"]["cohorts"]) == {"new", "returning", "country=FR", f"country={COUNTRY}"}
    assert page.startswith("<!doctype html>")
    assert "A corner shop" in page
    assert "10 people, drawn by chance" in page
    assert page.count("<summary>") == 10
    # Items are shown by their titles: those of the history, and one that was wanted.
    assert re.search(r"Before: [AB]\d, [AB]\d, ", page)
    assert re.search(r"✓ [AB]\d", page)
    assert "Against the champion" not in page


def test_everybody_who_wanted_something_is_told_beside_those_who_can_judge(alone: Judgement, drawn: Judgement) -> None:
    """
    60 people of the shop judge; here are 20 newcomers and 10 who also wanted an item that came after the cutoff.

    Means over everybody from raw events: a person without a history has no hit, and an item that nobody knew is missed.
    They are of everybody, too, where half of the 60 are drawn to judge.
    """
    receipt = alone.receipt
    assert receipt.left_out == (
        "60 of 80 people who came to want something can judge: 20 were new, 0 wanted only new items (1 of 17 are new)"
    )
    assert receipt.metrics["challenger"]["recall"] == 1.0
    assert receipt.everybody["challenger"]["recall"] == pytest.approx((50 * 1.0 + 10 * 2 / 3) / 80)
    assert receipt.everybody["challenger"]["hit_rate"] == pytest.approx(60 / 80)
    told = alone.run.metrics["challenger.everybody.recall_at_3"]
    assert told == receipt.everybody["challenger"]["recall"]
    assert receipt.left_out in alone.page
    assert f"{receipt.everybody['challenger']['recall']:.4f}" in alone.page
    assert drawn.receipt.everybody["challenger"]["hit_rate"] == pytest.approx(60 / 80)


def judged_alone(world: World, manifest: dict[str, Any]) -> evaluate.Judgement:
    place = world.addresses.training_set(world.training_set)
    models = {"challenger": model(knows=True)}
    return evaluate.judge_challenger(world.spark, world.tea.lake, world.shop, place, manifest, models)


@pytest.fixture(scope="module")
def before(built: World) -> evaluate.Judgement:
    """Give the judgement by 30 people of the set as it was written before people and items were counted."""
    world = built.anew(baselines=DECIDING, max_people=30)
    old = load_manifest(world.tea.lake, world.addresses.training_set(world.training_set))
    old.pop("asked")
    old["content"].pop("left_out")
    return judged_alone(world, old)


def test_a_training_set_of_before_is_judged_and_says_what_it_does_not_tell(
    world: World, before: evaluate.Judgement
) -> None:
    assert before.compared.everybody is None
    assert "made before people and items were counted" in before.notes[0]
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


def test_a_judge_outside_finds_the_same_numbers_in_the_exported_lists(alone: Judgement) -> None:
    receipt, run = alone.receipt, alone.run
    assert receipt.exported == "judged_lists.parquet"
    table = pq.read_table(io.BytesIO(run.files[receipt.exported]))
    assert table.num_rows == receipt.judged == 60
    assert {name for name in table.column_names if name.startswith("list:")} == {f"list:{n}" for n in receipt.metrics}
    raw = {(user, item) for user, item, at in events() if at >= CUTOFF and not user.startswith("new")}
    rows = table.to_pylist()
    assert {(row["user_id"], item) for row in rows for item in row["relevant"]} == {
        (user, item) for user, item in raw if item in ITEMS
    }
    assert [row["wanted"] for row in rows] == [sum(user == row["user_id"] for user, _ in raw) for row in rows]
    for name, told in receipt.metrics.items():
        for k in (1, 3):
            found = [by_hand(row["relevant"], row[f"list:{name}"], k) for row in rows]
            for metric in found[0]:
                mean = sum(each[metric] for each in found) / len(found)
                assert mean == pytest.approx(run.metrics[f"{name}.{metric}_at_{k}"])
        assert told["ndcg"] == pytest.approx(sum(each["ndcg"] for each in found) / len(found))


def test_lists_are_exported_only_where_they_are_asked_for(worse: Judgement) -> None:
    assert worse.receipt.exported == ""
    assert "judged_lists.parquet" not in worse.run.files


def test_names_nothing_newer_are_text_in_the_question_and_on_the_page(worse: Judgement) -> None:
    """A country that is a picture and a heading, in which the challenger is worse."""
    assert any(COUNTRY in reason for reason in worse.receipt.reasons)
    asked = worse.register(asdict(worse.receipt))
    reader = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = [child for token in reader.parse(asked.summary) for child in [token, *(token.children or [])]]
    kinds = {token.type for token in tokens}
    assert not kinds & {"image", "heading_open", "html_inline", "html_block"}
    links = [token.attrs["href"] for token in tokens if token.type == "link_open"]
    assert all(str(link).startswith("memory://fake/") for link in links)
    assert "<b>this" not in worse.page
    assert "&lt;b&gt;this" in worse.page


def test_a_champion_that_knows_more_is_kept_and_the_person_reads_why(worse: Judgement) -> None:
    receipt = worse.receipt
    assert not receipt.proposed
    champion = worse.world.registry.champion()
    assert champion is not None
    assert receipt.champion == champion.version
    assert receipt.reasons[0].startswith("worse than the champion: ndcg@3 is -")
    assert "Against the champion" in worse.page
    assert "price has &lt;moved&gt;" in worse.page
    assert "http" not in worse.page.replace("http://www.w3.org", "")

    registered = worse.register(
        {
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
    )
    assert plain_text(registered.summary.splitlines()[0]) == f"- {receipt.reasons[0]}"
    assert f"/{worse.kept['run_id']}/artifacts/dossier.html)" in registered.summary
    table = [line.split(" | ")[0] for line in registered.summary.splitlines() if line.startswith("| ")]
    assert table[:3] == ["| model", "| challenger", "| champion"]


def test_a_champion_is_who_the_audit_log_names(world: World) -> None:
    """A challenger is not compared with what somebody has put under the alias."""
    world.crown(model(knows=True))
    unrecorded = replace(world, log=AuditLog(FakeObjectStore()))
    with pytest.raises(AliasMovedError, match="accept it with adopt version=1"):
        unrecorded.judge(world.keep(model(knows=False)))


def test_a_challenger_that_is_older_than_the_champion_is_measured_and_never_proposed(unseen: Judgement) -> None:
    """However much better it is: the champion has learnt from days that the challenger does not know."""
    receipt = unseen.receipt
    assert not receipt.proposed
    assert receipt.reasons[0].startswith("an experiment on the past: training ends before 2026-01-18")
    assert receipt.metrics["challenger"]["recall"] > receipt.metrics["champion"]["recall"]


def memory(settings: dict[str, Any] | None) -> ItemFactors:
    """Return a model of links from what each person had to what the same person came to want in the holdout."""
    weights = np.zeros((len(ITEMS), len(ITEMS)), np.float32)
    had, wanted = ({name: set[str]() for name, *_ in events()} for _ in range(2))
    for name, item, at in events():
        if item in ITEMS:
            (had if at < CUTOFF else wanted)[name].add(item)
    for name, items in had.items():
        for item in items:
            for other in wanted[name]:
                weights[ITEMS.index(item), ITEMS.index(other)] += 1
    sparse = csr_array(weights)
    links = ItemItemWeights(sparse.indptr.astype(np.int64), sparse.indices.astype(np.int32), sparse.data)
    return replace(model(knows=True, settings=settings), factors=np.empty((len(ITEMS), 0), np.float32), links=links)


def test_a_champion_that_remembers_the_holdout_does_not_win_by_it(world: World, believed: Judgement) -> None:
    """Believed to have seen nothing it wins; by what it has seen, its recipe is judged in its place."""
    told = believed.receipt
    assert told.metrics["champion"]["ndcg"] > told.metrics["challenger"]["ndcg"]
    assert not told.proposed

    world.crown(memory(settings_of_shop(world, regularisation=1e6)), AS_OF - timedelta(days=1))
    again = Judgement.of(world, model(knows=True, settings=settings_of_shop(world)))
    receipt = again.receipt
    assert receipt.proposed
    assert receipt.metrics["champion"]["ndcg"] < receipt.metrics["challenger"]["ndcg"]
    assert receipt.judged == told.judged
    assert any(
        "has seen 13 of the 14 days that judge; its recipe, trained before 2026-01-18" in why for why in receipt.reasons
    )
    assert json.loads(again.run.files[VERDICT_FILE])["champion_judged_by"] == "recipe"
    assert "has seen 13 of the 14 days" in again.page
    assert "the same recipe trained again on every day before 2026-02-01" in again.page


def test_the_champions_own_recipe_from_newer_days_is_proposed(world: World, newer: Judgement) -> None:
    """There is nothing to compare and nothing to lose but what the anchor counts: only the days are newer."""
    receipt = newer.receipt
    assert receipt.proposed
    assert receipt.reasons[0] == "made by the champion's recipe, from newer days"
    assert receipt.metrics["champion"] == receipt.metrics["challenger"]

    mine = settings_of_shop(world)
    world.crown(memory(mine), AS_OF)
    better = model(knows=True, settings=mine)
    nothing_newer = world.judge(world.keep(replace(better, facts={**better.facts, "training_set": "a set"})))
    assert "made by the champion's recipe, from newer days" not in nothing_newer.reasons


def test_a_champion_without_a_recipe_is_judged_on_the_days_that_it_has_not_seen(
    world: World, unseen: Judgement
) -> None:
    """All wishes of the 60 are of one day, the 31st of January: it has seen none of them, and then all."""
    assert unseen.receipt.judged == PEOPLE
    assert any("all models are judged on the days from 2026-01-31 on" in reason for reason in unseen.receipt.reasons)
    world.crown(memory(None), AS_OF)
    nobody = world.judge(world.keep(model(knows=True)))
    assert (nobody.judged, nobody.proposed) == (0, False)
    assert nobody.reasons[0] == "0 people could be judged, at least 10 are needed as evidence"
    assert any("all models are judged on the days from 2026-02-01 on" in reason for reason in nobody.reasons)


def test_the_same_model_again_is_no_news_in_any_cohort(alike: Judgement) -> None:
    """Nobody fares differently with it: that it is no worse is true and no evidence for a change."""
    receipt = alike.receipt
    assert not receipt.proposed
    assert receipt.reasons[0].startswith("cannot be told from the champion: 0 of 60 judged people fare differently")
    assert receipt.reasons[2].startswith("not worse in 0 of 4 cohorts; too few people to tell a loss of 10% in new, ")


def settings_of_shop(world: World, **als: Any) -> dict[str, Any]:
    chosen = world.shop.model_settings("als")
    return chosen.model_copy(update={"als": chosen.als.model_copy(update={"rank": 2, **als})}).model_dump(mode="json")


def test_the_recipe_of_the_first_champion_is_trained_again_and_judged_beside(world: World, alone: Judgement) -> None:
    """
    The champion has learnt to know less than the recipe that came before it; a challenger like it is not the next one.

    A recipe that beats its anchor is the anchor of what comes after it, any other hands the one that it found on.
    """
    first = alone.receipt
    assert json.loads(first.anchor) == settings_of_shop(world)

    unknowing = model(knows=False, settings=settings_of_shop(world, regularisation=1e6))
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


def test_a_champion_without_an_anchor_is_one_and_the_same_recipe_is_not_trained_twice(
    newer: Judgement, believed: Judgement
) -> None:
    """A challenger of the champion's recipe leaves it the anchor; one that is better than it is the next one."""
    assert "anchor" not in newer.receipt.metrics
    assert json.loads(newer.receipt.anchor) == settings_of_shop(newer.world)
    assert "anchor" in believed.receipt.metrics
    assert json.loads(believed.receipt.anchor) == settings_of_shop(believed.world)


def test_an_anchor_that_can_no_longer_be_trained_is_told_and_replaced(alike: Judgement) -> None:
    """Sixteen items do not support two hundred factors."""
    reasons = alike.receipt.reasons
    assert any("the anchor of champion version 1 can no longer be trained" in reason for reason in reasons)
    assert json.loads(alike.receipt.anchor) == settings_of_shop(alike.world)


def test_another_training_set_is_judged_by_other_people(drawn: Judgement, before: evaluate.Judgement) -> None:
    """Of 60 people 30 are judged: the same ones for the same set, others for another one, with one seed."""
    world = drawn.world.anew(baselines=(), cohorts=())
    manifest = load_manifest(world.tea.lake, world.addresses.training_set(world.training_set))
    lists = pq.read_table(io.BytesIO(drawn.run.files[drawn.receipt.exported]))
    first, again = lists["user_id"].to_pylist(), before.judged.users.to_pylist()
    other = judged_alone(world, {**manifest, "digest": "b" * 64}).judged.users.to_pylist()
    assert first == again != other
    assert 0 < len(set(first) & set(other)) < 30


def test_a_champion_with_confidences_of_its_own_sees_people_through_them(alike: Judgement) -> None:
    """The champion's half-life forgets everything that is ten days old, and its ranking is the same all the same."""
    assert alike.receipt.metrics["champion"]["recall"] == 1.0


def test_what_was_left_out_is_said(drawn: Judgement) -> None:
    assert drawn.receipt.judged == 30
    assert re.search(r"were learnt from \d+\.\d% of 300 pairs", drawn.page)
    assert "30 people were judged (evaluation.max_people)" in drawn.page


def test_tuning_is_shown_where_the_settings_come_from_a_study(worse: Judgement, alike: Judgement) -> None:
    assert "Tuning" in worse.page
    assert "als.rank 8" in worse.page
    assert "tuning.seconds" not in worse.page
    assert "3 of 9 trials were run in the 5 s that tuning.seconds allows." in alike.page


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
