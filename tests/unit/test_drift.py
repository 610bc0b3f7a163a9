"""Profiles and drift: hand-computed distances, and when they ask for a retraining."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from scipy.stats import ks_2samp

from refit.config import Drift
from refit.drift import (
    FeatureDrift,
    compare,
    first_training,
    judge_drift,
    kolmogorov_smirnov,
    population_stability,
)
from refit.profiles import NULL, OTHER, Profile, current_profile, reference_profile
from refit.verdicts import Verdict

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
"""A Monday."""
POLICY = Drift(numbers=("value", "price", "hour"), categories=("weekday", "event_type", "category", "top_item"))


def events(
    spark: SparkSession, values: list[float | None], items: list[str] | None = None, kind: str = "buy"
) -> DataFrame:
    rows = len(values)
    columns = {
        "user_id": ["u"] * rows,
        "item_id": items or ["a"] * rows,
        "event_type": [kind] * rows,
        "event_time": pa.array([NOON] * rows, pa.timestamp("us", tz="UTC")),
        "value": pa.array(values, pa.float64()),
    }
    return spark.createDataFrame(pa.table(columns))


@pytest.fixture(scope="module")
def catalogue(spark: SparkSession) -> DataFrame:
    rows = [("a", "toys", 1.0), ("b", "books", 2.0), ("c", None, None)]
    return spark.createDataFrame(rows, "item_id string, category string, price double")


def moved(reference: Profile, current: Profile) -> dict[str, FeatureDrift]:
    return {feature.name: feature for feature in compare(reference, current)}


@pytest.fixture(scope="module")
def samples() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(8)
    return generator.lognormal(0, 1, 4_000), generator.lognormal(0.5, 1.2, 3_000)


@pytest.fixture(scope="module")
def profiles(
    spark: SparkSession, catalogue: DataFrame, samples: tuple[np.ndarray, np.ndarray]
) -> tuple[Profile, Profile]:
    """Give profiles of continuous values whose items differ as well."""
    before, after = samples
    reference = reference_profile(events(spark, before.tolist(), ["a", "b", "b", "c"] * 1_000), catalogue, POLICY)
    current = current_profile(events(spark, after.tolist(), ["a", "a", "a", "new"] * 750), catalogue, POLICY, reference)
    return reference, current


def test_the_binned_distance_is_within_one_bin_of_the_exact_one(
    profiles: tuple[Profile, Profile], samples: tuple[np.ndarray, np.ndarray]
) -> None:
    """A bin holds a thousandth of the reference, give or take the tenth of it by which Spark's quantiles err."""
    exact = ks_2samp(*samples).statistic
    assert exact > 0.1
    assert moved(*profiles)["value"].ks == pytest.approx(exact, abs=0.001 + 0.0002)


def test_the_stability_index_is_that_of_the_deciles(
    profiles: tuple[Profile, Profile], samples: tuple[np.ndarray, np.ndarray]
) -> None:
    """Deciles by numpy; they differ from Spark's by less than a bin, which the index feels in its third decimal."""
    before, after = samples
    edges = np.quantile(before, np.arange(0.1, 0.95, 0.1))
    r = np.bincount(np.searchsorted(edges, before), minlength=10) / len(before)
    c = np.bincount(np.searchsorted(edges, after), minlength=10) / len(after)
    expected = sum((r - c) * np.log(r / c))
    assert expected > 0.1
    assert moved(*profiles)["value"].psi == pytest.approx(expected, abs=0.005)


def test_every_event_is_counted_once_in_every_feature(profiles: tuple[Profile, Profile]) -> None:
    for profile, rows in zip(profiles, (4_000, 3_000), strict=True):
        assert profile.rows == rows
        assert {name: sum(counts.values()) for name, counts in profile.counts.items()} == dict.fromkeys(
            (*POLICY.numbers, *POLICY.categories), rows
        )


def test_categories_are_counted_by_name_and_what_is_missing_as_missing(profiles: tuple[Profile, Profile]) -> None:
    """Item c has no category and no price; the item `new` is in no catalogue and was not popular before."""
    reference, current = profiles
    assert reference.counts["category"] == {"toys": 1_000, "books": 2_000, NULL: 1_000}
    assert reference.counts["top_item"] == {"a": 1_000, "b": 2_000, "c": 1_000}
    assert reference.counts["weekday"] == {"Mon": 4_000}
    assert reference.counts["price"][NULL] == 1_000
    assert current.counts["category"] == {"toys": 2_250, NULL: 750}
    assert current.counts["top_item"] == {"a": 2_250, OTHER: 750}
    assert reference.top_items == ("b", "a", "c")


