"""The promotion gate on people whose verdict is clear, and on many planted challengers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from refit.config import Evaluation, Promotion
from refit.evaluation.cohorts import Described
from refit.evaluation.comparison import Comparison, compare
from refit.evaluation.holdout_lists import Judged
from refit.evaluation.intervals import Interval
from refit.evaluation.promotion_gate import comparison_verdict, judge_promotion
from refit.model.item_factors import ItemFactors
from refit.testing import planted
from refit.verdicts import Verdict

PEOPLE = 400
K = 20
POLICY = Promotion(metric="recall", margin=0.02, min_people=100, cohort_people=60)
SETTINGS = Evaluation(k=K, ks=(K,), seed=2, resamples=400)
ITEMS = pa.array([f"item {n:03d}" for n in range(400)])
MODEL = ItemFactors(
    items=ITEMS,
    factors=np.ones((400, 1), dtype=np.float32),
    people=np.full(400, 10),
    alpha=1.0,
    regularisation=1.0,
    facts={},
)
BASE = np.full(PEOPLE, 10)
"""Hits of the champion for each person: of 20 relevant items 10, a recall of 0.5; a loss of 0.01 is tolerated."""


def judged(
    counts: dict[str, NDArray[np.int64]], *, new: NDArray[np.bool_] | None = None, shown: dict[str, int] | None = None
) -> Judged:
    """Return people whose first so many places are hits; *shown* is how many different items a model recommends."""
    people = len(counts["challenger"])
    kinds = {name: (shown or {}).get(name, len(ITEMS)) for name in counts}
    return Judged(
        k=K,
        lengths=(K,),
        users=pa.array([f"u{n:03d}" for n in range(people)]),
        items=ITEMS,
        relevant=np.full(people, K),
        lists={
            name: ((np.arange(people)[:, None] * K + np.arange(K)) % most).astype(np.int32)
            for name, most in kinds.items()
        },
        hits={name: np.arange(K) < count[:, None] for name, count in counts.items()},
        described=Described(np.ones(people, dtype=np.int64), None if new is None else np.where(new, 1.0, 100.0)),
        past=np.full(people, 10.0),
    )


def compared(found: Judged, policy: Promotion = POLICY) -> Comparison:
    return compare(found, MODEL, SETTINGS, policy, everybody=1_000)


def judge(
    challenger: NDArray[np.int64],
    *,
    popularity: NDArray[np.int64] = BASE - 5,
    champion: NDArray[np.int64] | None = BASE,
    policy: Promotion = POLICY,
    new: NDArray[np.bool_] | None = None,
    shown: dict[str, int] | None = None,
) -> Verdict:
    counts = {"challenger": challenger, "popularity": popularity}
    if champion is not None:
        counts["champion"] = champion
    return judge_promotion(compared(judged(counts, new=new, shown=shown), policy), policy)


def worse_for(count: int) -> NDArray[np.int64]:
    """Return the champion's hits, one less for *count* people: a loss of 0.05 * count / 400."""
    return BASE - (np.arange(PEOPLE) < count)


def test_a_better_model_is_proposed_with_its_gains() -> None:
    verdict = judge(BASE + 2)
    assert verdict.decision == "propose"
    assert verdict.reasons == (
        "better than the champion: recall@20 is +0.1000, +20.0% (95% interval +0.1000 to +0.1000, 400 people)",
        "beats popularity: recall@20 is +0.3500, +140.0% (95% interval +0.3500 to +0.3500, 400 people)",
        "shows 100.0% of the catalogue, the champion 100.0%",
    )


def swapped(count: int) -> NDArray[np.int64]:
    """Return the champion's hits, one more and one less in turn for *count* people: equal on the whole."""
    turn = np.where(np.arange(PEOPLE) % 2, 1, -1)
    return BASE + np.where(np.arange(PEOPLE) < count, turn, 0)


