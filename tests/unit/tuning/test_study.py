"""Tuning looks only at the past, spends only its budget, and finds the same settings again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from scipy.sparse import csr_array

from refit.adapters.implicit import ImplicitLibrary
from refit.adapters.optuna import OptunaProposer
from refit.config import Confidence, ModelSettings, Shop, Tuning, load_shop
from refit.errors import ConfigurationError, NotEnoughDataError
from refit.lake.pairs import person_item_pairs
from refit.model.item_factors import ItemFactors
from refit.testing import FakeObjectStore, FakeTracker
from refit.training import collect_pairs
from refit.tuning import Folds, StoredTrials, Study, Trial, study_digest, warm_starts
from refit.tuning.event_arrays import EventArrays, taught_matrix
from refit.tuning.folds import LocalFold, SpreadFold
from refit.tuning.scoring import HoldoutPeople, judge

EVENTS = "user_id string, item_id string, event_type string, event_time timestamp, value double"
SPACE = """
[tuning]
trials = 12
folds = 2
seed = 4

[tuning.space.als]
rank = { low = 2, high = 8 }
alpha = { low = 0.1, high = 100.0, log = true }

[tuning.space.confidence]
half_life_days = { choices = [10.0, 30.0, "none"] }
"""


@pytest.fixture
def shop(write_shop: Callable[..., Path]) -> Callable[..., Shop]:
    """Give what returns the corner shop with something added to its shop.toml."""

    def make(append: str = SPACE, **changes: Any) -> Shop:
        return load_shop(write_shop(append=append, **changes), "corner")

    return make


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        ("[tuning]\ntrials = 5\n", "5 trials have no space to search; add [tuning.space.NAME] or set trials = 0"),
        ("[tuning.space.als]\nrank = { low = 9, high = 3 }\n", "low = 9 lies above high = 3; exchange them"),
        ("[tuning.space.als]\nrnk = { low = 1, high = 3 }\n", "there is no setting 'als.rnk' of a model"),
        ("[tuning.space.als]\nrank = { low = 0, high = 3 }\n", "als.rank = 0 must be 1 or more"),
        ("[tuning.space.als]\nrank = { log = true }\n", "it has nothing to choose from; give low and high, or choices"),
        ("[tuning.space.als]\nalpha = { low = 0.0, high = 3.0, log = true }\n", "low = 0 has no logarithm"),
        ("[tuning.space.als]\nrank = { choices = [4, 4] }\n", "a value stands twice among the choices 4, 4"),
        ("[tuning.space.als]\nrank = { choices = [4], low = 1 }\n", "give either choices or low and high"),
        (
            '[tuning]\nsampler = "grid"\ntrials = 9\n[tuning.space.als]\nrank = { low = 1, high = 3 }\n',
            "a grid needs choices, and als.rank has low and high; list its values",
        ),
        (
            '[tuning]\nsampler = "grid"\ntrials = 3\n[tuning.space.als]\nrank = { choices = [1, 2] }\n'
            "alpha = { choices = [1.0, 2.0] }\n",
            "the grid has 4 points and only 3 trials are allowed",
        ),
        (
            "[tuning.space.closed_form]\nlinks = { low = 1, high = 3 }\n",
            "tuning.space.closed_form.links changes no candidate, those are als",
        ),
        ('[models]\ncandidates = ["als", "als"]\n', "name at least one kind of model, and each one once"),
    ],
)
def test_a_space_that_is_empty_or_contradicts_itself_is_refused_in_one_sentence(
    shop: Callable[..., Shop], tell: Callable[[str, str], None], space: str, sentence: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        shop(space)
    assert sentence in str(refused.value)
    tell(f"search space: {sentence[:30]}", str(refused.value))


START = datetime(2026, 1, 1, tzinfo=UTC)
CUTOFF = START + timedelta(days=60)


@pytest.fixture(scope="module")
def events(spark: SparkSession) -> DataFrame:
    """Give 60 days of 50 people who buy 20 items of their own half of the shop again and again."""
    generator = np.random.default_rng(8)
    rows = []
    for person in range(50):
        for _ in range(30):
            item = int(generator.integers(10)) * 2 + person % 2
            at = START + timedelta(days=float(generator.uniform(0, 60)))
            rows.append((f"u{person:02d}", f"i{item:02d}", "purchase", at, float(generator.integers(1, 5))))
    rows += [("u00", "i00", "purchase", START + timedelta(days=9), None)]
    rows += [("u00", "i00", "purchase", START + timedelta(days=9), -3.0)]
    return spark.createDataFrame(rows, EVENTS).coalesce(2).persist()


@pytest.mark.parametrize("combine", ["sum", "log_sum", "mean", "latest"])
def test_pairs_made_in_memory_are_those_that_spark_makes(
    events: DataFrame, shop: Callable[..., Shop], combine: str
) -> None:
    """With a window that cuts some events off, values that are missing or negative, and a half-life."""
    since, as_of = START + timedelta(days=8), START + timedelta(days=50)
    confidence = Confidence(value="linear", half_life_days=20.0, combine=combine)
    made = shop().events.model_copy(update={"weights": {"purchase": 0.5}})
    theirs = collect_pairs(person_item_pairs(events, since=since, as_of=as_of, events=made, confidence=confidence))
    journal = EventArrays.collect(events.where("event_time < '2026-02-20 00:00:00'"))
    values = journal.confidences(since=since, as_of=as_of, weights=made.weights, confidence=confidence)
    ours, _ = taught_matrix(journal.matrix(values), journal.items)
    assert ours.items.equals(theirs.items)
    np.testing.assert_allclose(ours.confidences.toarray(), theirs.confidences.toarray(), rtol=1e-12)


def test_lists_are_judged_as_one_would_by_hand() -> None:
    """
    Items score 1, 2, 3, 4 times the vector 1. Ann had d, wants c and a: c is first, a third of her list of 2; half.

    Ben wants d and an item that the model lacks: d is first of 2 relevant ones; half.
    """
    items = pa.array(["a", "b", "c", "d"])
    model = ItemFactors(
        items=items,
        factors=np.array([[1.0], [2.0], [3.0], [4.0]], dtype=np.float32),
        people=np.ones(4, dtype=np.int64),
        alpha=1.0,
        regularisation=0.1,
        facts={},
    )
    judges = HoldoutPeople(
        items=items,
        had=csr_array(np.array([[0, 0, 0, 1], [0, 0, 0, 0]])),
        relevant=csr_array(np.array([[1, 0, 1, 0], [0, 0, 0, 1]])),
        wanted=np.array([2, 2]),
    )
    histories = csr_array(np.array([[0, 0, 0, 1.0], [1.0, 0, 0, 0]]))
    assert judge(model, histories, judges, metric="recall", k=2) == pytest.approx(0.5)
    assert judge(model, histories, judges, metric="hit_rate", k=1) == pytest.approx(1.0)
    gain, perfect = 1.0, 1 + 1 / np.log2(3)
    assert judge(model, histories, judges, metric="ndcg", k=2) == pytest.approx(gain / perfect)


FOLDED = SPACE + "[training]\nholdout_days = 10\nmin_people = 5\n\n[lists]\nrebuy = true\n"


@pytest.fixture
def folds(shop: Callable[..., Shop], tmp_path: Path) -> Folds:
    return Folds(shop(FOLDED), CUTOFF, ImplicitLibrary(1), str(tmp_path / "checkpoints"))


@pytest.fixture
def small(shop: Callable[..., Shop]) -> ModelSettings:
    return shop(FOLDED).model_settings("als").with_values({"als.rank": 4, "als.iterations": 3})


def test_what_happens_at_or_after_the_training_cutoff_changes_no_fold(
    spark: SparkSession, events: DataFrame, folds: Folds, small: ModelSettings
) -> None:
    """The folds end 20 and 10 days before it and at it; from it on everybody buys the other half of the shop."""
    assert folds.cutoffs() == [CUTOFF - timedelta(days=10), CUTOFF - timedelta(days=20)]
    later = [
        (f"u{person:02d}", f"i{2 * item + 1 - person % 2:02d}", "purchase", CUTOFF + timedelta(hours=item), 1.0)
        for person in range(50)
        for item in range(10)
    ]
    before = [fold.score(small) for fold in folds.make(events)]
    after = [fold.score(small) for fold in folds.make(events.union(spark.createDataFrame(later, EVENTS)))]
    assert before == after
    assert all(0.2 < score < 1 for score in before)


def test_a_trial_is_worth_the_same_in_memory_and_on_spark(
    events: DataFrame, folds: Folds, small: ModelSettings
) -> None:
    here = folds._fold(events, folds.cutoffs()[0], local=True)
    there = folds._fold(events, folds.cutoffs()[0], local=False)
    assert (type(here), type(there)) == (LocalFold, SpreadFold)
    changed = small.with_values({"confidence.half_life_days": 15.0})
    assert here.score(changed) == pytest.approx(there.score(changed), rel=1e-6)


def test_too_few_people_to_judge_a_fold_are_refused(
    events: DataFrame, shop: Callable[..., Shop], tell: Callable[[str, str], None]
) -> None:
    demanding = shop(FOLDED.replace("min_people = 5", "min_people = 51"))
    with pytest.raises(
        NotEnoughDataError, match=r"^49 people can judge the days from 2026-02-20 to 2026-03-02"
    ) as refused:
        Folds(demanding, CUTOFF, ImplicitLibrary(1), "unused").make(events)
    tell("too few people to judge a fold", str(refused.value))


@dataclass(frozen=True)
class Hill:
    """A fold whose metric is known: the nearer log10(alpha) is to *summit* and the rank to 6, the better."""

    summit: float
    asked: list[ModelSettings] = field(default_factory=list)
    cutoff: datetime = CUTOFF

    def score(self, settings: ModelSettings) -> float:
        self.asked.append(settings)
        if settings.als.rank == 7:
            raise NotEnoughDataError("als.rank = 7 is larger than the data support")
        closed = 0.1 if settings.kind == "closed_form" else 0.0
        return 1 - abs(np.log10(settings.als.alpha) - self.summit) / 5 - abs(settings.als.rank - 6) / 50 + closed


@dataclass
class MemoryBook:
    """A book that may be killed after some trials."""

    kept: list[Trial] = field(default_factory=list)
    dies_after: int = 1_000

    def read(self) -> list[Trial]:
        return list(self.kept)

    def write(self, trial: Trial) -> Trial:
        if len(self.kept) == self.dies_after:
            raise KeyboardInterrupt
        self.kept.append(trial)
        return trial


def study(shop: Shop, folds: Sequence[Hill] = (Hill(1.0), Hill(1.2)), **more: Any) -> Study:
    """Return a study of *shop* on *folds* with the real sampler."""
    champion = more.pop("champion", None)
    return Study(
        starts=warm_starts(shop, champion), tuning=shop.tuning, folds=lambda: folds, proposer=OptunaProposer(), **more
    )


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_study_that_is_killed_goes_on_as_if_nothing_had_happened(shop: Callable[..., Shop], sampler: str) -> None:
    chosen = shop(SPACE.replace("trials = 12", f'trials = 12\nsampler = "{sampler}"'))
    whole = MemoryBook()
    expected = study(chosen).run(whole)
    killed = MemoryBook(dies_after=7)
    with pytest.raises(KeyboardInterrupt):
        study(chosen).run(killed)
    killed.dies_after = 1_000
    assert study(chosen).run(killed) == expected
    assert killed.kept == whole.kept
    assert len(whole.kept) == 13
    assert study(chosen, folds=()).run(killed) == expected


def test_a_larger_budget_goes_on_where_the_smaller_one_ended(shop: Callable[..., Shop]) -> None:
    small, large = shop(SPACE.replace("trials = 12", "trials = 6")), shop()
    assert study_digest(small, warm_starts(small, None), "set") == study_digest(large, warm_starts(large, None), "set")
    assert study_digest(large, warm_starts(large, None), "set") != study_digest(
        large, warm_starts(large, None), "other"
    )
    book = MemoryBook()
    study(small).run(book)
    first = list(book.kept)
    tuned = study(large).run(book)
    assert book.kept[:7] == first
    assert tuned.trials == book.kept
    assert study(large).run(MemoryBook()).trials == book.kept


def test_the_estimator_climbs_the_hill_and_gives_up_what_is_hopeless(shop: Callable[..., Shop]) -> None:
    """30 trials come within a factor of 2 of the best alpha, 10 ** 1.1; some stop after the first of two folds."""
    tuned = study(shop(SPACE.replace("trials = 12", "trials = 30"))).run(MemoryBook())
    assert 10**0.8 < tuned.settings.als.alpha < 10**1.4
    pruned = [trial for trial in tuned.trials if trial.state == "pruned"]
    assert pruned
    assert all(len(trial.scores) == 1 for trial in pruned)
    assert all(len(trial.scores) == 2 for trial in tuned.trials if trial.state == "done")
    refused = [trial for trial in tuned.trials if trial.state == "refused"]
    assert all(trial.values["als.rank"] == 7 and "larger than the data" in trial.why for trial in refused)
    assert tuned.settings.als.rank != 7


def test_a_grid_is_walked_once_from_its_first_point_to_its_last(shop: Callable[..., Shop]) -> None:
    grid = SPACE.replace("trials = 12", 'trials = 12\nsampler = "grid"\nprune = false')
    grid = grid.replace("{ low = 2, high = 8 }", "{ choices = [4, 6] }")
    grid = grid.replace("{ low = 0.1, high = 100.0, log = true }", "{ choices = [1.0, 10.0] }")
    tuned = study(shop(grid)).run(MemoryBook())
    points = [tuple(trial.values[name] for name in sorted(trial.values)) for trial in tuned.trials[1:]]
    assert points == [(a, r, h) for r in (4, 6) for a in (1.0, 10.0) for h in (10.0, 30.0, None)]
    assert (tuned.settings.als.alpha, tuned.settings.als.rank) == (10.0, 6)
    assert tuned.settings.confidence.half_life_days == 10.0


def test_retraining_begins_with_what_the_champion_has_and_spends_only_its_budget(shop: Callable[..., Shop]) -> None:
    """The space belongs to the tuner, all else to shop.toml: the champion's iterations are not taken over."""
    champion = shop().model_settings("als").with_values({"als.alpha": 12.5, "als.rank": 6, "als.iterations": 99})
    seconds = iter(range(0, 10_000, 100))
    limited = shop(SPACE.replace("trials = 12", "trials = 12\nseconds = 350"))
    tuned = study(limited, champion=champion, clock=lambda: float(next(seconds))).run(MemoryBook())
    assert (tuned.trials[0].values["als.alpha"], tuned.trials[0].values["als.rank"]) == (12.5, 6)
    assert (tuned.settings.als.alpha, tuned.settings.als.iterations) == (12.5, 10)
    assert len(tuned.trials) == 4
    assert tuned.stopped == "4 of 13 trials were run in the 350 s that tuning.seconds allows"
    assert study(limited, champion=champion, clock=lambda: 0.0).run(MemoryBook()).stopped == ""