def test_a_category_that_was_never_seen_raises_the_index(profiles: tuple[Profile, Profile]) -> None:
    """b: 1/2 -> 0 and c: 1/4 -> 0 count as 1e-4, `__other__` comes from there; a: 1/4 -> 3/4."""
    empty = 1e-4
    expected = (
        (0.25 - 0.75) * np.log(0.25 / 0.75)
        + (0.5 - empty) * np.log(0.5 / empty)
        + (0.25 - empty) * np.log(0.25 / empty)
        + (empty - 0.25) * np.log(empty / 0.25)
    )
    assert moved(*profiles)["top_item"].psi == pytest.approx(expected)


def test_a_profile_written_as_json_compares_the_same(profiles: tuple[Profile, Profile]) -> None:
    reference, current = profiles
    again = Profile.from_json(json.loads(json.dumps(reference.to_json())))
    assert again == reference
    assert compare(again, current) == compare(reference, current)


def test_two_equal_samples_have_distance_0(profiles: tuple[Profile, Profile]) -> None:
    for feature in compare(profiles[0], profiles[0]):
        assert feature.psi == 0.0
        assert feature.ks == (0.0 if feature.name in POLICY.numbers else None)
        assert feature.n_reference == feature.n_current == 4_000


def test_missing_and_nan_values_are_counted_and_move_only_the_index(spark: SparkSession, catalogue: DataFrame) -> None:
    """
    Values 1 to 10 equally often, then the first five twice as often, and a tenth missing or NaN.

    Deciles: five shares 0.1 -> 0.18 and five 0.1 -> 0 (1e-4); missing 0 (1e-4) -> 0.1. KS knows only numbers: 1/2.
    """
    policy = Drift(numbers=("value",), categories=("event_type",))
    reference = reference_profile(events(spark, [float(1 + n % 10) for n in range(1_000)]), catalogue, policy)
    values = [float(1 + n % 5) for n in range(900)] + [None] * 60 + [float("nan")] * 40
    current = current_profile(events(spark, values, kind="rent"), catalogue, policy, reference)
    assert current.counts["value"][NULL] == 100

    found = moved(reference, current)
    expected = 5 * (0.1 - 0.18) * np.log(0.1 / 0.18) + 5 * (0.1 - 1e-4) * np.log(1e3) + (0.1 - 1e-4) * np.log(1e3)
    assert found["value"].psi == pytest.approx(expected)
    assert found["value"].ks == pytest.approx(0.5)
    assert found["event_type"].psi == pytest.approx(2 * (1 - 1e-4) * np.log(1e4))


def test_a_feature_without_any_known_value_has_no_distance_to_numbers(
    spark: SparkSession, catalogue: DataFrame
) -> None:
    policy = Drift(numbers=("value",), categories=())
    reference = reference_profile(events(spark, [None, float("nan")]), catalogue, policy)
    current = current_profile(events(spark, [None, 1.0]), catalogue, policy, reference)
    found = moved(reference, current)["value"]
    assert found.ks is None
    assert (found.n_reference, found.n_current) == (2, 2)


def test_infinite_and_nan_prices_spoil_no_edge(spark: SparkSession, catalogue: DataFrame) -> None:
    """NaN is the largest number to Spark and infinity ends every scale; neither may become the edge of a bin."""
    policy = Drift(numbers=("value",), categories=())
    values = [1.0, 2.0, float("nan"), float("inf"), float("-inf")] * 20
    reference = reference_profile(events(spark, values), catalogue, policy)
    assert reference.edges["value"] == (1.0, 2.0)
    assert reference.counts["value"] == {NULL: 20, "0": 20, "1": 20, "2": 40}


def test_a_price_that_was_paid_counts_before_the_price_in_the_catalogue(
    spark: SparkSession, catalogue: DataFrame
) -> None:
    from pyspark.sql import functions as F

    policy = Drift(numbers=("price",), categories=())
    paid = events(spark, [1.0, 1.0]).withColumn("unit_price", F.lit(7.5))
    assert reference_profile(paid, catalogue, policy).edges["price"] == (7.5,)
    assert reference_profile(events(spark, [1.0, 1.0]), catalogue, policy).edges["price"] == (1.0,)


def test_distances_of_counts_by_hand() -> None:
    """Shares 1/2 1/4 1/4 against 1/4 1/4 1/2: cumulated they differ by 1/4; the index is 2 * 1/4 * ln 2."""
    assert kolmogorov_smirnov([2, 1, 1], [25, 25, 50]) == pytest.approx(0.25)
    assert population_stability([2, 1, 1], [25, 25, 50]) == pytest.approx(0.5 * np.log(2))
    assert kolmogorov_smirnov([1, 0], [0, 1]) == 1.0


CUTOFF = datetime(2026, 1, 1, tzinfo=UTC)
LIMITS = Drift(
    min_rows=100, ks_limit=0.1, psi_limit=0.25, share_limit=0.5, max_age_days=30, numbers=("value",), categories=("c",)
)