def test_a_model_that_equals_the_champion_is_proposed_and_not_called_better() -> None:
    """Retraining keeps a model fresh; it need not be better."""
    verdict = judge(swapped(20))
    assert verdict.decision == "propose"
    assert verdict.reasons[0].startswith("not worse than the champion: recall@20 is +0.0000, +0.0% ")
    assert verdict.reasons[0].endswith("; a loss of 0.0100 is tolerated")


@pytest.mark.parametrize("differing", [0, 2, 8])
def test_people_who_fare_alike_are_no_evidence_that_nothing_is_lost(differing: int) -> None:
    """Nobody differs: the interval is [0, 0], which excludes every loss and shows nothing."""
    verdict = judge(swapped(differing))
    assert verdict.decision == "refuse"
    assert verdict.reasons[0].startswith(
        f"cannot be told from the champion: {differing} of 400 judged people fare differently, at least 10 are asked "
        "for (promotion.min_differing); recall@20 is +0.0000, +0.0% "
    )
    measure = next(m for m in verdict.measures if m.name == "differing_people")
    assert (measure.value, measure.limit, measure.passed) == (differing, 10, False)


def test_enough_people_who_differ_may_still_leave_a_loss_open() -> None:
    """Ten win or lose 9 of 10 hits: a loss of 0.008 in the mean is possible, and only 0.005 is tolerated."""
    swing = np.where(np.arange(PEOPLE) % 2, 9, -9) * (np.arange(PEOPLE) < 10)
    verdict = judge(BASE + swing, policy=POLICY.model_copy(update={"margin": 0.01}))
    assert verdict.decision == "refuse"
    assert verdict.reasons[0].startswith("may be worse than the champion: recall@20 is -0.0000, -0.0% ")


def test_as_many_as_are_asked_for_are_enough() -> None:
    verdict = judge(swapped(10))
    assert verdict.decision == "propose"
    assert next(m for m in verdict.measures if m.name == "differing_people").passed


@pytest.mark.parametrize(
    ("low", "high", "telling", "expected"),
    [
        (0.0, 0.2, 50, "not worse"),
        (-0.1, 0.2, 10, "not worse"),
        (-0.1, 0.2, 9, "unclear"),
        (-0.1, -0.05, 10, "not worse"),
        (-0.2, 0.0, 50, "unclear"),
        (-0.2, -0.01, 9, "worse"),
        (0.01, 0.2, 1, "better"),
    ],
)
def test_where_the_four_words_end(low: float, high: float, telling: int, expected: str) -> None:
    assert comparison_verdict(Interval((low + high) / 2, low, high, telling), 0.1, least=10) == expected


def test_a_gain_that_is_shown_needs_no_more_people_than_show_it() -> None:
    """Nine people gain and nobody loses: an interval above 0 is evidence by itself."""
    verdict = judge(BASE + (np.arange(PEOPLE) < 9))
    assert verdict.decision == "propose"
    assert next(m for m in verdict.measures if m.name == "differing_people").passed
    assert verdict.reasons[0].startswith("better than the champion: ")


def test_a_cohort_in_which_nobody_differs_is_not_counted_as_fine() -> None:
    new = np.arange(PEOPLE) < 100
    verdict = judge(BASE + np.where(new, 0, 3), new=new)
    assert verdict.decision == "propose"
    assert "not worse in 1 of 2 cohorts; better in returning" in verdict.reasons[2]
    assert "too few people to tell a loss of 10% in new" in verdict.reasons[2]


@pytest.mark.parametrize(("losers", "decision"), [(30, "propose"), (60, "propose"), (75, "refuse"), (400, "refuse")])
def test_what_decides_is_the_lower_end_of_the_interval(losers: int, decision: str) -> None:
    """
    60 of 400 lose 0.05: 0.0075 in the mean, give or take 0.0018 (Student with 59 degrees), is within 0.01.

    75 lose: 0.0094 in the mean, less than the margin, but a loss of 0.0113 is possible.
    """
    assert judge(worse_for(losers)).decision == decision


