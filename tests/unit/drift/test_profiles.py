"""Profiles: what is counted where, and that distances of the counts are those of the values."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from scipy.stats import ks_2samp

from refit.drift.counting import Table, count_days, frequent_names, packed, quantile_edges
from refit.drift.profiles import MISSING, OUTSIDE, Binning, Profile, by_weekday, cuts, weekday
from refit.drift.statistics import FeatureDrift, compare
from refit.errors import ModelDamagedError

MONDAY = 4
"""1970-01-05."""


def column(spark: SparkSession, values: list[float | None], name: str = "x", day: int = MONDAY) -> DataFrame:
    table = pa.table({"day": pa.array([day] * len(values), pa.int32()), name: pa.array(values, pa.float64())})
    return spark.createDataFrame(table)


def names(spark: SparkSession, values: list[str | None], day: int = MONDAY) -> DataFrame:
    table = pa.table({"day": pa.array([day] * len(values), pa.int32()), "c": pa.array(values, pa.string())})
    return spark.createDataFrame(table)


def profile(ruler: Binning, daily: dict[int, dict[str, dict[int, int]]], *features: str) -> Profile:
    return Profile(ruler=ruler, days={0: 1}, counts=by_weekday(daily, features), tenure={}, history=0)


def numbers_apart(spark: SparkSession, before: list[float | None], after: list[float | None]) -> FeatureDrift:
    """Return how far two samples of one number are apart when both are profiled as the product does it."""
    rows = column(spark, before)
    ruler = Binning(edges=quantile_edges(rows, ["x"]))
    reference = profile(ruler, count_days([Table(rows, ["x"])], ruler), "x")
    window = count_days([Table(column(spark, after), ["x"])], ruler)
    return compare(reference, window, ["x"], cutoff=0)[0]


def categories_apart(
    spark: SparkSession, before: list[str | None], after: list[str | None], most: int = 10
) -> FeatureDrift:
    rows = names(spark, before)
    ruler = Binning(names=frequent_names(rows, {"c": most}))
    reference = profile(ruler, count_days([Table(rows, (), ["c"])], ruler), "c")
    return compare(reference, count_days([Table(names(spark, after), (), ["c"])], ruler), ["c"], cutoff=0)[0]


@pytest.mark.parametrize("kind", ["continuous", "outlier", "cents", "counts"])
def test_the_distance_from_bins_is_that_of_the_values(spark: SparkSession, kind: str) -> None:
    """
    Within 0.002 of scipy's; exactly so where few values are shared by many rows.

    A bin between two quantiles holds a thousandth of the reference, give or take a tenth of that by Spark's quantiles.
    """
    generator = np.random.default_rng(8)
    before, after = generator.lognormal(0, 1, 4_000), generator.lognormal(0.5, 1.2, 3_000)
    if kind == "outlier":
        after[0] = 1e12
    elif kind == "cents":
        before, after = np.round(before, 1), np.round(after, 1)
    elif kind == "counts":
        before, after = generator.poisson(3, 4_000).astype(float), generator.poisson(4, 3_000).astype(float)
    exact = ks_2samp(before, after).statistic
    assert exact > 0.1
    found = numbers_apart(spark, before.tolist(), after.tolist())
    assert found.ks == pytest.approx(exact, abs=1e-12 if kind == "counts" else 0.002)


def test_the_index_is_that_of_the_deciles(spark: SparkSession) -> None:
    """Deciles by numpy; they differ from Spark's by less than a bin, which the index feels in its third decimal."""
    generator = np.random.default_rng(8)
    before, after = generator.lognormal(0, 1, 4_000), generator.lognormal(0.5, 1.2, 3_000)
    edges = np.quantile(before, np.arange(0.1, 0.95, 0.1))
    r = np.bincount(np.searchsorted(edges, before), minlength=10) / len(before)
    c = np.bincount(np.searchsorted(edges, after), minlength=10) / len(after)
    expected = sum((r - c) * np.log(r / c))
    assert expected > 0.1
    assert numbers_apart(spark, before.tolist(), after.tolist()).psi == pytest.approx(expected, abs=0.005)


def test_one_absurd_value_changes_the_index_by_as_good_as_nothing(spark: SparkSession) -> None:
    """One of 2,000 goes to 1e12: it stays in the last decile, where it was before or came from one beside it."""
    before = [float(n % 100) for n in range(2_000)]
    after = [value + 20 for value in before]
    quiet, absurd = numbers_apart(spark, before, after), numbers_apart(spark, before, [*after[:-1], 1e12])
    assert quiet.psi is not None
    assert quiet.psi > 0.2
    assert absurd.psi == pytest.approx(quiet.psi, abs=0.01)
    assert absurd.ks == pytest.approx(0.2, abs=0.001)


