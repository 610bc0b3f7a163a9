"""
False alarms and misses of the drift gate, on many small shops with the policy that the simulated shop ships with.

30 shops that never change, walked day by day after training: how many ever ask for a retraining. 10 shops that change
on a known day: how many are found within 3 days of it. No model is trained; profiles and verdicts are the product's.
`BENCH_GATE=3,1` runs 3 and 1 of them.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from bench.harness.places import session
from pipelines.addresses import LAKE_CATALOG
from pipelines.settings import REPOSITORY
from refit.adapters.folder import FolderObjectStore
from refit.columns import Columns
from refit.config import Drift, Shop, load_shop
from refit.drift.collection import current_days, day_number, reference_profile
from refit.drift.policy import judge_drift, measure_windows
from refit.drift.profiles import DailyCounts, Profile
from refit.lake.as_of import days_before
from refit.lake.lake import Lake, Landed
from refit.simulation import SimulatedShop, tables
from refit.verdicts import Verdict

_SMALL = {"people": 1_500, "items": 600, "events": 100_000}
_DRIFT_DAY = date(2026, 6, 8)
_EPOCH = date(1970, 1, 1)
_GRACE = 3


def measure() -> None:
    """Print one line per shop, then the two sums."""
    calm, drifting = (int(word) for word in os.environ.get("BENCH_GATE", "30,10").split(","))
    shipped = load_shop(REPOSITORY / "shops", "simulated")
    print(f"policy: {shipped.drift!r}")
    spark = session("bench gate")
    alarmed, checks, found = 0, 0, 0
    for seed in range(1, calm + 1):
        verdicts = _walk(spark, shipped, seed, None, datetime(2026, 5, 1, tzinfo=UTC))
        asked = [day for day, verdict in verdicts.items() if verdict.decision == "retrain"]
        alarmed, checks = alarmed + bool(asked), checks + len(verdicts)
        print(f"calm {seed:>2}: {_summary(verdicts)}; asks on {asked[0] if asked else 'no day'}", flush=True)
    for seed in range(101, drifting + 101):
        verdicts = _walk(spark, shipped, seed, _DRIFT_DAY, datetime(2026, 5, 25, tzinfo=UTC))
        asked = [day for day, verdict in verdicts.items() if verdict.decision == "retrain"]
        on_time = bool(asked) and _DRIFT_DAY < asked[0] <= _DRIFT_DAY + timedelta(days=_GRACE)
        found += on_time
        print(f"drift {seed}: {_summary(verdicts)}; asks as of {asked[0] if asked else 'no day'}", flush=True)
        if not on_time:
            print(f"    {verdicts[_DRIFT_DAY + timedelta(days=_GRACE)].reasons}")
    print(f"{alarmed} of {calm} shops that never change asked for a retraining ({checks:,} daily checks)")
    print(f"{found} of {drifting} shops that change were found within {_GRACE} days")
    spark.stop()


def _summary(verdicts: dict[date, Verdict]) -> str:
    return ", ".join(f"{count} x {name}" for name, count in Counter(v.decision for v in verdicts.values()).items())


def _walk(
    spark: SparkSession, shipped: Shop, seed: int, drift_day: date | None, cutoff: datetime
) -> dict[date, Verdict]:
    assert_simulated = shipped.simulation
    if assert_simulated is None:
        raise RuntimeError("the shop is not simulated")
    simulation = assert_simulated.model_copy(update={**_SMALL, "seed": seed, "drift_day": drift_day})
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="refit-bench-") as folder:
        lake = land(spark, simulation, folder)
        end = datetime(2026, 6, 30, tzinfo=UTC)
        profile, daily = profile_and_days(spark, lake, shipped, cutoff, end)
    first = cutoff.date() + timedelta(days=shipped.training.holdout_days)
    days = [first + timedelta(days=n) for n in range((end.date() - first).days + 1)]
    verdicts = {day: verdict_on(profile, daily, shipped.drift, cutoff, day) for day in days}
    print(f"  ({time.monotonic() - began:.0f} s)", end=" ")
    return verdicts


def profile_and_days(
    spark: SparkSession, lake: Lake, shop: Shop, cutoff: datetime, end: datetime
) -> tuple[Profile, DailyCounts]:
    """Return the profile at *cutoff* and what every day from there to *end* was like in its bins."""
    trained = days_before(lake, cutoff)
    profile = reference_profile(spark, lake, shop, trained, cutoff, users=lake.snapshot("users", cutoff))
    history = lake.read(spark, "interactions", trained)
    daily = current_days(
        spark,
        lake,
        shop,
        profile,
        days=days_before(lake, end),
        since=cutoff.date(),
        as_of=end,
        people=history.select(Columns.USER).distinct(),
        items=history.select(Columns.ITEM).distinct(),
    )
    return profile, daily


def verdict_on(profile: Profile, daily: DailyCounts, drift: Drift, cutoff: datetime, day: date) -> Verdict:
    """Return what a check at the first moment of *day* decides."""
    before = {n: counts for n, counts in daily.items() if n < day_number(day)}
    windows = measure_windows(profile, before, drift, cutoff=day_number(cutoff.date()))
    as_of = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return judge_drift(windows, drift, cutoff=cutoff, as_of=as_of, forced=None)


def land(spark: SparkSession, simulation: SimulatedShop, folder: str) -> Lake:
    """Return a lake in *folder* that holds the simulated shop as if it had been landed, without any check."""
    lake = Lake(folder, LAKE_CATALOG, FolderObjectStore(Path(folder)))
    spark.conf.set("spark.sql.codegen.wholeStage", "false")  # as `write_simulated_shop` has it
    events = tables.events(spark, simulation, tasks=max(2, simulation.events // 1_000_000)).select(
        F.col("customer").alias(Columns.USER),
        F.col("sku").alias(Columns.ITEM),
        F.col("action").alias(Columns.EVENT_TYPE),
        F.col("happened_at").alias(Columns.EVENT_TIME),
        F.col("quantity").cast("double").alias(Columns.VALUE),
        "unit_price",
        "country",
        "device",
        F.col("day").alias(Columns.EVENT_DATE),
    )
    by_day = events.repartitionByRange(Columns.EVENT_DATE)
    by_day.write.partitionBy(Columns.EVENT_DATE).parquet(lake.path("interactions/landing=bench"))
    tables.products(spark, simulation).select(
        F.col("sku").alias(Columns.ITEM), Columns.CATEGORY, Columns.PRICE
    ).write.parquet(lake.path("items/landing=bench"))
    spark.conf.set("spark.sql.codegen.wholeStage", "true")
    days = [(simulation.first_day + timedelta(days=n)).isoformat() for n in range(simulation.days)]
    place = f"interactions/landing=bench/{Columns.EVENT_DATE}"
    entries = [Landed(day, f"{place}={day}", 1, "", "bench") for day in days]
    catalogue = [Landed(days[0], "items/landing=bench", simulation.items, "", "bench")]
    items = spark.read.parquet(lake.path("items/landing=bench"))
    schema = events.drop(Columns.EVENT_DATE).schema
    lake.commit("bench", {"interactions": (schema, entries), "items": (items.schema, catalogue)})
    return lake
