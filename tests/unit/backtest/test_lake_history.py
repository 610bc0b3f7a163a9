"""
The past of a planted shop, asked again.

Sixty people of two tastes buy old items for nine weeks; then new items appear, which a model of before cannot know.
What is expected of lists is worked out here from the raw rows alone, with nothing of the product.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from pipelines import build_training_set, check_drift, evaluate_model, replay_drift
from pipelines.addresses import LAKE_CATALOG, PROFILE_FILE, Addresses
from pipelines.settings import REPOSITORY
from refit.adapters.folder import FolderObjectStore
from refit.adapters.implicit import ImplicitLibrary
from refit.adapters.optuna import OptunaProposer
from refit.backtest.lake_history import LakeHistory
from refit.backtest.replay import backtest_steps
from refit.config import Drift, Promotion, Range, Shop, Training, Tuning, load_shop
from refit.digests import canonical_json, digest_of_files
from refit.errors import ConfigurationError, NotEnoughDataError
from refit.governance.audit_log import AuditLog
from refit.lake.lake import Lake, Landed
from refit.testing import FakeObjectStore
from refit.testing.tracking import FakeRegistry, FakeTracker, crown

FIRST = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
PEOPLE = 60
DAYS = 91
NEW_FROM = 63
"""Day on which the new items appear."""
STEPS = (70, 77, 84)
"""Days of the checks; training ends seven days before each."""
SCHEMA = "user_id string, item_id string, event_type string, event_time timestamp, value double, unit_price double"

Row = tuple[str, str, str, datetime, float | None, float | None]


def planted() -> list[Row]:
    """
    Return what happened: each purchase after a view, which has no value; one person in three puts things in a cart.

    Of the eight old items of their taste people buy five until the new ones appear, one in the week after, and one in
    each of the last two weeks. Of the eight new ones they buy two a week. `late` is what a few discover in the week
    before the last check and many in the week after it: no model of these checks has learnt it.
    """
    rows: list[Row] = []
    for person in range(PEOPLE):
        name, taste = f"u{person:02d}", "ab"[person % 2]
        old, new = (np.random.default_rng(10 * person + n).permutation(8).tolist() for n in range(2))
        bought = [(f"old {taste}{item}", 12 * n + person % 11) for n, item in enumerate(old[:5])]
        bought += [(f"old {taste}{item}", day + person % 6) for item, day in zip(old[5:], (63, 77, 84), strict=True)]
        for week in range(4):
            bought += [(f"new {taste}{item}", 63 + 7 * week + person % 5) for item in new[2 * week : 2 * week + 2]]
        if person % 10 == 0:
            bought.append(("late", 80))
        elif person % 2:
            bought.append(("late", 86))
        for n, (item, day) in enumerate(bought):
            at = FIRST + day * DAY + timedelta(hours=9 + n % 9, minutes=person)
            price = 5.0 if item.startswith("old") else 50.0
            rows.append((name, item, "view", at, None, None))
            if person % 3 == 0:
                rows.append((name, item, "cart", at + timedelta(minutes=1), 1.0, None))
            rows.append((name, item, "purchase", at + timedelta(minutes=2), 1.0, price))
    # Somebody who only looks teaches and is asked about nothing.
    rows += [("looker", "old a0", "view", FIRST + n * DAY, None, None) for n in range(DAYS)]
    return rows


ROWS = planted()


def land(folder: Path, spark: SparkSession) -> Lake:
    """Return a lake with the planted rows: a landing a week, which is quickly read, and a day each in the last one."""
    lake = Lake(str(folder), LAKE_CATALOG, FolderObjectStore(folder))
    landings: dict[str, list[Row]] = {}
    for row in ROWS:
        number = (row[3] - FIRST).days
        number -= number % 7 if number < STEPS[-1] else 0
        landings.setdefault((FIRST + number * DAY).date().isoformat(), []).append(row)
    kinds = [pa.string(), pa.string(), pa.string(), pa.timestamp("us", tz="UTC"), pa.float64(), pa.float64()]
    names = [part.split()[0] for part in SCHEMA.split(", ")]
    entries = []
    for day, events in sorted(landings.items()):
        path = f"interactions/event_date={day}"
        (folder / path).mkdir(parents=True)
        columns = [pa.array(values, kind) for values, kind in zip(zip(*events, strict=True), kinds, strict=True)]
        pq.write_table(pa.table(dict(zip(names, columns, strict=True))), folder / path / "part.parquet")
        entries.append(Landed(day, path, len(events), day, "one"))
    items = sorted({row[1] for row in ROWS})
    (folder / "items").mkdir()
    listed = {"item_id": items, "title": items, "category": [item[:3] for item in items], "price": [9.0] * len(items)}
    pq.write_table(pa.table(listed), folder / "items" / "part.parquet")
    schema, catalogue = spark.createDataFrame([], SCHEMA).schema, spark.read.parquet(str(folder / "items"))
    candidate_set = [Landed("2026-01-01", "items", len(items), "d", "one")]
    lake.commit("one", {"interactions": (schema, entries), "items": (catalogue.schema, candidate_set)})
    return lake


def planted_shop(**changes: Any) -> Shop:
    """Return the shop, judged by lists of five."""
    shop = load_shop(REPOSITORY / "shops", "simulated")
    small = {
        "refit": False,
        "als": shop.als.model_copy(update={"rank": 4, "iterations": 8, "regularisation": 0.05}),
        "training": Training(holdout_days=7, window_days=180, min_interactions=10, min_people=10, min_items=2),
        "evaluation": shop.evaluation.model_copy(
            update={"k": 5, "ks": (5,), "cohorts": (), "baselines": ("recent_popularity",)}
        ),
        "promotion": Promotion(min_people=20, cohort_people=1_000),
        "drift": Drift(
            numbers=("price",),
            categories=("event_type",),
            newcomers=("new_items",),
            activity=("recency",),
            activity_days=14,
            reference_days=28,
            min_rows=50,
            share_limit=0.25,
        ),
    }
    return shop.model_copy(update={**small, **changes})


@pytest.fixture(scope="module")
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Give the planted lake; tests write to it below `replays` and `training_sets` only."""
    return land(tmp_path_factory.mktemp("planted"), spark)