def test_a_worse_model_is_refused_and_its_merits_are_still_told() -> None:
    verdict = judge(BASE - 1)
    assert verdict.decision == "refuse"
    assert verdict.reasons[0] == (
        "worse than the champion: recall@20 is -0.0500, -10.0% (95% interval -0.0500 to -0.0500, 400 people); "
        "a loss of 0.0100 is tolerated"
    )
    assert verdict.reasons[1].startswith("beats popularity: ")


def test_a_model_that_only_may_be_worse_is_refused() -> None:
    """The mean is equal, but what was seen allows a loss beyond the margin: no evidence is a refusal."""
    swing = np.where(np.arange(PEOPLE) % 2, 4, -4)
    swing[0] = -3
    verdict = judge(BASE + swing)
    assert verdict.decision == "refuse"
    assert verdict.reasons[0].startswith("may be worse than the champion: recall@20 is +0.0001, +0.0% ")


def test_popularity_must_be_beaten() -> None:
    verdict = judge(BASE, popularity=BASE, champion=None)
    assert verdict.decision == "refuse"
    assert verdict.reasons == (
        "does not beat popularity: recall@20 is +0.0000, +0.0% (95% interval +0.0000 to +0.0000, 400 people); "
        "the interval must lie above 0",
        "there is no champion to compare with",
    )


def test_recent_popularity_must_be_beaten_too_where_it_was_judged() -> None:
    counts = {"challenger": BASE, "popularity": BASE - 5, "recent_popularity": BASE + 1}
    verdict = judge_promotion(compared(judged(counts)), POLICY)
    assert verdict.decision == "refuse"
    assert verdict.reasons[0].startswith("does not beat recent popularity: recall@20 is -0.0500, -9.1% ")


def test_popularity_of_two_kinds_is_beaten_in_one_line() -> None:
    """The one that comes closest is told in numbers."""
    counts = {"challenger": BASE, "popularity": BASE - 5, "recent_popularity": BASE - 2}
    verdict = judge_promotion(compared(judged(counts)), POLICY)
    assert verdict.decision == "propose"
    assert verdict.reasons[1] == (
        "beats popularity and recent popularity: recall@20 is +0.1000, +25.0% "
        "(95% interval +0.1000 to +0.1000, 400 people) against recent popularity"
    )


def test_the_first_model_is_compared_with_popularity_only() -> None:
    verdict = judge(BASE, champion=None)
    assert verdict.decision == "propose"
    assert verdict.reasons[0] == "there is no champion to compare with"
    assert [measure.name for measure in verdict.measures] == ["judged_people", "recall_over_popularity.low"]


def test_all_refusals_are_given() -> None:
    verdict = judge(BASE - 2, popularity=BASE, shown={"challenger": 100})
    leads = ["worse than the champion", "does not beat popularity", "shows 25.0% of the catalogue"]
    assert [reason.split(":")[0].split(",")[0] for reason in verdict.reasons] == leads
    assert verdict.decision == "refuse"


def test_as_many_people_as_are_asked_for_may_judge() -> None:
    few = BASE[:100]
    assert judge(few + 5, popularity=few, champion=few).decision == "propose"


def test_where_a_shop_asks_for_no_number_of_people_one_may_judge_and_nobody_may_not() -> None:
    """What training asks of a holdout is enough; that the interval lies above 0 is asked all the same."""
    policy = POLICY.model_copy(update={"min_people": None})
    nobody = judge(BASE[:0], popularity=BASE[:0], champion=None, policy=policy)
    assert nobody.reasons == ("0 people could be judged, at least 1 are needed as evidence",)
    one = judge(BASE[:1] + 5, popularity=BASE[:1], champion=None, policy=policy)
    assert [m.passed for m in one.measures if m.name == "judged_people"] == [True]


