"""The simulated shop: its truth is known in advance, so each law is compared with its own parameter."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from refit.errors import ConfigurationError
from refit.simulation import SimulatedShop, SimulationFacts, tables, write_simulated_shop
from refit.simulation.laws import zipf_share
from refit.simulation.parameters import GENERATOR
from refit.simulation.volume import calendar

CALM = SimulatedShop(
    seed=11,
    first_day=date(2025, 1, 1),
    days=56,
    people=1_000,
    items=300,
    categories=12,
    events=60_000,
    taste_share=1.0,
)
DRIFTING = CALM.model_copy(update={"drift_day": date(2025, 2, 1), "drift_price_factor": 1.5})
SMALL = SimulatedShop(seed=1, first_day=date(2025, 3, 1), days=10, people=20, items=30, categories=5, events=1_000)


@dataclass(frozen=True)
class Written:
    """A shop as a reader without Spark sees it."""

    facts: SimulationFacts
    folder: Path
    events: pd.DataFrame
    products: pd.DataFrame
    customers: pd.DataFrame


def _write(spark: SparkSession, shop: SimulatedShop, folder: Path) -> Written:
    facts = write_simulated_shop(spark, shop, str(folder))
    events = pd.read_parquet(folder / "events").sort_values("event_id", ignore_index=True)
    return Written(
        facts=facts,
        folder=folder,
        events=events.assign(day=pd.to_datetime(events["day"].astype(str), utc=True)),
        products=pd.read_parquet(folder / "products"),
        customers=pd.read_parquet(folder / "customers"),
    )


@pytest.fixture(scope="module")
def calm(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Written:
    return _write(spark, CALM, tmp_path_factory.mktemp("shops") / "calm")


@pytest.fixture(scope="module")
def drifting(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Written:
    return _write(spark, DRIFTING, tmp_path_factory.mktemp("shops") / "drifting")


def _content(frame: DataFrame) -> tuple[int, int]:
    """Return number of rows and a hash of the rows that does not depend on their order."""
    row = frame.select(F.xxhash64(*frame.columns).alias("hash")).agg(F.count("*"), F.bit_xor("hash")).first()
    assert row is not None
    return row[0], row[1]


def test_every_table_has_exactly_the_promised_number_of_rows_and_unique_ids(calm: Written) -> None:
    """60,000 events on all 56 days, 300 products, 1,000 people."""
    facts = calm.facts
    assert (facts.events, facts.products, facts.customers) == (60_000, 300, 1_000)
    assert (facts.first_day, facts.last_day) == (date(2025, 1, 1), date(2025, 2, 25))

    assert len(calm.events) == calm.events["event_id"].nunique() == 60_000
    assert len(calm.products) == calm.products["sku"].nunique() == calm.products["name"].nunique() == 300
    assert len(calm.customers) == calm.customers["customer"].nunique() == 1_000
    assert set(calm.events["sku"]) <= set(calm.products["sku"])
    assert set(calm.events["customer"]) <= set(calm.customers["customer"])
    assert calm.products["category"].nunique() == 12


def test_a_day_is_one_folder_with_few_files(calm: Written) -> None:
    """56 days cut into a handful of tasks: one file per day and at most one more per cut."""
    folders = sorted(path.name for path in (calm.folder / "events").glob("day=*"))
    assert folders == [f"day={day.date()}" for day in pd.date_range("2025-01-01", periods=56)]
    assert len(list((calm.folder / "events").rglob("*.parquet"))) <= 56 + 64


def test_an_event_happens_within_the_day_of_its_folder_in_utc(calm: Written) -> None:
    assert (calm.events["happened_at"].dt.tz_convert("UTC").dt.floor("D") == calm.events["day"]).all()


def test_the_rows_do_not_depend_on_the_number_of_partitions(spark: SparkSession) -> None:
    """One task, seven tasks, and the hash that local[1] and local[2] gave for generator number 1."""
    alone, split = tables.events(spark, CALM, tasks=1), tables.events(spark, CALM, tasks=7)
    assert split.rdd.getNumPartitions() == 7

    assert _content(alone) == _content(split) == (60_000, -2898938902590938918)
    assert _content(tables.products(spark, CALM)) == (300, 3687686734826817522)
    assert _content(tables.customers(spark, CALM)) == (1_000, 1640413367055606085)
    assert GENERATOR == 1, "whoever changes the hashes above raises the generator's number as well"


def test_another_seed_is_another_shop(spark: SparkSession) -> None:
    other = SMALL.model_copy(update={"seed": 2})
    assert _content(tables.events(spark, SMALL, tasks=1)) != _content(tables.events(spark, other, tasks=1))


def test_nothing_happens_before_the_person_registered_or_the_product_was_listed(calm: Written) -> None:
    joined = calm.events.merge(calm.products, on="sku").merge(calm.customers, on="customer")
    assert len(joined) == 60_000

    assert (joined["happened_at"] >= joined["listed_on"]).all()
    assert (joined["day"] >= pd.to_datetime(joined["registered_on"], utc=True)).all()


def test_people_and_products_arrive_evenly_over_the_history(calm: Written) -> None:
    """A quarter of 980 shoppers (and some of the 20 silent) register in 56 days; 10 % of products are new."""
    start, half = pd.Timestamp("2025-01-01"), pd.Timestamp("2025-01-29")
    registered = pd.to_datetime(calm.customers["registered_on"])
    assert 122 <= ((registered >= start) & (registered < half)).sum() <= 122 + 10
    assert 122 <= (registered >= half).sum() <= 122 + 10

    new = calm.products["listed_on"] >= start.tz_localize("UTC")
    assert new.mean() == pytest.approx(0.1, abs=0.04)
    sold_new = calm.products.loc[new, "sku"].isin(calm.events["sku"])
    assert sold_new.mean() > 0.5


def test_registered_people_without_any_event_exist(calm: Written) -> None:
    """20 of 1,000 never act; those who left or arrived within days of the edge of the history join them."""
    silent = ~calm.customers["customer"].isin(calm.events["customer"])
    assert 20 <= silent.sum() <= 60


def test_shares_are_those_of_the_parameters(calm: Written) -> None:
    """98 % consent, 2 % out of stock, half the people in the largest country, a funnel of 70/18/12."""
    assert calm.customers["consent"].mean() == pytest.approx(0.98, abs=0.015)
    assert (~calm.products["in_stock"]).mean() == pytest.approx(0.02, abs=0.02)
    assert (calm.customers["country"] == "United Kingdom").mean() == pytest.approx(0.5, abs=0.05)
    funnel = calm.events["action"].value_counts(normalize=True)
    assert funnel.to_dict() == pytest.approx({"view": 0.70, "cart": 0.18, "purchase": 0.12}, abs=0.01)


def test_quantities_are_whole_and_mostly_one(calm: Written) -> None:
    """Views count 1; otherwise P(1) = 1 - exp(-1.2) = 0.70 and never more than 12."""
    acted = calm.events[calm.events["action"] != "view"]
    assert (calm.events.loc[calm.events["action"] == "view", "quantity"] == 1).all()
    assert (acted["quantity"] == 1).mean() == pytest.approx(1 - np.exp(-1.2), abs=0.01)
    assert acted["quantity"].between(1, 12).all()


@pytest.mark.parametrize("exponent", [0.9, 1.0])
def test_popularity_within_a_category_follows_its_exponent(spark: SparkSession, exponent: float) -> None:
    """With one category of 40 products that were always there, the shares by rank are the law itself."""
    shop = SMALL.model_copy(
        update={
            "items": 40,
            "categories": 1,
            "new_item_share": 0.0,
            "item_exponent": exponent,
            "events": 40_000,
        }
    )
    counts = tables.events(spark, shop, tasks=2).groupBy("sku").count().toPandas()["count"].to_numpy()
    measured = np.sort(counts)[::-1] / 40_000

    expected = np.array([zipf_share(rank, 40, exponent) for rank in range(40)])
    assert np.abs(np.cumsum(measured) - np.cumsum(expected)).max() < 0.02


def test_a_person_buys_in_three_favourite_categories(calm: Written) -> None:
    """With taste_share 1 no purchase leaves them; over everybody all twelve categories sell."""
    bought = calm.events[calm.events["action"] == "purchase"].merge(calm.products, on="sku")
    assert bought.groupby("customer")["category"].nunique().max() == 3
    assert bought["category"].nunique() == 12


def test_activity_is_heavy_tailed_but_capped(calm: Written) -> None:
    """The busiest hundredth does about a tenth of everything, and nobody more than 25 times the mean."""
    counts = calm.events["customer"].value_counts()
    assert 0.06 < counts.head(10).sum() / 60_000 < 0.20
    assert counts.max() < 25 * counts.mean()


def test_without_a_drift_day_the_second_half_is_like_the_first(calm: Written) -> None:
    """KS distance and differences of shares stay within what chance does to two samples of 30,000."""
    later = calm.events["day"] >= pd.Timestamp("2025-01-29", tz="UTC")
    first, second = calm.events[~later], calm.events[later]

    for column in ("unit_price", "quantity"):
        assert _ks(first[column], second[column]) < 0.05
    assert _ks(first["happened_at"].dt.hour, second["happened_at"].dt.hour) < 0.02
    for name in ("country", "device", "action"):
        assert _moved_share(first[name], second[name]) < 0.05
    assert _moved_share(first["day"].dt.weekday, second["day"].dt.weekday) < 0.02


def test_until_the_drift_day_the_drifting_shop_is_the_calm_one(calm: Written, drifting: Written) -> None:
    """Event for event, so that any difference found later is the drift and nothing else."""
    before = calm.events["day"] < pd.Timestamp("2025-02-01", tz="UTC")
    pd.testing.assert_frame_equal(calm.events[before], drifting.events[before])

    after = ~before
    for untouched in ("event_id", "customer", "action", "happened_at", "quantity", "device"):
        pd.testing.assert_series_equal(calm.events.loc[after, untouched], drifting.events.loc[after, untouched])


def test_from_the_drift_day_on_prices_are_multiplied(calm: Written, drifting: Written) -> None:
    """The same product on the same day costs 1.5 times as much, to the cent; so does the list."""
    after = calm.events["day"] >= pd.Timestamp("2025-02-01", tz="UTC")
    both = calm.events[after].merge(drifting.events[after], on=["event_id", "sku"], suffixes=("", "_drifted"))
    assert len(both) > 5_000

    assert np.abs(both["unit_price_drifted"] - 1.5 * both["unit_price"]).max() <= 0.0151
    prices = calm.products.merge(drifting.products, on="sku", suffixes=("", "_drifted"))
    assert np.abs(prices["price_drifted"] - 1.5 * prices["price"]).max() <= 0.0151


def test_from_the_drift_day_on_half_the_people_have_other_tastes(drifting: Written) -> None:
    """Half the people change: over both eras they buy in more than three categories, the others in three."""
    bought = drifting.events[drifting.events["action"] == "purchase"].merge(drifting.products, on="sku")
    late = bought["day"] >= pd.Timestamp("2025-02-01", tz="UTC")
    kinds = bought.groupby("customer")["category"].nunique()
    assert bought[~late].groupby("customer")["category"].nunique().max() == 3
    assert bought[late].groupby("customer")["category"].nunique().max() == 3

    busy = bought[late].groupby("customer").size().loc[lambda n: n >= 8].index
    busy = busy.intersection(bought[~late].groupby("customer").size().loc[lambda n: n >= 8].index)
    assert (kinds.loc[busy] > 3).mean() == pytest.approx(0.5, abs=0.15)


def test_from_the_drift_day_on_countries_and_best_sellers_change(calm: Written, drifting: Written) -> None:
    """
    30 % draw a new country with the shares reversed: the United Kingdom falls by 0.3 x (0.5 - 0.05).

    Half the best sellers change places with slow sellers.
    """
    after = calm.events["day"] >= pd.Timestamp("2025-02-01", tz="UTC")
    was, now = calm.events[after], drifting.events[after]
    people = was[["customer", "country"]].merge(now[["customer", "country"]], on="customer").drop_duplicates()
    fell = (people["country_x"] == "United Kingdom").mean() - (people["country_y"] == "United Kingdom").mean()
    assert fell == pytest.approx(0.3 * 0.45, abs=0.05)

    best = was["sku"].value_counts().head(40).index
    still = now["sku"].value_counts().head(40).index.intersection(best)
    assert 10 <= len(still) <= 30


def test_the_days_have_a_mild_season_and_exact_sums() -> None:
    """Saturdays are 1.15/0.95 as busy as Tuesdays; the chunks number the events without gap or overlap."""
    shop = CALM.model_copy(update={"events": 100_000_000, "days": 14})
    chunks = calendar(shop)
    assert chunks[0].first == 0
    assert chunks[-1].last == 99_999_999
    assert all(after.first == chunk.last + 1 for chunk, after in pairwise(chunks))

    volume = [0] * 14
    for chunk in chunks:
        volume[chunk.day_number] += chunk.last - chunk.first + 1
    tuesday, saturday = 6, 10  # of the week that begins on Monday, 6 January 2025
    assert volume[saturday] / volume[tuesday] == pytest.approx(1.15 / 0.95, rel=0.02)


@pytest.mark.parametrize("events", [1, 1_000])
def test_the_smallest_shops_work(spark: SparkSession, tmp_path: Path, events: int) -> None:
    shop = SMALL.model_copy(update={"events": events})
    written = _write(spark, shop, tmp_path / "small")
    assert len(written.events) == events
    assert (len(written.products), len(written.customers)) == (30, 20)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"events": 0}, "simulated shop: events = 0 must be more than 0"),
        (
            {"categories": 31},
            "simulated shop: 31 categories are more than the 30 items; every category needs an item",
        ),
        (
            {"drift_day": date(2025, 3, 11)},
            "simulated shop: drift_day 2025-03-11 must lie after the first day 2025-03-01 "
            "and not after the last day 2025-03-10",
        ),
        (
            {"drift_day": date(2025, 3, 1)},
            "simulated shop: drift_day 2025-03-01 must lie after the first day 2025-03-01 "
            "and not after the last day 2025-03-10",
        ),
        (
            {"countries": {"Ireland": 0.5, "France": 0.4}},
            "simulated shop: the countries' shares add up to 0.9, not to 1",
        ),
        ({"evnts": 5}, "simulated shop: evnts is not known"),
    ],
)
def test_nonsense_is_refused_in_one_sentence(wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        SimulatedShop.model_validate(SMALL.model_dump() | wrong)
    assert str(refusal.value) == sentence


def test_a_shop_without_a_seed_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^simulated shop: seed is missing$"):
        SimulatedShop.model_validate({"first_day": "2025-01-01", "days": 3})


def test_the_same_call_again_changes_nothing_and_another_shop_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    facts = write_simulated_shop(spark, SMALL, str(folder))
    files = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}

    assert write_simulated_shop(spark, SMALL, str(folder)) == facts
    with pytest.raises(ConfigurationError, match=r"other parameters \(seed is 1 there and 2 here\)"):
        write_simulated_shop(spark, SMALL.model_copy(update={"seed": 2}), str(folder))

    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == files
    described = json.loads((folder / "shop.json").read_text())
    assert SimulatedShop.model_validate(described["shop"]) == SMALL


def test_a_folder_that_holds_something_else_is_refused_and_left_alone(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("ten years of work")
    with pytest.raises(ConfigurationError, match=r"is no simulated shop; choose another folder$"):
        write_simulated_shop(spark, SMALL, str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_interrupted_generation_leaves_nothing(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interruption comes after customers and products are written; the next attempt then succeeds."""

    def interrupted(*_: object, **__: object) -> None:
        assert [path.name for path in tmp_path.iterdir()] != [], "something has been written by then"
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tables, "events", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_simulated_shop(spark, SMALL, str(tmp_path / "shop"))
    assert list(tmp_path.iterdir()) == []

    write_simulated_shop(spark, SMALL, str(tmp_path / "shop"))
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]


def _ks(first: pd.Series, second: pd.Series) -> float:
    values = np.unique(np.concatenate([first, second]))
    shares = [np.searchsorted(np.sort(side), values, side="right") / len(side) for side in (first, second)]
    return float(np.abs(shares[0] - shares[1]).max())


def _moved_share(first: pd.Series, second: pd.Series) -> float:
    """Return half the sum of the differences of the shares: how much would have to move."""
    shares = first.value_counts(normalize=True).sub(second.value_counts(normalize=True), fill_value=0)
    return float(shares.abs().sum() / 2)