@pytest.fixture(scope="module")
def past(spark: SparkSession, lake: Lake) -> LakeHistory:
    """Give the past that all tests ask; what one of them has made is there for the next."""
    shop = planted_shop()
    at = backtest_steps(FIRST + STEPS[0] * DAY, FIRST + STEPS[-1] * DAY, 7 * DAY, shop)
    return LakeHistory(spark, lake, shop, at, "replays/shared", ImplicitLibrary(1), OptunaProposer())


def best_recall(known: set[str], catalogue: set[str], now: datetime, end: datetime) -> float:
    """
    Return the mean share of what each person came to want in [now, end) that lists of everything can hold.

    A person wants what they buy for the first time among what anybody had touched before; a list holds what the model
    has *known* of the *catalogue* and the person has not bought.
    """
    touched = {row[1] for row in ROWS if row[3] < now}
    had, wants = ({row[0]: set[str]() for row in ROWS} for _ in range(2))
    for person, item, kind, at, *_ in ROWS:
        if kind == "purchase":
            if at < now:
                had[person].add(item)
            elif at < end:
                wants[person].add(item)
    asked = {person: (wants[person] & touched) - had[person] for person in wants}
    return float(np.mean([len(w & known & catalogue) / len(w) for w in asked.values() if w]))


def known_at(step: int) -> set[str]:
    """Return what was touched before training ended at *step*."""
    return {row[1] for row in ROWS if row[3] < FIRST + (STEPS[step] - 7) * DAY}


