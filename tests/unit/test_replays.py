"""Replays on a past that is written down: which retrainings were needless, which were missed, what was saved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest

from pipelines.settings import REPOSITORY
from refit.config import Drift, load_shop
from refit.replays import Moment, Replay, alternatives, always, moments, never, score, walk, wanted
from refit.verdicts import Verdict

DAY = timedelta(days=1)
START = datetime(2026, 1, 5, tzinfo=UTC)


@dataclass
class WrittenPast:
    """A past in which models lose a tenth of what they are worth when the shop changes at step 3."""

    moments: Sequence[Moment] = tuple(Moment(START + n * 7 * DAY, START + (n * 7 - 2) * DAY) for n in range(6))
    seconds: dict[int, float] = field(default_factory=lambda: dict.fromkeys(range(6), 10.0))
    asked: list[tuple[int, int]] = field(default_factory=list)
    judged: list[tuple[int, set[int]]] = field(default_factory=list)

    def verdict(self, champion: int, step: int, drift: Drift) -> Verdict:
        self.asked.append((champion, step))
        changed = champion < 3 <= step
        nervous = drift.share_limit < 0.1
        decision = "retrain" if changed or nervous else "skip"
        return Verdict(gate="drift", decision=decision, measures=(), reasons=(f"{champion} at {step}",))

    def quality(self, step: int, trained: Iterable[int], days: int) -> dict[int, float]:
        self.judged.append((step, set(trained)))
        return {n: 0.09 if n < 3 <= step else 0.1 for n in trained}

    def judgeable(self, days: int) -> list[int]:
        return [0, 1, 2, 3, 4]


def test_a_policy_walks_with_the_model_it_has_chosen() -> None:
    past = WrittenPast()
    choices = walk(6, Drift(), lambda *asked: past.verdict(*asked).decision)
    assert [(c.step, c.champion, c.decision) for c in choices] == [
        (1, 0, "skip"),
        (2, 0, "skip"),
        (3, 0, "retrain"),
        (4, 3, "skip"),
        (5, 3, "skip"),
    ]
    assert wanted(choices) == {1: {0, 1}, 2: {0, 2}, 3: {0, 3}, 4: {3, 4}, 5: {3, 5}}


def test_scores_by_hand() -> None:
    """
    Of 5 checks 4 are judged. The good policy retrains at 3 only, where a model gains 0.1 / 0.09 - 1 = 11 %.

    Retraining always is needless at 1, 2 and 4; never doing it misses 3 and 4; a nervous policy is like always.
    """
    past = WrittenPast()
    said: list[str] = []
    replay = Replay(past, 7, 0.02, said.append)
    nervous = Drift(share_limit=0.05)
    scores = {s.policy: s for s in replay.play({"configured": Drift(), "nervous": nervous})}
    assert list(scores) == ["configured", "nervous", "always", "never"]
    good = scores["configured"]
    assert (good.steps, good.retrained, good.judged, good.needless, good.missed) == (5, 1, 4, 0, 0)
    assert good.quality == pytest.approx(0.1)
    assert (good.seconds, good.saved) == (10.0, pytest.approx(0.8))
    for name in ("nervous", "always"):
        assert (scores[name].retrained, scores[name].needless, scores[name].missed) == (5, 3, 0)
        assert scores[name].saved == pytest.approx(0.0)
    assert (scores["never"].retrained, scores["never"].needless, scores["never"].missed) == (0, 0, 2)
    assert scores["never"].quality == pytest.approx((0.1 + 0.1 + 0.09 + 0.09) / 4)
    assert replay.served["never"] == [0.1, 0.1, 0.09, 0.09, None]
    assert said[0] == "configured: retrains at 1 of 5 checks"


def test_the_choices_of_the_configured_policy_are_told_with_the_gain_that_was_there() -> None:
    replay = Replay(WrittenPast(), 7, 0.02, lambda line: None)
    replay.play({"configured": Drift()})
    assert replay.rows()[2] == ("2026-01-26", "2026-01-05", "retrain", "+11.1%", "0 at 3")
    assert replay.rows()[0][3] == "+0.0%"
    assert replay.rows()[4][3] == ""


def test_each_step_is_judged_once_for_all_policies() -> None:
    past = WrittenPast()
    Replay(past, 7, 0.02, lambda line: None).play({"configured": Drift(), "nervous": Drift(share_limit=0.05)})
    assert [step for step, _ in past.judged] == [1, 2, 3, 4]


def test_a_gain_of_exactly_the_margin_is_needless_and_not_missed() -> None:
    quality = {1: {0: 0.5, 1: 0.51}}
    retrained = score("always", always(2), quality, [1.0, 1.0], margin=0.02)
    assert (retrained.needless, score("never", never(2), quality, [1.0, 1.0], margin=0.02).missed) == (1, 0)


def test_steps_lie_evenly_and_their_training_ends_where_the_holdout_begins() -> None:
    shop = load_shop(REPOSITORY / "shops", "simulated")
    found = moments(START, START + 20 * DAY, 7 * DAY, shop)
    assert [(at.as_of - START).days for at in found] == [0, 7, 14]
    assert all(at.as_of - at.cutoff == timedelta(days=shop.training.holdout_days) for at in found)


def test_alternatives_differ_from_the_configured_policy_and_are_valid() -> None:
    known = Drift()
    for policy in alternatives(known).values():
        assert Drift.model_validate(policy.model_dump()) == policy
    assert len({repr(policy) for policy in alternatives(known).values()}) == len(alternatives(known))
