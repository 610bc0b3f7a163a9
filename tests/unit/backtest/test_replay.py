"""Replays on a past that is written down: who becomes champion, what was needless, missed and saved, what it cost."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.settings import REPOSITORY
from refit.backtest.page import HEADS, as_csv, choice_of, policy_rows, replay_page
from refit.backtest.replay import (
    BacktestStep,
    Choice,
    Cost,
    Halves,
    Played,
    Replay,
    Score,
    alternatives,
    backtest_steps,
    choose,
    score,
)
from refit.config import Drift, load_shop
from refit.errors import NotEnoughDataError
from refit.verdicts import Verdict

DAY = timedelta(days=1)
START = datetime(2026, 1, 5, tzinfo=UTC)
NERVOUS = Drift(share_limit=0.05)
"""A policy that asks for a retraining at every check."""


@dataclass
class WrittenPast:
    """
    A past in which a model loses a tenth of what it is worth when the shop changes at step 3.

    The gate refuses the steps of `refusing`, and has no first champion before `first`.
    """

    moments: Sequence[BacktestStep] = tuple(
        BacktestStep(START + n * 7 * DAY, START + (n * 7 - 2) * DAY) for n in range(6)
    )
    refusing: frozenset[int] = frozenset()
    first: int = 0
    worth: Mapping[int, float] = field(default_factory=dict)
    """Step of training -> metric from step 3 on, where it is not 0.1 of 3 and later, 0.09 of before."""
    asked: list[tuple[int, int]] = field(default_factory=list)
    gated: list[tuple[int, list[int | None]]] = field(default_factory=list)
    judged: list[tuple[int, set[int]]] = field(default_factory=list)

    def verdict(self, champion: int, step: int, drift: Drift) -> Verdict:
        self.asked.append((champion, step))
        changed = champion < 3 <= step
        decision = "retrain" if changed or drift.share_limit < 0.1 else "skip"
        decision = "refuse" if drift.min_rows > 1_000 else decision
        return Verdict(gate="drift", decision=decision, measures=(), reasons=(f"{champion} at {step}",))

    def gates(self, step: int, champions: Iterable[int | None]) -> dict[int | None, Verdict]:
        asked = list(champions)
        self.gated.append((step, asked))
        found: dict[int | None, Verdict] = {}
        for champion in asked:
            fine = step not in self.refusing and (champion is not None or step >= self.first)
            reason = "fine" if fine else "worse"
            decision = "propose" if fine else "refuse"
            found[champion] = Verdict(gate="promotion", decision=decision, measures=(), reasons=(reason, "and more"))
        return found

    def cost(self, step: int) -> Cost:
        return Cost(training=10.0, tuning=30.0 + step)

    def quality(self, step: int, trained: Iterable[int], days: int) -> dict[int, float]:
        self.judged.append((step, set(trained)))
        return {n: self.worth.get(n, 0.09 if n < 3 else 0.1) if step >= 3 else 0.1 for n in trained}

    def judgeable(self, days: int) -> list[int]:
        return [0, 1, 2, 3, 4]


def played(past: WrittenPast, **policies: Drift) -> tuple[Replay, Played, dict[str, Score]]:
    replay = Replay(past, 7, 0.02, lambda line: None)
    found = replay.play({"configured": Drift(), **policies})
    return replay, found, {each.policy: each for each in found.scores}


def walked(replay: Replay, name: str) -> list[tuple[int, int, str, bool]]:
    return [(c.step, c.champion, c.decision, c.promoted) for c in replay._choices[name]]


def test_a_policy_walks_with_the_model_it_has_promoted() -> None:
    replay, _, _ = played(WrittenPast())
    assert walked(replay, "configured") == [
        (1, 0, "skip", False),
        (2, 0, "skip", False),
        (3, 0, "retrain", True),
        (4, 3, "skip", False),
        (5, 3, "skip", False),
    ]


def test_a_retraining_that_the_gate_refuses_changes_no_champion_and_is_asked_for_again() -> None:
    """The change is at step 3, whose model is refused; that of step 4 is promoted. Both were paid for."""
    replay, _, scores = played(WrittenPast(refusing=frozenset({3})))
    assert walked(replay, "configured") == [
        (1, 0, "skip", False),
        (2, 0, "skip", False),
        (3, 0, "retrain", False),
        (4, 0, "retrain", True),
        (5, 4, "skip", False),
    ]
    good = scores["configured"]
    assert (good.retrained, good.promoted, good.needless, good.missed) == (2, 1, 1, 0)
    assert good.training_seconds == 20.0
    assert good.tuning_seconds == 33.0 + 34.0
    # With the refused model it would have had 0.1 at step 3.
    assert good.quality == pytest.approx((0.1 + 0.1 + 0.09 + 0.1) / 4)
    assert walked(replay, "always")[1:4] == [(2, 1, "retrain", True), (3, 2, "retrain", False), (4, 2, "retrain", True)]
    assert scores["always"].quality == pytest.approx((0.1 + 0.1 + 0.09 + 0.1) / 4)


def test_what_the_gate_would_have_refused_was_not_missed() -> None:
    _, _, scores = played(WrittenPast(refusing=frozenset({3, 4, 5})))
    assert (scores["never"].missed, scores["configured"].missed) == (0, 0)
    assert (scores["configured"].retrained, scores["configured"].promoted, scores["configured"].needless) == (3, 0, 2)
    assert scores["configured"].quality == scores["never"].quality


def test_the_first_champion_is_the_first_model_that_the_gate_proposes() -> None:
    past = WrittenPast(first=2)
    replay, _, scores = played(past)
    assert replay.first == 2
    assert walked(replay, "never") == [(3, 2, "skip", False), (4, 2, "skip", False), (5, 2, "skip", False)]
    assert scores["always"].steps == 3
    assert past.gated[:3] == [(0, [None]), (1, [None]), (2, [None])]


def test_without_any_first_champion_there_is_nothing_to_play() -> None:
    """A model of the last step would serve no check, so it is not asked for."""
    past = WrittenPast(first=5)
    with pytest.raises(
        NotEnoughDataError,
        match=r"proposes no model of the 5 steps up to 2026-02-02, .*of the last one it says: worse; begin later",
    ):
        played(past)
    assert [step for step, _ in past.gated] == [0, 1, 2, 3, 4]


def test_scores_by_hand() -> None:
    """
    Of 5 checks 4 are judged. The good policy retrains at 3 only, where a model gains 0.1 / 0.09 - 1 = 11 %.

    Retraining always is needless at 1, 2 and 4; never doing it misses 3 and 4; a nervous policy is like always.
    """
    replay, found, scores = played(WrittenPast(), nervous=NERVOUS, thin=Drift(min_rows=2_000))
    assert list(scores) == ["configured", "nervous", "thin", "always", "never"]
    assert (found.scores[0].policy, found.first[0].policy, found.second[0].policy) == ("configured",) * 3
    good = scores["configured"]
    assert (good.steps, good.retrained, good.promoted, good.judged, good.needless, good.missed) == (5, 1, 1, 4, 0, 0)
    assert good.quality == pytest.approx(0.1)
    assert (good.training_seconds, good.tuning_seconds) == (10.0, 33.0)
    # 43 of 41 + 42 + 43 + 44 + 45 seconds.
    assert good.saved == pytest.approx(1 - 43 / 215)
    for name in ("nervous", "always"):
        assert (scores[name].retrained, scores[name].needless, scores[name].missed) == (5, 3, 0)
        assert scores[name].saved == pytest.approx(0.0)
        assert (scores[name].training_seconds, scores[name].tuning_seconds) == (50.0, 165.0)
    for name in ("never", "thin"):
        assert (scores[name].retrained, scores[name].needless, scores[name].missed) == (0, 0, 2)
        assert (scores[name].saved, scores[name].training_seconds, scores[name].tuning_seconds) == (1.0, 0, 0)
        assert scores[name].quality == pytest.approx((0.1 + 0.1 + 0.09 + 0.09) / 4)
    assert (scores["thin"].refused, scores["never"].refused) == (5, 0)
    assert replay.served("never") == [0.1, 0.1, 0.09, 0.09, None]
    assert replay.served("configured") == [0.1, 0.1, 0.1, 0.1, None]


def test_each_step_is_judged_and_gated_once_for_all_policies_with_their_champions_and_its_own_model() -> None:
    past = WrittenPast()
    played(past, nervous=NERVOUS)
    assert past.judged == [(1, {0, 1}), (2, {0, 1, 2}), (3, {0, 2, 3}), (4, {0, 3, 4})]
    assert past.gated == [(0, [None]), (1, [0]), (2, [0, 1]), (3, [0, 2]), (4, [0, 3]), (5, [0, 3, 4])]


def test_progress_is_told_step_by_step() -> None:
    said: list[str] = []
    Replay(WrittenPast(first=1, refusing=frozenset({3})), 7, 0.02, said.append).play({"configured": Drift()})
    assert said == [
        "as of 2026-01-05: no champion yet, worse",
        "as of 2026-01-19: 1 of 3 policies retrain, 1 promote",
        "as of 2026-01-26: 2 of 3 policies retrain, 0 promote",
        "as of 2026-02-02: 2 of 3 policies retrain, 2 promote",
        "as of 2026-02-09: 1 of 3 policies retrain, 1 promote",
    ]


def test_the_choices_of_the_configured_policy_are_told_with_the_gate_and_the_gain_that_was_there() -> None:
    replay, _, _ = played(WrittenPast(refusing=frozenset({4})))
    rows = replay.rows()
    assert rows[2] == ("2026-01-26", "2026-01-05", "retrain", "propose", "+11.1%", "0 at 3; promotion: fine")
    assert rows[3] == ("2026-02-02", "2026-01-26", "skip", "refuse", "+0.0%", "3 at 4; promotion: worse")
    assert rows[0][4] == "+0.0%"
    assert rows[4][4] == ""


def test_the_gain_over_a_champion_that_is_worth_nothing_has_no_percentage() -> None:
    replay, _, scores = played(WrittenPast(worth={0: 0.0}))
    assert replay.rows()[2][4] == ""
    assert scores["configured"].needless == 0


def one_choice(decision: str, *, proposed: bool = True) -> list[Choice]:
    return [Choice(step=1, champion=0, decision=decision, proposed=proposed)]


COSTS = {1: Cost(training=1.0, tuning=3.0)}


@pytest.mark.parametrize(
    ("decision", "proposed", "new", "needless", "missed", "quality"),
    [
        ("retrain", True, 0.51, 1, 0, 0.51),
        ("retrain", True, 0.5101, 0, 0, 0.5101),
        ("retrain", False, 0.9, 1, 0, 0.5),
        ("skip", True, 0.51, 0, 0, 0.5),
        ("skip", True, 0.5101, 0, 1, 0.5),
        ("skip", False, 0.9, 0, 0, 0.5),
        ("refuse", True, 0.9, 0, 1, 0.5),
    ],
)
def test_what_a_choice_was_worth(
    decision: str, proposed: bool, new: float, needless: int, missed: int, quality: float
) -> None:
    """A gain of exactly the margin, 2 % of 0.5, is needless and not missed."""
    found = score("p", one_choice(decision, proposed=proposed), {1: {0: 0.5, 1: new}}, COSTS, margin=0.02)
    assert (found.needless, found.missed, found.quality) == (needless, missed, quality)
    assert (found.refused, found.promoted) == (decision == "refuse", decision == "retrain" and proposed)


def test_nothing_that_was_judged_has_no_quality_and_nothing_that_costs_saves_nothing() -> None:
    unjudged = score("p", one_choice("retrain"), {}, {1: Cost(training=0.0, tuning=0.0)}, margin=0.02)
    assert (unjudged.judged, unjudged.quality, unjudged.saved, unjudged.needless) == (0, 0.0, 0.0, 0)


def scored(name: str, quality: float, saved: float) -> Score:
    return replace(score(name, one_choice("skip"), {1: {0: quality, 1: quality}}, COSTS, margin=0.02), saved=saved)


def test_the_policy_that_saves_most_of_those_that_keep_the_quality_is_chosen() -> None:
    always, never = scored("always", 1.0, 0.0), scored("never", 0.99, 1.0)
    good, better, cheap = scored("a", 0.98, 0.5), scored("b", 0.99, 0.4), scored("c", 0.9799, 0.9)
    assert choose([better, good, cheap, always, never], margin=0.02) == "a"
    assert choose([better, good, cheap, always, never], margin=0.01) == "b"
    assert choose([better, good, cheap, always, never], margin=0.03) == "c"
    # None keeps the quality; of equal ones the first counts.
    assert choose([cheap, scored("d", 0.97, 1.0), always, never], margin=0.02) == "c"
    assert choose([scored("x", 1.0, 0.5), scored("y", 1.0, 0.5), always, never], margin=0.02) == "x"


def weekly(count: int) -> list[BacktestStep]:
    return [BacktestStep(START + n * 7 * DAY, START + n * 7 * DAY) for n in range(count)]


def test_weeks_are_halved_so_that_no_day_is_in_both() -> None:
    """Steps 1 to 9, of which 1 to 8 are judged by 14 days: 5 begins the second half, 4 reaches into it."""
    found = Halves.of(range(1, 10), [1, 2, 3, 4, 5, 6, 7, 8], weekly(10), 14)
    assert (found.first, found.second) == ({1, 2, 3}, {5, 6, 7, 8, 9})
    assert Halves.of(range(1, 10), [1, 2, 3, 4, 5, 6, 7, 8], weekly(10), 7).first == {1, 2, 3, 4}
    assert Halves.of(range(1, 3), [1, 2], weekly(3), 7).first == {1}
    one = Halves.of(range(1, 3), [1], weekly(3), 7)
    assert (one.first, one.second) == (frozenset(), frozenset())


def test_a_policy_is_chosen_on_the_first_weeks_and_reported_on_the_last() -> None:
    """
    Judged are 1 to 4: 1 and 2 choose, 3 to 5 report. Nothing happens before 3, so the policy that never asks is chosen.

    On the weeks after them it loses a tenth, which is what is told.
    """
    _, found, _ = played(WrittenPast(), thin=Drift(min_rows=2_000))
    assert [each.steps for each in found.first] == [2, 2, 2, 2]
    assert [each.steps for each in found.second] == [3, 3, 3, 3]
    # Both save everything at first, and the configured policy comes first.
    assert found.chosen == "configured"
    _, found, _ = played(WrittenPast(), **{"thin": Drift(min_rows=2_000)})
    thin = replace(found, chosen="thin")
    assert choice_of(thin) == (
        "The first half of the weeks chooses the policy 'thin'; on the second half it retrains at 0 of 3 checks, saves "
        "100% and ends at 0.0900, 90.0% of what retraining always reaches."
    )
    second = {each.policy: each for each in found.second}
    assert (second["configured"].retrained, second["configured"].judged) == (1, 2)
    assert second["configured"].saved == pytest.approx(1 - 43 / 132)
    assert second["thin"].quality == pytest.approx(0.09)


@dataclass
class ShortPast(WrittenPast):
    """One week that can be judged."""

    def judgeable(self, days: int) -> list[int]:
        return [1]


def test_too_few_weeks_choose_nothing_and_say_so() -> None:
    _, found, scores = played(ShortPast())
    assert (found.chosen, found.first, found.second) == (None, [], [])
    assert scores["configured"].judged == 1
    assert choice_of(found).startswith("There are too few weeks to choose a policy")


@dataclass
class BlindPast(WrittenPast):
    """No week can be judged."""

    def judgeable(self, days: int) -> list[int]:
        return []


def test_weeks_that_nothing_follows_are_counted_without_being_judged() -> None:
    _, found, scores = played(BlindPast())
    assert scores["configured"].retrained == 1
    assert (scores["configured"].judged, scores["configured"].quality, found.chosen) == (0, 0.0, None)


def test_the_table_names_the_weeks_of_each_row() -> None:
    replay, found, _ = played(WrittenPast())
    rows = list(csv.DictReader(io.StringIO(as_csv(("weeks", *HEADS), policy_rows(found)).decode())))
    assert [(row["weeks"], row["policy"]) for row in rows] == [
        (weeks, name) for weeks in ("all", "first half", "second half") for name in ("configured", "always", "never")
    ]
    assert (rows[0]["retrained"], rows[0]["promoted"], rows[0]["training s"], rows[0]["tuning s"]) == (
        "1",
        "1",
        "10",
        "33",
    )
    lines = {"configured": replay.served("configured")}
    labels = [str(n) for n in range(5)]
    page = replay_page("t", found, labels, lines, replay.rows(), metric="ndcg", margin=0.02, days=7)
    assert "The first half of the weeks chooses the policy" in page
    assert page.count(">training s<") == 3
    _, short, _ = played(ShortPast())
    assert replay_page("t", short, labels, lines, [], metric="ndcg", margin=0.02, days=7).count(">training s<") == 1


def test_steps_lie_evenly_and_their_training_ends_where_the_holdout_begins() -> None:
    shop = load_shop(REPOSITORY / "shops", "simulated")
    found = backtest_steps(START, START + 20 * DAY, 7 * DAY, shop)
    assert [(at.as_of - START).days for at in found] == [0, 7, 14]
    assert all(at.as_of - at.cutoff == timedelta(days=shop.training.holdout_days) for at in found)
    assert len(backtest_steps(START, START + 21 * DAY, 7 * DAY, shop)) == 4


def test_alternatives_differ_from_the_configured_policy_and_are_valid() -> None:
    for known in (Drift(), Drift(share_limit=0.2, max_age_days=60)):
        made = alternatives(known)
        assert known not in made.values()
        for policy in made.values():
            assert Drift.model_validate(policy.model_dump()) == policy
        assert len({repr(policy) for policy in made.values()}) == len(made)