def test_models_of_every_age_are_judged_on_the_catalogue_of_the_newest(past: LakeHistory) -> None:
    """
    With lists as long as the catalogue only what a model has learnt decides, so the metric can be told from raw rows.

    The old model lacks the new items. Judged on its own catalogue the newer ones would be no better than it.
    """
    everything = past.shop.evaluation.model_copy(update={"k": 50, "ks": (50,)})
    shop = planted_shop(evaluation=everything, promotion=Promotion(metric="recall", min_people=20))
    asked = replace(past, shop=shop, _quality={})
    now, end = FIRST + STEPS[2] * DAY, FIRST + (STEPS[2] + 7) * DAY
    expected = {step: best_recall(known_at(step), known_at(2), now, end) for step in range(3)}
    # The number of an old model is the same, whoever else is judged with it and in whatever order they are asked for.
    assert asked.quality(2, [0], 7) == pytest.approx({0: expected[0]})
    assert asked.quality(2, [0, 1, 2], 7) == pytest.approx(expected)
    # One old item, two new ones and, for half of the people, what nobody has learnt.
    assert expected[0] == pytest.approx((0.25 + 1 / 3) / 2, abs=0.02)
    assert expected[2] == pytest.approx((0.75 + 1) / 2, abs=0.02)


def test_the_gate_says_what_the_step_that_judges_says(spark: SparkSession, lake: Lake, past: LakeHistory) -> None:
    """Each verdict equals that of `evaluate_model` on the training set of that day with the same two models."""
    shop, places = past.shop, Addresses(Path(lake.root).name, str(Path(lake.root).parent), "unused")
    found = past.gates(2, [0, 1, None])
    assert found[0].decision == "propose"
    assert found[0].reasons[0].startswith("better than the champion")
    built = build_training_set.run(
        past.moments[2].as_of, shop=shop, spark=spark, lake=lake, addresses=places
    ).training_set
    for champion, verdict in found.items():
        tracker, registry, log = FakeTracker(), FakeRegistry(), AuditLog(FakeObjectStore())

        def keep(step: int, tracker: FakeTracker = tracker) -> dict[str, str]:
            files = past.model(step).to_files()
            run_id = tracker.log_run("train", params={}, metrics={}, tags={}, files={})
            model_id = tracker.log_model(run_id, files, params={})
            return {"run_id": run_id, "model_id": model_id, "digest": digest_of_files(files)}

        if champion is not None:
            kept = keep(champion)
            tags = {"digest": kept["digest"], "cutoff": past.moments[champion].cutoff.isoformat()}
            crown(registry, registry.register(model_id=kept["model_id"], run_id=kept["run_id"], tags=tags), log)
        receipt = evaluate_model.run(
            built,
            **keep(2),
            shop=shop,
            spark=spark,
            lake=lake,
            addresses=places,
            tracker=tracker,
            registry=registry,
            log=log,
            factoriser=ImplicitLibrary(1),
        )
        assert (receipt.proposed, tuple(receipt.reasons)) == (verdict.decision == "propose", verdict.reasons)
    assert found[None].reasons[0] == "there is no champion to compare with"


def test_a_model_is_that_of_the_steps_of_the_loop(past: LakeHistory) -> None:
    """It has learnt what was touched before its cutoff, says so, and is the same when it is asked for again."""
    model = past.model(1)
    assert set(model.items.to_pylist()) == known_at(1)
    assert model.facts["cutoff"] == (FIRST + 70 * DAY).isoformat()
    assert past.model(1) is model
    assert set(past.model(2).items.to_pylist()) - set(model.items.to_pylist()) == set()
    assert known_at(0) == {item for item in known_at(1) if item.startswith("old")}


def test_too_little_before_a_step_is_refused(past: LakeHistory) -> None:
    greedy = planted_shop(training=past.shop.training.model_copy(update={"min_people": 1_000}))
    with pytest.raises(NotEnoughDataError, match=r"61 people \(at least 1,000\)"):
        replace(past, shop=greedy, _sets={}, _models={}).model(0)


def test_tuning_that_finds_nothing_to_choose_costs_nothing(past: LakeHistory) -> None:
    cost = past.cost(1)
    assert cost.training > 0
    assert 0 <= cost.tuning < 0.1
    assert cost.whole == cost.training + cost.tuning