def test_without_trials_the_settings_stay_and_nothing_is_read(shop: Callable[..., Shop]) -> None:
    fold = Hill(1.0)
    still = shop("")
    tuned = study(still, [fold]).run(MemoryBook())
    assert tuned.settings == still.model_settings("als")
    assert (tuned.score, tuned.trials, fold.asked) == (None, [], [])
    searched = shop(SPACE.replace("trials = 12", "trials = 0"))
    champion = searched.model_settings("als").with_values({"als.alpha": 12.5})
    assert study(searched, [fold], champion=champion).run(MemoryBook()).settings.als.alpha == 12.5
    assert fold.asked == []


def test_the_kind_that_does_best_on_validation_wins(shop: Callable[..., Shop]) -> None:
    """Without a search every candidate is tried once; the closed form is worth 0.1 more on this hill."""
    both = shop('[models]\ncandidates = ["als", "closed_form"]\n')
    tuned = study(both).run(MemoryBook())
    assert [trial.kind for trial in tuned.trials] == ["als", "closed_form"]
    assert tuned.settings.kind == "closed_form"
    taking_turns = shop('[models]\ncandidates = ["als", "closed_form"]\n' + SPACE)
    kinds = [trial.kind for trial in study(taking_turns).run(MemoryBook()).trials]
    assert kinds == ["als", "closed_form"] * 7


