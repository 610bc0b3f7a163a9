"""When windows ask for a retraining, and what the verdict says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from refit.config import Drift
from refit.config.drift import FeatureLimits
from refit.drift.policy import (
    Window,
    first_training,
    forced_by,
    judge_drift,
    measure_windows,
    rows_needed,
    split_windows,
    statistics_of,
)
from refit.drift.profiles import Binning, Profile
from refit.drift.statistics import FeatureDrift
from refit.errors import ConfigurationError
from refit.verdicts import Verdict

CUTOFF = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = Drift(
    min_rows=100,
    ks_limit=0.1,
    psi_limit=0.25,
    share_limit=0.5,
    max_age_days=30,
    numbers=("value",),
    categories=("c",),
    activity=(),
    newcomers=(),
)


def moved(value: float | None = 0.0, category: float | None = 0.0, *, n: int = 500, psi: float | None = 0.0) -> Window:
    """Return a window whose number has *value* as its distance and whose category has *category* as its index."""
    features = (
        FeatureDrift(name="value", ks=value, psi=psi, n_reference=1_000, n_current=n),
        FeatureDrift(name="c", psi=category, n_reference=1_000, n_current=n),
    )
    return Window(10, 16, features)


def judge(*windows: Window, days: float = 10, forced: str | None = None, policy: Drift = LIMITS) -> Verdict:
    return judge_drift(windows, policy, cutoff=CUTOFF, as_of=CUTOFF + timedelta(days=days), forced=forced)


def test_what_has_not_moved_is_skipped_with_its_reasons() -> None:
    verdict = judge(moved())
    assert verdict.decision == "skip"
    assert verdict.reasons == (
        "0 of 2 features moved beyond their limits (none), fewer than the share of 0.5 that asks for a retraining",
        "the champion's training ended 10 days ago, 30 are allowed",
    )
    assert all(measure.passed for measure in verdict.measures)


def test_values_at_their_limits_are_within_them() -> None:
    assert judge(moved(0.1, 0.25, psi=0.25), days=30).decision == "skip"


@pytest.mark.parametrize(
    ("window", "said"),
    [
        (moved(0.2), "value: ks 0.200 > 0.1 (n 500)"),
        (moved(psi=0.3), "value: psi 0.300 > 0.25 (n 500)"),
        (moved(0.0, 0.5), "c: psi 0.500 > 0.25 (n 500)"),
        (moved(0.2, psi=0.3), "value: ks 0.200 > 0.1 (n 500), value: psi 0.300 > 0.25 (n 500)"),
    ],
)
def test_enough_moved_features_retrain(window: Window, said: str) -> None:
    """A feature counts once, by whichever statistic."""
    verdict = judge(window)
    assert verdict.decision == "retrain"
    assert verdict.reasons == (
        f"1 of 2 features moved beyond their limits ({said}), at least the share of 0.5 that asks for a retraining",
    )


@pytest.mark.parametrize(
    ("feature", "said"),
    [
        (FeatureDrift(name="c", n_reference=500, n_current=500, psi=0.0, missing=0.06), "c: missing 0.060 > 0.05"),
        (FeatureDrift(name="c", n_reference=500, n_current=500, psi=0.0, new=0.11), "c: new 0.110 > 0.1"),
    ],
)
def test_missing_values_and_new_categories_have_rules_of_their_own(feature: FeatureDrift, said: str) -> None:
    verdict = judge(Window(0, 6, (feature,)))
    assert verdict.decision == "retrain"
    assert said in verdict.reasons[0]


def test_fewer_newcomers_than_expected_are_no_drift() -> None:
    feature = FeatureDrift(name="new_items", n_reference=500, n_current=500, new=-0.9)
    assert judge(Window(0, 6, (feature,))).decision == "skip"


def test_a_feature_may_have_limits_of_its_own() -> None:
    policy = LIMITS.model_copy(update={"limits": {"c": FeatureLimits(psi=0.6)}})
    assert judge(moved(0.0, 0.5)).decision == "retrain"
    assert judge(moved(0.0, 0.5), policy=policy).decision == "skip"


def test_an_old_champion_is_retrained_whatever_the_data_say() -> None:
    verdict = judge(moved(), days=31)
    assert verdict.decision == "retrain"
    assert verdict.reasons == ("the champion's training ended 31 days ago, 30 are allowed",)


def test_a_young_champion_is_given_its_time_unless_a_person_demands_otherwise() -> None:
    policy = LIMITS.model_copy(update={"min_age_days": 14})
    verdict = judge(moved(0.2), days=13, policy=policy)
    assert verdict.decision == "skip"
    assert verdict.reasons[0] == "the champion's training ended 13 days ago, fewer than the 14 it is given"
    assert judge(moved(0.2), days=14, policy=policy).decision == "retrain"
    assert judge(moved(), days=13, policy=policy, forced="dana: new catalogue").decision == "retrain"


def test_too_little_data_are_refused_and_not_called_quiet() -> None:
    verdict = judge(moved(0.9, 9.0, n=99))
    assert verdict.decision == "refuse"
    assert verdict.reasons == (
        "too little data to tell: 0 of 1 windows of 7 days can be read, 1 are needed; the fullest has 99 events "
        "against 1,000 of the reference, and a feature needs at least 100 on both sides; land more days, or force the "
        "retraining",
    )
    assert not any(measure.passed for measure in verdict.measures if measure.name != "age_days")
    assert judge().decision == "refuse"


@pytest.mark.parametrize(("days", "decision"), [(6, "skip"), (7, "refuse"), (20, "refuse")])
def test_a_champion_younger_than_what_is_compared_is_left_alone(days: int, decision: str) -> None:
    """A refitted champion has learnt from yesterday: for a week there cannot be a week since then."""
    verdict = judge(moved(0.9, 9.0, n=99), days=days)
    assert verdict.decision == decision
    if decision == "skip":
        assert verdict.reasons == ("the champion's training ended 6 days ago, 7 are compared",)
    twice = LIMITS.model_copy(update={"windows": 3, "moved_windows": 2})
    assert judge(moved(0.2), days=13, policy=twice).decision == "skip"
    assert judge(moved(0.2), days=14, policy=twice).decision == "refuse"
    assert judge(moved(0.2), days=days).decision == ("skip" if days < 7 else "retrain")
    assert judge(moved(0.2), days=days, forced="dana: new catalogue").decision == "retrain"


def test_too_little_data_do_not_stop_a_retraining_that_age_or_a_person_asks_for() -> None:
    """The distances are then no reason, since they mean nothing."""
    few = moved(0.9, 9.0, n=99)
    assert judge(few, days=31).reasons == ("the champion's training ended 31 days ago, 30 are allowed",)
    forced = judge(few, forced="dana: new catalogue")
    assert (forced.decision, forced.reasons) == ("retrain", ("forced by dana: new catalogue",))


def test_a_person_forces_and_the_other_reasons_are_still_given() -> None:
    verdict = judge(moved(0.2), forced="dana: new catalogue", days=40)
    assert verdict.decision == "retrain"
    assert [reason.split(" ")[0] for reason in verdict.reasons] == ["forced", "the", "1"]


def test_a_feature_with_too_few_rows_neither_counts_nor_passes() -> None:
    """c has moved, but 99 rows cannot tell; of the one feature that is judged none has moved."""
    few = FeatureDrift(name="c", psi=9.0, n_reference=1_000, n_current=99)
    verdict = judge(Window(0, 6, (moved().features[0], few)))
    assert verdict.decision == "skip"
    assert verdict.reasons[0].startswith("0 of 1 features moved")
    assert {m.name: m.passed for m in verdict.measures}["c.psi"] is False


@pytest.mark.parametrize(("rows", "decision"), [(99, "refuse"), (100, "retrain")])
def test_a_feature_with_just_enough_rows_counts(rows: int, decision: str) -> None:
    assert judge(moved(0.2, 0.5, n=rows)).decision == decision


def test_a_share_of_features_at_its_limit_asks_for_a_retraining_and_does_not_pass() -> None:
    """One of two have moved, and a half asks for it."""
    verdict = judge(moved(0.2))
    found = {measure.name: (measure.value, measure.limit, measure.passed) for measure in verdict.measures}
    assert (found["share_moved"], found["windows_moved"]) == ((0.5, 0.5, False), (1.0, 1.0, False))
    assert verdict.decision == "retrain"


def test_when_most_features_have_too_few_rows_nothing_can_be_told() -> None:
    few = tuple(FeatureDrift(name=name, psi=9.0, n_reference=1_000, n_current=99) for name in ("c", "d"))
    assert judge(Window(0, 6, (moved().features[0], *few))).decision == "refuse"


def test_many_groups_need_more_rows() -> None:
    """Two samples of one distribution over 51 groups have an index of 50 / n on average: 800 rows for 0.25 / 4."""
    assert rows_needed(FeatureDrift(name="c", groups=51), LIMITS) == 800
    assert rows_needed(FeatureDrift(name="c", groups=3), LIMITS) == 100


def test_so_many_of_the_last_windows_must_have_moved() -> None:
    policy = LIMITS.model_copy(update={"windows": 3, "moved_windows": 2})
    assert judge(moved(0.2), moved(), moved(), policy=policy).decision == "skip"
    verdict = judge(moved(0.2), moved(), moved(0.2), policy=policy)
    assert verdict.decision == "retrain"
    assert verdict.reasons[0].startswith("2 of the last 3 windows of 7 days moved, 2 ask for a retraining")
    assert judge(moved(0.2), moved(n=9), moved(n=9), days=14, policy=policy).decision == "refuse"
    assert judge(moved(0.2), moved(0.2), policy=policy).decision == "retrain"


def test_every_statistic_of_every_window_comes_with_its_limit_and_sample_size() -> None:
    policy = LIMITS.model_copy(update={"windows": 2})
    measures = {m.name: (m.value, m.limit, m.n) for m in judge(moved(0.05, 0.1), moved(0.2), policy=policy).measures}
    assert measures == {
        "value.ks": (0.05, 0.1, 500),
        "value.psi": (0.0, 0.25, 500),
        "c.psi": (0.1, 0.25, 500),
        "share_moved": (0.0, 0.5, 2),
        "value.ks.1": (0.2, 0.1, 500),
        "value.psi.1": (0.0, 0.25, 500),
        "c.psi.1": (0.0, 0.25, 500),
        "share_moved.1": (0.5, 0.5, 2),
        "windows_moved": (1.0, 1.0, 2),
        "age_days": (10.0, 30, 1),
    }


def test_what_could_not_be_measured_is_named_and_never_passes() -> None:
    verdict = judge(Window(0, 6, (*moved().features, FeatureDrift(name="price"))))
    assert {m.name: m.passed for m in verdict.measures if m.value is None} == {"price.psi": False}
    assert statistics_of(verdict)["price.psi"] is None


def test_windows_are_days_with_events_and_only_the_newest_may_be_short() -> None:
    policy = LIMITS.model_copy(update={"windows": 2, "window_days": 3})
    assert split_windows([1, 2, 3, 4, 9, 10, 11], policy) == [[9, 10, 11], [2, 3, 4]]
    assert split_windows([9, 10], policy) == [[9, 10]]
    assert split_windows([4, 9, 10, 11], policy) == [[9, 10, 11]]
    assert split_windows([], policy) == []


def test_each_window_is_measured_on_its_own_days() -> None:
    """Days 4 and 5 are a Monday and a Tuesday like the reference, days 11 and 12 are not."""
    reference = Profile(
        ruler=Binning(names={"c": ("a", "b")}),
        days={0: 1, 1: 1},
        counts={"c": {0: {1: 500}, 1: {1: 500}}},
        tenure={},
        history=0,
    )
    daily = {4: {"c": {1: 300}}, 5: {"c": {1: 300}}, 11: {"c": {2: 300}}, 12: {"c": {2: 300}}}
    policy = LIMITS.model_copy(update={"windows": 2, "window_days": 2, "numbers": ()})
    newest, before = measure_windows(reference, daily, policy, cutoff=4)
    assert [(w.first, w.last) for w in (newest, before)] == [(11, 12), (4, 5)]
    assert before.features[0].psi == 0.0
    assert newest.features[0].psi == pytest.approx(18.4, abs=0.1)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"windows": 1, "moved_windows": 2}, "moved_windows 2 is more than drift.windows 1"),
        ({"min_age_days": 43}, "min_age_days 43 is more than max_age_days 42"),
        ({"limits": {"colour": {"psi": 0.1}}}, r"drift.limits names \['colour'\], which are no features"),
        ({"limits": {"value": {"kss": 0.1}}}, "Extra inputs are not permitted"),
        ({"numbers": ("value", "hour", "value")}, r"\['value'\] are listed twice"),
        ({"numbers": (), "categories": (), "activity": (), "newcomers": ()}, "drift needs at least one feature"),
        ({"activity": ("loyalty",)}, "recency"),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Drift.model_validate(settings)


def test_force_and_reason_go_together() -> None:
    assert forced_by(True, " new catalogue ", "dana") == "dana: new catalogue"
    assert forced_by(False, "", "dana") is None
    with pytest.raises(ConfigurationError, match="force=true needs a reason"):
        forced_by(True, " ", "dana")
    with pytest.raises(ConfigurationError, match="a reason is given but force is not set"):
        forced_by(False, "new catalogue", "dana")


def test_without_a_champion_everything_asks_for_a_model() -> None:
    assert first_training(None).reasons == ("there is no champion yet",)
    assert first_training("dana: start").reasons == ("there is no champion yet", "forced by dana: start")
    assert first_training(None).decision == "retrain"
