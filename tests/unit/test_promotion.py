"""The promotion gate on numbers whose verdict is clear."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from refit.config import Evaluation, Promotion
from refit.evaluation import Judged
from refit.promotion import judge_promotion
from refit.verdicts import Verdict

PEOPLE = 400
POLICY = Promotion(metric="ndcg", margin=0.02, min_people=100)
SETTINGS = Evaluation(k=20, seed=2, resamples=500)
BASE = np.random.default_rng(9).uniform(0.2, 0.4, PEOPLE)
"""What the champion reaches for each person; 0.3 on average, so that a loss of 0.006 is tolerated."""


def judge(challenger: NDArray[np.float64], *, popularity: NDArray[np.float64], champion: bool = True) -> Verdict:
    values = {"challenger": {"ndcg": challenger}, "popularity": {"ndcg": popularity}}
    if champion:
        values["champion"] = {"ndcg": BASE}
    return judge_promotion(
        Judged(people=len(challenger), values=values, recommended={}, catalogue=100), POLICY, SETTINGS
    )


def test_a_better_model_is_proposed_with_its_gains() -> None:
    verdict = judge(BASE + 0.1, popularity=BASE - 0.1)
    assert verdict.decision == "propose"
    assert verdict.reasons == (
        "ndcg@20 is +0.2000 against popularity (95% interval +0.2000 to +0.2000)",
        "ndcg@20 is +0.1000 against champion (95% interval +0.1000 to +0.1000)",
    )


def test_a_model_that_equals_the_champion_is_proposed() -> None:
    """Retraining keeps a model fresh; it need not be better."""
    assert judge(BASE, popularity=BASE - 0.1).decision == "propose"


@pytest.mark.parametrize(("loss", "decision"), [(0.0055, "propose"), (0.0065, "refuse")])
def test_the_margin_is_a_share_of_the_champions_metric(loss: float, decision: str) -> None:
    """Two percent of 0.3 are 0.006."""
    assert BASE.mean() == pytest.approx(0.3, abs=0.005)
    assert judge(BASE - loss, popularity=BASE - 0.1).decision == decision


def test_a_worse_model_is_refused_and_its_merits_are_still_told() -> None:
    verdict = judge(BASE - 0.05, popularity=BASE - 0.1)
    assert verdict.decision == "refuse"
    assert verdict.reasons[0].startswith("ndcg@20 is -0.0500 against champion (95% interval -0.0500 to -0.0500); ")
    assert verdict.reasons[0].endswith(" is tolerated")
    assert verdict.reasons[1].startswith("ndcg@20 is +0.0500 against popularity")


def test_a_model_that_only_may_be_worse_is_refused() -> None:
    """The mean is equal, but what was seen allows a loss beyond the margin: no evidence is a refusal."""
    noise = np.random.default_rng(1).normal(0, 0.1, PEOPLE)
    verdict = judge(BASE + noise - noise.mean() + 0.00001, popularity=BASE - 0.2)
    assert verdict.decision == "refuse"
    assert "is +0.0000 against champion" in verdict.reasons[0]


def test_popularity_must_be_beaten() -> None:
    verdict = judge(BASE, popularity=BASE, champion=False)
    assert verdict.decision == "refuse"
    assert verdict.reasons == (
        "ndcg@20 is +0.0000 against popularity (95% interval +0.0000 to +0.0000); the interval must lie above 0",
        "there is no champion to compare with",
    )


def test_the_first_model_is_compared_with_popularity_only() -> None:
    verdict = judge(BASE, popularity=BASE - 0.1, champion=False)
    assert verdict.decision == "propose"
    assert verdict.reasons[1] == "there is no champion to compare with"


def test_all_refusals_are_given() -> None:
    verdict = judge(BASE - 0.1, popularity=BASE)
    assert [reason.split(" against ")[1].split(" ")[0] for reason in verdict.reasons] == ["popularity", "champion"]
    assert verdict.decision == "refuse"


def test_too_few_people_are_no_evidence() -> None:
    few = BASE[:99]
    judged = Judged(
        people=99,
        values={"challenger": {"ndcg": few + 0.5}, "popularity": {"ndcg": few}},
        recommended={},
        catalogue=100,
    )
    verdict = judge_promotion(judged, POLICY, SETTINGS)
    assert verdict.decision == "refuse"
    assert verdict.reasons == ("99 people could be judged, at least 100 are needed as evidence",)
    assert [(m.name, m.value, m.limit, m.passed) for m in verdict.measures] == [("judged_people", 99, 100, False)]


def test_every_comparison_is_kept_with_its_limit() -> None:
    measures = {m.name: (m.value, m.limit, m.n, m.passed) for m in judge(BASE, popularity=BASE - 0.1).measures}
    assert measures["judged_people"] == (PEOPLE, 100, PEOPLE, True)
    assert measures["ndcg_over_popularity.low"] == (pytest.approx(0.1), pytest.approx(0, abs=1e-300), PEOPLE, True)
    assert measures["ndcg_over_champion.low"] == (pytest.approx(0), pytest.approx(-0.02 * BASE.mean()), PEOPLE, True)