def test_a_study_in_which_nothing_could_be_trained_says_why(shop: Callable[..., Shop]) -> None:
    hopeless = shop(
        SPACE.replace("{ low = 2, high = 8 }", "{ choices = [7] }"),
        replace={"seed = 1\n\n[eval": "seed = 1\nrank = 7\n\n[eval"},
    )
    with pytest.raises(NotEnoughDataError, match=r"none of 13 trials .* als\.rank = 7 is larger"):
        study(hopeless).run(MemoryBook())


def test_every_trial_is_a_child_run_and_the_winner_is_kept(shop: Callable[..., Shop]) -> None:
    store, tracker = FakeObjectStore(), FakeTracker()
    opened = {"name": "tune 2026-03-02", "params": {"study": "s"}, "metric": "ndcg_at_20"}
    book = StoredTrials.open(store, "tuning", tracker, **opened)
    tuned = study(shop()).run(book)
    again = StoredTrials.open(store, "tuning", tracker, **opened)
    assert again.run_id == book.run_id
    assert again.read() == list(tuned.trials)
    children = [run for run in tracker.runs.values() if run.parent == book.run_id]
    assert len(children) == 13
    assert {run.tags["state"] for run in children} <= {"done", "pruned", "refused"}
    assert children[0].metrics["ndcg_at_20_fold_0"] == tuned.trials[0].scores[0]
    key = book.keep(tuned)
    assert book.keep(tuned) == key
    assert tracker.runs[book.run_id].metrics == {"best_ndcg_at_20": tuned.score}
    assert {"settings.json", "trials.json"} <= set(tracker.runs[book.run_id].files)


def test_a_proposal_depends_on_its_arguments_alone() -> None:
    space = Tuning.model_validate({"space": {"als.rank": {"low": 1, "high": 64, "log": True}}}).space
    asked = {"sampler": "tpe", "number": 3, "seed": 9}
    seen = [({"als.rank": n}, -abs(n - 20.0)) for n in range(1, 60, 5)] + [({"als.rank": 999}, 5.0)]
    first = OptunaProposer().propose(space, seen, **asked)
    assert OptunaProposer().propose(space, seen, **asked) == first
    assert first != OptunaProposer().propose(space, seen, **{**asked, "seed": 10})