def test_one_search_is_timed_for_all_retrainings_or_each_model_has_its_own(past: LakeHistory) -> None:
    """The rank of the shop is 1; the search knows that two tastes need 4, on the days before the cutoff."""
    space = {"als.rank": Range(choices=(1, 4))}
    tuning = Tuning(trials=2, sampler="grid", folds=1, space=space, seconds=600)
    few = past.shop.training.model_copy(update={"min_people": 5})
    shop = planted_shop(tuning=tuning, training=few, als=past.shop.als.model_copy(update={"rank": 1}))
    timed = replace(past, shop=shop, _models={}, _searches={})
    assert timed.model(0).rank == 1
    assert timed.cost(0).tuning > 0.001
    assert list(timed._searches) == [2]
    tuned = replace(past, shop=shop, tuned=True, _models={}, _searches={})
    assert tuned.model(0).rank == 4
    assert tuned.cost(0).tuning > 0.001
    assert list(tuned._searches) == [0]


def test_the_histories_of_a_model_are_made_with_its_own_confidences(past: LakeHistory) -> None:
    """A model that gives what was looked at another weight than its rivals is asked with histories made so."""
    plain = past.shop.model_settings("als")
    other = plain.model_copy(update={"weights": {"view": 1e-6, "cart": 1e-6, "purchase": 1e-6}})
    expected = replace(past, _quality={}).quality(2, [0, 1, 2], 7)
    searches = {0: (plain, 0.0), 1: (other, 0.0), 2: (plain, 0.0)}
    found = replace(past, tuned=True, _searches=searches, _quality={}).quality(2, [0, 1, 2], 7)
    assert (found[0], found[2]) == (expected[0], expected[2])
    assert found[1] != expected[1]


def test_the_days_of_a_check_are_those_before_it_and_compared_with_what_its_champion_knew(past: LakeHistory) -> None:
    """
    At the second check every price has been that of a new item for a week; the champion has learnt none of them.

    For the champion of that check they are as usual, but for its reference, which is of before.
    """
    policy = past.shop.drift
    verdict = past.verdict(0, 1, policy)
    assert verdict.decision == "retrain"
    measured = {measure.name: measure for measure in verdict.measures}
    window = [row for row in ROWS if FIRST + 70 * DAY <= row[3] < FIRST + 77 * DAY]
    unknown = sum(row[1] not in known_at(0) for row in window) / len(window)
    assert measured["new_items.new"].value == pytest.approx(unknown)
    assert measured["age_days"].value == 14
    later = {measure.name: measure for measure in past.verdict(1, 2, policy).measures}
    assert later["new_items.new"].value < measured["new_items.new"].value


def test_a_check_of_the_past_decides_as_the_step_that_checks(
    spark: SparkSession, lake: Lake, past: LakeHistory
) -> None:
    """The verdict on the second check equals that of `check_drift` on that day with the same champion."""
    shop, places = past.shop, Addresses(Path(lake.root).name, str(Path(lake.root).parent), "unused")
    built = build_training_set.run(past.moments[0].as_of, shop=shop, spark=spark, lake=lake, addresses=places)
    tracker, registry, log = FakeTracker(), FakeRegistry(), AuditLog(FakeObjectStore())
    model = replace(past.model(0), facts={**past.model(0).facts, "training_set": built.training_set})
    files = {**model.to_files(), PROFILE_FILE: canonical_json(past._profile(0).to_json())}
    model_id = tracker.log_model(tracker.log_run("t", params={}, metrics={}, tags={}, files={}), files, params={})
    tags = {"digest": digest_of_files(files), "cutoff": past.moments[0].cutoff.isoformat()}
    crown(registry, registry.register(model_id=model_id, run_id="run-1", tags=tags), log)
    receipt = check_drift.run(
        past.moments[1].as_of,
        False,
        "",
        "dana",
        shop=shop,
        open_spark=lambda: spark,
        lake=lake,
        addresses=places,
        tracker=tracker,
        registry=registry,
        log=log,
        open_reporter=NoReport,
    )
    verdict = past.verdict(0, 1, shop.drift)
    assert (receipt.decision, tuple(receipt.reasons)) == (verdict.decision, verdict.reasons)