@pytest.mark.parametrize("people", [0, 1, 99])
def test_too_few_people_are_no_evidence(people: int) -> None:
    few = BASE[:people]
    verdict = judge(few + 5, popularity=few, champion=few)
    assert verdict.decision == "refuse"
    assert verdict.reasons == (f"{people} people could be judged, at least 100 are needed as evidence",)
    assert [(m.name, m.value, m.limit, m.passed) for m in verdict.measures] == [("judged_people", people, 100, False)]


def test_every_comparison_is_kept_with_its_limit() -> None:
    new = np.arange(PEOPLE) < 100
    measures = {m.name: (m.value, m.limit, m.n, m.passed) for m in judge(BASE + 1, new=new).measures}
    assert measures == {
        "judged_people": (400, 100, 400, True),
        "differing_people": (400, 10, 400, True),
        "recall_over_champion.low": (pytest.approx(0.05), pytest.approx(-0.01), 400, True),
        "recall_over_popularity.low": (pytest.approx(0.3), pytest.approx(0, abs=1e-300), 400, True),
        "recall_over_champion[new].low": (pytest.approx(0.05), pytest.approx(-0.05), 100, True),
        "recall_over_champion[returning].low": (pytest.approx(0.05), pytest.approx(-0.05), 300, True),
        "coverage": (1.0, 0.8, 400, True),
    }


def test_what_is_won_elsewhere_may_not_be_lost_in_a_cohort() -> None:
    """Better for three of four people, and for new ones a quarter worse: 2 to 3 of 10 hits."""
    new = np.arange(PEOPLE) < 100
    loss = np.where(np.arange(PEOPLE) % 2, -2, -3)
    verdict = judge(BASE + np.where(new, loss, 3), new=new)
    assert verdict.decision == "refuse"
    assert verdict.reasons[0].startswith(
        "worse than the champion in cohort new: recall@20 is -0.1250 (97.50% interval "
    )
    assert verdict.reasons[0].endswith(", 100 people); a loss of 0.0500 is tolerated")
    assert verdict.reasons[1].startswith("better than the champion: recall@20 is +0.081")


def test_a_cohort_of_as_many_people_as_are_asked_for_is_judged() -> None:
    new = np.arange(PEOPLE) < 60
    assert "not worse in 2 of 2 cohorts" in judge(BASE + 1, new=new).reasons[2]


def test_a_small_cohort_is_named_and_not_judged() -> None:
    new = np.arange(PEOPLE) < 59
    verdict = judge(BASE + np.where(new, -3, 3), new=new)
    assert verdict.decision == "propose"
    assert verdict.reasons[2] == (
        "not worse in 1 of 1 cohorts; better in returning; fewer than 60 people in new (59); "
        "shows 100.0% of the catalogue, the champion 100.0%"
    )


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["UK"] * 370 + ["IT"] * 20 + ["FR"] * 10, "fewer than 60 people in country=IT (20), country=FR (10); shows "),
        (["UK"] * 370 + ["IT"] * 15 + ["FR"] * 10 + ["ES"] * 5, "fewer than 60 people in 3 others; shows "),
    ],
)
def test_two_small_cohorts_are_named_and_three_are_counted(values: list[str], told: str) -> None:
    found = judged({"challenger": BASE + 1, "champion": BASE, "popularity": BASE - 5})
    found = replace(found, described=replace(found.described, segments={"country": pa.array(values)}))
    assert told in judge_promotion(compared(found), POLICY).reasons[2]


def test_of_many_small_cohorts_only_the_number_is_told() -> None:
    found = judged({"challenger": swapped(40), "champion": BASE, "popularity": BASE - 5})
    countries = pa.array(["UK"] * 370 + [f"country {n % 4}" for n in range(30)])
    found = replace(found, described=replace(found.described, segments={"country": countries}))
    verdict = judge_promotion(compared(found), POLICY)
    assert verdict.reasons[2].startswith("not worse in 1 of 1 cohorts; fewer than 60 people in 4 others; shows ")