def judge(
    value: tuple[float | None, float | None] = (0.0, 0.0),
    category: float | None = 0.0,
    *,
    n: int = 500,
    days: float = 10,
    forced: str | None = None,
) -> Verdict:
    features = [
        FeatureDrift(name="value", ks=value[0], psi=value[1], n_reference=1_000, n_current=n),
        FeatureDrift(name="c", ks=None, psi=category, n_reference=1_000, n_current=n),
    ]
    return judge_drift(features, LIMITS, cutoff=CUTOFF, as_of=CUTOFF + timedelta(days=days), forced=forced)


def test_data_that_did_not_move_skip_with_both_reasons() -> None:
    verdict = judge()
    assert verdict.decision == "skip"
    assert verdict.reasons == (
        "0 of 2 features moved beyond their limits (none), fewer than the share of 0.5 that asks for a retraining",
        "the champion's training ended 10 days ago, 30 are allowed",
    )
    assert all(measure.passed for measure in verdict.measures)


def test_values_at_their_limits_skip() -> None:
    assert judge((0.1, 0.25), 0.25, days=30).decision == "skip"


@pytest.mark.parametrize(
    ("value", "category", "reason"),
    [
        ((0.2, 0.0), 0.0, "1 of 2 features moved beyond their limits: value: ks 0.200 > 0.1 (n 500)"),
        ((0.0, 0.3), 0.0, "1 of 2 features moved beyond their limits: value: psi 0.300 > 0.25 (n 500)"),
        ((0.0, 0.0), 0.5, "1 of 2 features moved beyond their limits: c: psi 0.500 > 0.25 (n 500)"),
        (
            (0.2, 0.3),
            0.0,
            "1 of 2 features moved beyond their limits: value: ks 0.200 > 0.1 (n 500); value: psi 0.300 > 0.25 (n 500)",
        ),
    ],
)
def test_enough_moved_features_retrain(value: tuple[float, float], category: float, reason: str) -> None:
    """A feature counts once, by whichever statistic."""
    verdict = judge(value, category)
    assert (verdict.decision, verdict.reasons) == ("retrain", (reason,))


def test_fewer_moved_features_than_the_share_skip() -> None:
    features = [
        FeatureDrift(name=name, ks=None, psi=psi, n_reference=500, n_current=500)
        for name, psi in [("a", 0.5), ("b", 0.0), ("c", 0.0)]
    ]
    verdict = judge_drift(features, LIMITS, cutoff=CUTOFF, as_of=CUTOFF + timedelta(days=1), forced=None)
    assert verdict.decision == "skip"
    assert verdict.reasons[0].startswith("1 of 3 features moved beyond their limits (a: psi 0.500 > 0.25 (n 500))")


def test_an_old_champion_is_retrained_whatever_the_data_say() -> None:
    verdict = judge(days=31)
    assert verdict.decision == "retrain"
    assert verdict.reasons == ("the champion's training ended 31 days ago, 30 are allowed",)


def test_too_little_data_are_refused_and_not_called_quiet() -> None:
    verdict = judge((0.9, 9.0), 9.0, n=99)
    assert verdict.decision == "refuse"
    assert verdict.reasons == (
        "too little data to tell: 99 events on the smaller side, 100 are needed; "
        "land more days, or force the retraining",
    )


def test_too_little_data_do_not_stop_a_retraining_that_age_or_a_person_asks_for() -> None:
    """The distances are then no reason, since they mean nothing."""
    assert judge((0.9, 9.0), 9.0, n=99, days=31).reasons == (
        "the champion's training ended 31 days ago, 30 are allowed",
    )
    forced = judge((0.9, 9.0), 9.0, n=99, forced="dana: new catalogue")
    assert (forced.decision, forced.reasons) == ("retrain", ("forced by dana: new catalogue",))


def test_a_person_forces_and_the_other_reasons_are_still_given() -> None:
    verdict = judge((0.2, 0.0), forced="dana: new catalogue", days=40)
    assert verdict.decision == "retrain"
    assert [reason.split(" ")[0] for reason in verdict.reasons] == ["forced", "the", "1"]


def test_a_distance_that_could_not_be_measured_never_passes() -> None:
    verdict = judge((None, None), None)
    assert {m.name: (m.value, m.passed) for m in verdict.measures if m.value is None} == {
        "value.ks": (None, False),
        "value.psi": (None, False),
        "c.psi": (None, False),
    }


def test_every_statistic_comes_with_its_limit_and_sample_size() -> None:
    measures = {m.name: (m.value, m.limit, m.n) for m in judge((0.05, 0.2), 0.1).measures}
    assert measures == {
        "value.ks": (0.05, 0.1, 500),
        "value.psi": (0.2, 0.25, 500),
        "c.psi": (0.1, 0.25, 500),
        "share_moved": (0.0, 0.5, 2),
        "age_days": (10.0, 30, 1),
    }


def test_without_a_champion_everything_asks_for_a_model() -> None:
    assert first_training(None).reasons == ("there is no champion yet",)
    assert first_training("dana: start").reasons == ("there is no champion yet", "forced by dana: start")
    assert first_training(None).decision == "retrain"