def test_a_constant_that_stays_has_not_moved_and_one_that_changes_has_moved_entirely(spark: SparkSession) -> None:
    """The constant is a bin of its own: 1 -> 1e-4 there, 1e-4 -> 1 beside it."""
    same = numbers_apart(spark, [5.0] * 100, [5.0] * 50)
    assert (same.ks, same.psi) == (0.0, 0.0)
    changed = numbers_apart(spark, [5.0] * 100, [6.0] * 50)
    assert changed.ks == 1.0
    assert changed.psi == pytest.approx(2 * (1 - 1e-4) * math.log(1e4))


def test_missing_values_move_the_index_and_have_a_rule_of_their_own(spark: SparkSession) -> None:
    """
    Values 1 to 10 equally often, then the first five twice as often, and a tenth missing or NaN.

    Deciles: five shares 0.1 -> 0.18 and five 0.1 -> 0 (1e-4); missing 0 (1e-4) -> 0.1. KS knows only numbers: 1/2.
    """
    before = [float(1 + n % 10) for n in range(1_000)]
    after = [float(1 + n % 5) for n in range(900)] + [None] * 60 + [math.nan] * 40
    found = numbers_apart(spark, before, after)
    expected = 5 * (0.1 - 0.18) * np.log(0.1 / 0.18) + 5 * (0.1 - 1e-4) * np.log(1e3) + (0.1 - 1e-4) * np.log(1e3)
    assert found.psi == pytest.approx(expected)
    assert found.ks == pytest.approx(0.5)
    assert found.missing == pytest.approx(0.1)
    assert (found.n_reference, found.n_current) == (1_000, 1_000)


def test_without_any_known_value_there_is_no_distance_but_a_share_of_missing_ones(spark: SparkSession) -> None:
    appeared = numbers_apart(spark, [None, math.nan], [None, 1.0])
    assert (appeared.ks, appeared.missing) == (None, 0.5)
    vanished = numbers_apart(spark, [1.0, 2.0], [None, None])
    assert (vanished.ks, vanished.missing) == (None, 1.0)


def test_infinities_and_nan_are_no_edges_and_are_counted_at_the_ends(spark: SparkSession) -> None:
    """NaN is the largest number to Spark and infinity ends every scale."""
    rows = column(spark, [1.0, 2.0, math.nan, math.inf, -math.inf] * 20)
    edges = quantile_edges(rows, ["x"])
    assert edges == {"x": (1.0, 2.0)}
    counted = count_days([Table(rows, ["x"])], Binning(edges=edges))
    # below 1, 1, between, 2, above 2
    assert counted == {MONDAY: {"x": {0: 20, 1: 20, 3: 20, 4: 20, MISSING: 20}}}


def test_each_edge_is_a_bin_of_its_own() -> None:
    assert cuts([1.0]) == [1.0, math.nextafter(1.0, 2.0)]
    assert Binning(edges={"x": (1.0, 2.0)}).bins("x") == 5


def test_a_category_that_was_never_seen_is_outside_and_moves_the_index(spark: SparkSession) -> None:
    """a: 1/2 -> 1/4, b: 1/2 -> 1/2, outside: 0 (1e-4) -> 1/4."""
    found = categories_apart(spark, ["a", "b"] * 50, ["a", "b", "b", "new"] * 10)
    expected = (0.5 - 0.25) * math.log(2) + (1e-4 - 0.25) * math.log(1e-4 / 0.25)
    assert found.psi == pytest.approx(expected)
    assert found.new == pytest.approx(0.25)
    assert (found.ks, found.missing) == (None, 0.0)


def test_of_many_categories_the_most_frequent_are_named_and_the_rest_is_one(spark: SparkSession) -> None:
    """1,000 values seen once are neither kept nor taken for new ones: their share is what it was."""
    many = ["a"] * 600 + ["b"] * 400 + [f"n{n}" for n in range(1_000)]
    found = frequent_names(names(spark, many), {"c": 2})
    assert found == {"c": ("a", "b")}
    after = ["a"] * 6 + ["b"] * 4 + [f"other{n}" for n in range(10)]
    apart = categories_apart(spark, many, after, most=2)
    assert (apart.psi, apart.new, apart.groups) == (0.0, 0.0, 3)


def test_ties_among_names_are_in_their_own_order_and_null_is_no_name(spark: SparkSession) -> None:
    assert frequent_names(names(spark, ["b", "a", None, None, "c", "c"]), {"c": 3}) == {"c": ("c", "a", "b")}