@dataclass
class NoReport:
    """Stands in for Evidently."""

    def report(self, reference: pa.Table, current: pa.Table, **named: Any) -> bytes:
        return b"<html></html>"


@pytest.mark.parametrize(("days", "expected"), [(1, [0, 1, 2]), (7, [0, 1, 2]), (8, [0, 1]), (14, [0, 1]), (22, [])])
def test_a_step_can_be_judged_when_days_enough_are_landed_after_it(
    past: LakeHistory, days: int, expected: list[int]
) -> None:
    """Days are landed up to the 91st, so seven follow the check on the 84th."""
    assert past.judgeable(days) == expected


@pytest.fixture(scope="module")
def refitting(spark: SparkSession, lake: Lake) -> LakeHistory:
    """Give the past of a shop that refits, judged on seven days, with checks as far apart or nearer."""
    shop = planted_shop(refit=True)
    at = backtest_steps(FIRST + STEPS[0] * DAY, FIRST + STEPS[-1] * DAY, 7 * DAY, shop)
    at.insert(2, backtest_steps(FIRST + 80 * DAY, FIRST + 80 * DAY, DAY, shop)[0])
    return LakeHistory(spark, lake, shop, at, "replays/refitting", ImplicitLibrary(1), OptunaProposer())


def test_what_serves_after_a_refit_knows_the_days_up_to_its_check(refitting: LakeHistory) -> None:
    """Which items it knows and what lists of everything can reach is told from raw rows alone."""
    touched = {
        n: {row[1] for row in ROWS if row[3] < FIRST + day * DAY} for n, day in ((0, 70), (1, 77), (2, 80), (3, 84))
    }
    assert set(refitting.serving(0).items.to_pylist()) == touched[0] != known_at(0)
    assert refitting.serving(0).facts["cutoff"] == (FIRST + 70 * DAY).isoformat()
    assert set(refitting.model(0).items.to_pylist()) == known_at(0)
    assert refitting.cost(0).training > refitting._trained(0)[1]
    everything = refitting.shop.evaluation.model_copy(update={"k": 50, "ks": (50,)})
    shop = planted_shop(refit=True, evaluation=everything, promotion=Promotion(metric="recall", min_people=20))
    now, end = FIRST + 84 * DAY, FIRST + 91 * DAY
    expected = {step: best_recall(touched[step], touched[3], now, end) for step in (0, 3)}
    assert replace(refitting, shop=shop, _quality={}).quality(3, [0, 3], 7) == pytest.approx(expected)
    assert expected[3] == 1.0


def test_drift_is_measured_from_the_days_that_the_refitted_model_has_learnt(refitting: LakeHistory) -> None:
    verdict = refitting.verdict(0, 1, refitting.shop.drift)
    measured = {measure.name: measure for measure in verdict.measures}
    window = [row for row in ROWS if FIRST + 70 * DAY <= row[3] < FIRST + 77 * DAY]
    known = {row[1] for row in ROWS if row[3] < FIRST + 70 * DAY}
    assert {row[1] for row in window} <= known
    # It is compared with days in which the new items came up.
    assert measured["new_items.new"].value < -0.1
    assert measured["age_days"].value == 7


def test_a_champion_that_has_seen_days_of_the_holdout_is_judged_by_its_recipe(refitting: LakeHistory) -> None:
    """The check on the 80th day holds out the days from the 73rd on; the model of the 77th has learnt four of them."""
    verdict = refitting.gates(2, [1])[1]
    assert verdict.reasons[0] == "made by the champion's recipe, from newer days"
    assert verdict.decision == "propose"
    assert refitting._fair(1, 2) is refitting.model(2)
    assert refitting._fair(0, 2) is refitting.model(2)
    plain = refitting.shop.model_settings("als")
    other = plain.model_copy(update={"als": plain.als.model_copy(update={"regularisation": 0.06})})
    searches = {0: (other, 0.0), 1: (other, 0.0), 2: (plain, 0.0)}
    tuned = replace(refitting, tuned=True, _searches=searches, _models={}, _serving={}, _gates={})
    recipe = tuned._fair(1, 2)
    assert recipe.facts["cutoff"] == (FIRST + 73 * DAY).isoformat()
    assert recipe.facts["settings"] == other.model_dump(mode="json")
    assert tuned._fair(0, 2) is tuned.serving(0)
    assert tuned.gates(2, [1])[1].reasons[0] != "made by the champion's recipe, from newer days"