@pytest.mark.parametrize(("unclear", "decision"), [("report", "propose"), ("refuse", "refuse")])
def test_a_cohort_in_which_nothing_can_be_told_is_named_or_refused(unclear: str, decision: str) -> None:
    """New people win or lose 9 of 10 hits by chance: 0.45 / sqrt(100) is nearly the margin of 0.05 by itself."""
    new = np.arange(PEOPLE) < 100
    swing = np.where(np.arange(PEOPLE) % 2, 9, -9)
    policy = POLICY.model_copy(update={"unclear_cohorts": unclear})
    verdict = judge(BASE + np.where(new, swing, 3), new=new, policy=policy)
    assert verdict.decision == decision
    told = "; ".join(verdict.reasons)
    if unclear == "report":
        assert "too few people to tell a loss of 10% in new" in told
    else:
        assert "may be worse than the champion in cohort new" in told


def test_more_cohorts_make_each_of_them_harder_to_blame() -> None:
    """With 2 cohorts each is judged at 97.5 percent, so that both hold at 95."""
    new = np.arange(PEOPLE) < 100
    counts = {"challenger": BASE, "champion": BASE, "popularity": BASE - 5}
    assert compared(judged(counts, new=new)).cohort_level == pytest.approx(0.975)
    assert compared(judged(counts)).cohort_level == 0.95


@pytest.mark.parametrize(("shown", "decision"), [(320, "propose"), (319, "refuse")])
def test_the_catalogue_may_not_become_much_narrower(shown: int, decision: str) -> None:
    """The champion shows all 400 items; a fifth less is tolerated."""
    verdict = judge(BASE + 1, shown={"challenger": shown})
    assert verdict.decision == decision
    assert any(reason.startswith(f"shows {shown / 400:.1%} of the catalogue") for reason in verdict.reasons)


ANCHOR_COUNTS = {"challenger": BASE - 2, "champion": BASE - 2 - (np.arange(PEOPLE) < 20), "popularity": BASE - 5}
"""A challenger that is no worse than the champion, who has lost two hits of ten since the first one."""


@pytest.mark.parametrize(
    ("anchor", "decision"),
    [(BASE, "refuse"), (BASE - 1, "propose"), (BASE - 2, "propose"), (BASE - 3, "propose")],
)
def test_small_losses_may_not_add_up(anchor: NDArray[np.int64], decision: str) -> None:
    """Of the anchor's 0.5 a loss of a tenth in all is tolerated, 0.05: one hit of 20; two are too many."""
    policy = POLICY.model_copy(update={"max_total_loss": 0.12})
    verdict = judge_promotion(compared(judged({**ANCHOR_COUNTS, "anchor": anchor}), policy), policy)
    assert verdict.decision == decision
    told = next(reason for reason in verdict.reasons if "the anchor" in reason)
    if decision == "refuse":
        assert told == verdict.reasons[0]
        assert told.startswith(
            "worse than the anchor, the recipe of an earlier champion trained on the same days: recall@20 is -0.1000, "
            "-20.0% "
        )
        assert told.endswith("; 0.0600 may be lost in all since then (promotion.max_total_loss)")
    (measure,) = [m for m in verdict.measures if m.name == "recall_over_anchor.low"]
    limit = -0.12 * float(anchor.mean()) / K
    assert (measure.limit, measure.passed) == (pytest.approx(limit), decision == "propose")


def test_many_promotions_at_the_edge_of_the_margin_end_at_the_total() -> None:
    """Each challenger loses less than the margin to the champion before it, which alone would go on for ever."""
    policy = POLICY.model_copy(update={"margin": 0.1, "max_total_loss": 0.25})
    anchor = np.full(PEOPLE, 16)
    champion, promoted = anchor, 0
    for _ in range(10):
        challenger = champion - 1
        counts = {"challenger": challenger, "champion": champion, "popularity": BASE - 9, "anchor": anchor}
        if judge_promotion(compared(judged(counts), policy), policy).decision == "refuse":
            break
        champion, promoted = challenger, promoted + 1
    assert promoted == 4