def test_every_row_is_counted_once_in_every_feature_of_its_day(spark: SparkSession) -> None:
    rows = names(spark, ["a", None, "z"]).unionByName(names(spark, ["a"], day=MONDAY + 1))
    counted = count_days([Table(rows, (), ["c"])], Binning(names={"c": ("a",)}))
    assert counted == {MONDAY: {"c": {1: 1, MISSING: 1, OUTSIDE: 1}}, MONDAY + 1: {"c": {1: 1}}}


def test_days_are_summed_by_weekday() -> None:
    daily = {MONDAY: {"x": {0: 2}}, MONDAY + 7: {"x": {0: 3, 1: 1}}, MONDAY + 1: {"x": {0: 5}}}
    assert by_weekday(daily, ["x"]) == {"x": {0: {0: 5, 1: 1}, 1: {0: 5}}}


def test_a_profile_written_as_json_is_the_same() -> None:
    ruler = Binning(edges={"x": (1.0, 2.5)}, names={"c": ("a",)})
    known = Profile(
        ruler=ruler,
        days={0: 4},
        counts={"x": {0: {1: 3, MISSING: 1}}, "c": {0: {1: 4}}},
        tenure={"new_people": {0: 2, 30: 5}},
        history=40,
    )
    assert Profile.from_json(json.loads(json.dumps(known.to_json()))) == known


def test_a_profile_of_another_format_is_refused_with_a_way_out() -> None:
    with pytest.raises(ModelDamagedError, match=r"format None, this Refit reads refit-profile/2; train a new model"):
        Profile.from_json({"rows": 1, "edges": {}, "counts": {}})


def test_features_with_few_bins_are_counted_together_and_come_apart_again(spark: SparkSession) -> None:
    """One number holds the bins of several features; each must get back exactly its own."""
    edges = {"fine": tuple(float(n) for n in range(999)), "coarse": (1.0, 2.0), "constant": ()}
    ruler = Binning(edges, {"c": ("a", "b")})
    rows = pa.table(
        {
            "day": pa.array([MONDAY, MONDAY, MONDAY, MONDAY + 1], pa.int32()),
            "fine": [-1.0, 998.0, float("nan"), None],
            "coarse": [0.5, 2.0, 1.5, None],
            "constant": [7.0, None, 7.0, 7.0],
            "c": ["b", "a", None, "z"],
            "age": pa.array([0, 100_000, None, 3], pa.int32()),
        }
    )
    table = Table(spark.createDataFrame(rows), ("fine", "coarse", "constant"), ("c",), ("age",))
    assert [set(pack) for pack in packed(table, ruler)] == [{"age"}, {"constant", "c", "coarse"}, {"fine"}]
    assert count_days([table], ruler) == {
        MONDAY: {
            "fine": {0: 1, 1997: 1, MISSING: 1},
            "coarse": {0: 1, 3: 1, 2: 1},
            "constant": {0: 2, MISSING: 1},
            "c": {2: 1, 1: 1, MISSING: 1},
            "age": {0: 1, 100_000: 1, MISSING: 1},
        },
        MONDAY + 1: {
            "fine": {MISSING: 1},
            "coarse": {MISSING: 1},
            "constant": {0: 1},
            "c": {OUTSIDE: 1},
            "age": {3: 1},
        },
    }


def test_a_ruler_says_what_it_measures_and_how_its_bins_are_called() -> None:
    ruler = Binning(edges={"x": (1.0, 2.5)}, names={"c": ("a", "b")})
    assert ("x" in ruler, "c" in ruler, "z" in ruler) == (True, True, False)
    assert (ruler.bins("x"), ruler.bins("c")) == (5, 3)
    assert [ruler.label("c", place) for place in (MISSING, OUTSIDE, 1, 2)] == ["missing", "other", "a", "b"]
    assert cuts([2.0, 1.0, 2.0]) == [1.0, math.nextafter(1.0, 9.0), 2.0, math.nextafter(2.0, 9.0)]


def test_days_are_summed_feature_by_feature_and_weekday_by_weekday() -> None:
    """1970-01-01 was a Thursday; what a day does not have is left out."""
    daily = {0: {"x": {0: 1}, "y": {5: 2}}, 7: {"x": {0: 3, MISSING: 4}}, 3: {"y": {5: 6}}, 4: {}}
    assert by_weekday(daily, ["x", "y", "z"]) == {
        "x": {3: {0: 4, MISSING: 4}},
        "y": {3: {5: 2}, 6: {5: 6}},
        "z": {},
    }
    assert [weekday(day) for day in (-1, 0, 3, 4, 10, 11)] == [2, 3, 6, 0, 6, 0]