def replay(
    spark: SparkSession, folder: Path, until: int | None, tracker: FakeTracker, shop: Shop
) -> replay_drift.Receipt:
    return replay_drift.run(
        FIRST + STEPS[0] * DAY,
        None if until is None else FIRST + until * DAY,
        7,
        7,
        False,
        shop=shop,
        spark=spark,
        lake=Lake(str(folder), LAKE_CATALOG, FolderObjectStore(folder)),
        tracker=tracker,
        factoriser=ImplicitLibrary(1),
        proposer=OptunaProposer(),
    )


def rows_of(tracker: FakeTracker, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(tracker.runs["run-1"].files[name].decode())))


def test_a_replay_asks_at_each_step_what_could_be_known_then(spark: SparkSession, lake: Lake) -> None:
    """
    Up to the second check the past is the same, whatever came later: its row is the same in a replay that ends there.

    The first model is put before the gate without a champion; then a week of new items asks for others.
    """
    whole, part, folder, shop = FakeTracker(), FakeTracker(), Path(lake.root), planted_shop()
    before = sorted(path.name for path in (folder / "replays").glob("*"))
    receipt = replay(spark, folder, 84, whole, shop)
    configured, always, never = receipt.policies
    assert (configured["policy"], always["policy"], never["policy"]) == ("configured", "always", "never")
    assert (configured["steps"], configured["refused"], configured["judged"]) == (2, 0, 2)
    assert (always["retrained"], always["promoted"], never["promoted"], never["saved"]) == (2, 1, 0, 1.0)
    assert (configured["promoted"], configured["needless"], never["missed"]) == (1, 1, 2)
    first, second = rows_of(whole, "checks.csv")
    assert (first["as of"], first["champion trained at"], first["decision"]) == ("2026-03-19", "2026-03-12", "retrain")
    assert "new_items: new " in first["reasons"]
    # The second model is no better than the first one that knows the new items, and the gate refuses it.
    assert [row["promotion gate"] for row in (first, second)] == ["propose", "refuse"]
    assert (second["champion trained at"], second["decision"]) == ("2026-03-19", "retrain")
    assert "; promotion: may be worse than the champion" in second["reasons"]
    replay(spark, folder, 77, part, shop)
    assert rows_of(part, "checks.csv") == [first]
    assert set(whole.runs["run-1"].files) == {"replay.html", "policies.csv", "checks.csv"}
    assert {row["weeks"] for row in rows_of(whole, "policies.csv")} == {"all", "first half", "second half"}
    assert "2026-03-26" in whole.runs["run-1"].files["replay.html"].decode()
    assert json.loads(json.dumps(receipt.second_half))[0]["policy"] == "configured"
    # Its training sets are deleted.
    assert sorted(path.name for path in (folder / "replays").glob("*")) == before


def test_a_shop_whose_models_never_pass_the_gate_has_nothing_to_replay(spark: SparkSession, lake: Lake) -> None:
    hopeless = planted_shop(promotion=Promotion(min_people=1_000))
    with pytest.raises(NotEnoughDataError, match=r"proposes no model of the 2 steps up to 2026-03-19.*people could be"):
        replay(spark, Path(lake.root), 84, FakeTracker(), hopeless)


def test_a_replay_needs_two_checks(spark: SparkSession, lake: Lake) -> None:
    with pytest.raises(ConfigurationError, match="nothing to replay; give at least two checks"):
        replay(spark, Path(lake.root), 76, FakeTracker(), planted_shop())