def test_every_baseline_that_is_better_is_named_with_its_interval() -> None:
    """One is shown to be better, one may be by chance, one is not; none of them refuses."""
    chance = BASE + 2 + np.where(np.arange(PEOPLE) % 2, 3, -2)
    counts = {
        "challenger": BASE + 2,
        "champion": BASE,
        "popularity": BASE - 5,
        "items_cosine": BASE + 3,
        "people_pearson": np.minimum(chance, K) - (np.arange(PEOPLE) < 190),
        "people_cosine": BASE,
        "items_pearson": BASE + 2,
    }
    verdict = judge_promotion(compared(judged(counts)), POLICY)
    assert verdict.decision == "propose"
    told = [reason for reason in verdict.reasons if "has a higher" in reason]
    assert told == [
        "items cosine has a higher recall@20: the challenger's is -0.0500, -7.7% (95% interval -0.0500 to -0.0500, "
        "400 people)",
        verdict.reasons[-1],
    ]
    assert told[1].startswith("people pearson has a higher recall@20, maybe by chance: the challenger's is -0.00")
    assert not any(name in reason for reason in verdict.reasons for name in ("people cosine", "items pearson"))


def test_a_refused_challenger_is_told_which_baselines_are_better() -> None:
    counts = {"challenger": BASE - 2, "champion": BASE, "popularity": BASE - 5, "items_cosine": BASE}
    verdict = judge_promotion(compared(judged(counts)), POLICY)
    assert verdict.decision == "refuse"
    assert any(reason.startswith("items cosine has a higher recall@20") for reason in verdict.reasons)


@pytest.mark.parametrize(("ours", "decision"), [(160, "propose"), (159, "refuse")])
def test_the_limit_is_a_share_of_what_the_champion_shows(ours: int, decision: str) -> None:
    verdict = judge(BASE + 1, shown={"challenger": ours, "champion": 200})
    assert verdict.decision == decision
    assert next(m.limit for m in verdict.measures if m.name == "coverage") == pytest.approx(0.4)


RUNS = 100


def verdicts(gain: float, chile: float | None = None, *, people: int = 500, runs: int = RUNS) -> list[Verdict]:
    settings = Evaluation(seed=5, ks=(20,), resamples=200)
    found = [planted(people, gain=gain, seed=seed, chile=chile) for seed in range(runs)]
    policy = Promotion()
    return [judge_promotion(compare(each, MODEL, settings, policy, everybody=10_000), policy) for each in found]


def called_better(found: list[Verdict]) -> int:
    return sum(any(r.startswith("better than the champion:") for r in each.reasons) for each in found)


def test_a_worse_challenger_is_refused_100_of_100_times() -> None:
    found = verdicts(-0.15)
    assert [each.decision for each in found].count("refuse") == RUNS
    assert called_better(found) == 0


def test_an_equal_challenger_is_called_better_at_most_5_of_100_times() -> None:
    """Nor do its cohorts, five countries and four others, refuse it more often than that."""
    found = verdicts(0.0)
    assert called_better(found) <= 5
    assert sum(any("worse than the champion in cohort" in r for r in each.reasons) for each in found) <= 5


def test_a_clearly_better_challenger_passes_95_of_100_times() -> None:
    found = verdicts(0.5)
    assert [each.decision for each in found].count("propose") >= 95
    assert called_better(found) >= 95


def test_a_challenger_that_pays_for_its_gain_in_one_country_is_refused() -> None:
    """A quarter better elsewhere and most of its hits lost for the 15 percent who live in Chile."""
    found = verdicts(0.25, -0.7, people=3_000, runs=10)
    assert [each.decision for each in found].count("refuse") == 10
    assert all(any("in cohort country=Chile" in reason for reason in each.reasons) for each in found)
