"""
Training with MLlib and with the library `implicit`: CPU seconds for the same quality, and what an iteration costs.

On `online_retail` (trained before 2011-11-01, judged by the 28 days after it) and on simulated events with a long tail
(BENCH_ROWS=10000000 of them; judged by pairs that were withheld). Every training has a process of its own; its CPU is
that of Python and JVM together between the call and the model, from the pairs on the disk on, and the peak is that of
the whole process. MLlib's session is started before; `implicit` needs none, and one is opened afterwards to judge.
NDCG@20 over the people who are judged. BENCH_RUNS= trainings each, engines in turn, each with a seed of its own:
medians of CPU and memory, means of NDCG, which moves by 1 % to 2 % from seed to seed. BENCH_RANK= is their rank.
The last lines train on a quarter, a half and all of the events: what an iteration of MLlib costs beside them, and the
slope of its logarithm over that of the pairs, 1 where twice as many cost twice as much.
`BENCH_ENGINES=online_retail,simulated,iterations` chooses.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from scipy.sparse import csr_array

from bench.harness.places import real_days, session
from bench.harness.process_tree import Used, run_measured, seconds_of
from pipelines.settings import REPOSITORY
from refit.adapters.folder import FolderObjectStore
from refit.adapters.implicit import ImplicitLibrary
from refit.columns import Columns
from refit.config import ModelSettings, load_shop
from refit.lake.lake import Lake
from refit.model.item_factors import ItemFactors
from refit.training import StoredPairs, train
from refit.training.matrices import numbered
from refit.tuning.scoring import HoldoutPeople, judge

_JUDGED = 5_000
_SHARES = (0.25, 0.5, 1.0)
"""Of the people, whose pairs are written apart."""
_WAYS: dict[str, dict[str, Any]] = {
    "mllib": {"als.engine": "mllib"},
    "implicit": {"als.engine": "implicit"},
    "implicit, Cholesky": {"als.engine": "implicit", "als.solver": "cholesky"},
    "implicit, one strength": {"als.engine": "implicit", "als.frequency_exponent": 0.0, "als.regularisation": 5.0},
}
_TRIED = {"online_retail": list(_WAYS), "simulated": ["mllib", "implicit"]}
_SHORT, _LONG = 2, 10
"""Iterations of two trainings whose difference is what an iteration costs."""


def measure() -> None:
    """Print one table per data set, then the cost of an iteration."""
    rows = os.environ.get("BENCH_ROWS", "10000000")
    runs, rank = int(os.environ.get("BENCH_RUNS", "3")), os.environ.get("BENCH_RANK", "64")
    parts = os.environ.get("BENCH_ENGINES", "online_retail,simulated,iterations").split(",")
    with tempfile.TemporaryDirectory(prefix="refit-bench-") as folder:
        prepared = {}
        for data in _TRIED:
            if data in parts or (data == "simulated" and "iterations" in parts):
                prepared[data] = _run("prepare", folder, data, rows).output.strip()
        for data, told in prepared.items():
            if data in parts:
                print(f"{data}: {told}, rank {rank}, 10 iterations")
                _print_engines(folder, data, rank, runs)
        if "iterations" in parts:
            _print_iterations(folder)


def _print_engines(folder: str, data: str, rank: str, runs: int) -> None:
    found: dict[str, list[tuple[Used, dict[str, float]]]] = {way: [] for way in _TRIED[data]}
    for seed in range(1, runs + 1):
        for way, taken in found.items():
            used = _run("train", folder, data, way, rank, "10", "1.0", str(seed))
            taken.append((used, json.loads(used.output)))
    base = median(told["cpu"] for _, told in found["mllib"])
    for way, taken in found.items():
        cpu = median(told["cpu"] for _, told in taken)
        spread = ", ".join(f"{told['cpu']:.1f}" for _, told in taken)
        peak = median(used.peak for used, _ in taken)
        ndcg = mean(told["ndcg"] for _, told in taken)
        print(f"{way:<24}{cpu:7.1f} CPU s {base / cpu:5.1f}x less{peak:6.2f} GiB  NDCG@20 {ndcg:.4f}  ({spread})")


def _print_iterations(folder: str) -> None:
    """Print what an iteration of MLlib costs: what a long training costs more, so that what is done once is left."""
    pairs, seconds = [], []
    for share in _SHARES:
        short, long = (
            json.loads(_run("train", folder, "simulated", "mllib", "32", str(n), str(share), "1").output)
            for n in (_SHORT, _LONG)
        )
        pairs.append(float(long["pairs"]))
        seconds.append((long["cpu"] - short["cpu"]) / (_LONG - _SHORT))
        print(f"MLlib, {pairs[-1]:,.0f} pairs, rank 32: {seconds[-1]:6.2f} CPU s per iteration", flush=True)
    slope = np.polyfit(np.log(pairs), np.log(seconds), 1)[0]
    print(f"slope of log cost over log pairs: {slope:.2f}")


def _run(what: str, folder: str, *more: str) -> Used:
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY / 'src'}:{REPOSITORY}", "OPENBLAS_NUM_THREADS": "1"}
    return run_measured(
        [sys.executable, "-m", "bench.engines", what, folder, *more], folder=REPOSITORY, environment=environment
    )


def _prepare(spark: SparkSession, folder: str, data: str, rows: int) -> None:
    pairs = _real_pairs(spark) if data == "online_retail" else _simulated_pairs(spark, rows)
    place = f"{folder}/{data}"
    pairs.write.parquet(place)
    written = spark.read.parquet(place)
    for share in _SHARES:
        some = F.pmod(F.xxhash64(Columns.USER, F.lit(1)), F.lit(1_000)) < int(share * 1_000)
        written.where(~F.col("withheld") & some).drop("withheld").write.parquet(f"{place}-{share}")
    people, items = (written.select(name).distinct().count() for name in (Columns.USER, Columns.ITEM))
    print(f"{written.where(~F.col('withheld')).count():,} pairs of {people:,} people and {items:,} items")


def _real_pairs(spark: SparkSession) -> Any:
    """Return purchases before 2011-11-01 with a half-life of 30 days; what was first bought after it is withheld."""
    lines = spark.read.option("header", value=True).csv(f"{real_days()}/*.csv.gz")
    kept = lines.where(
        "CustomerID IS NOT NULL AND InvoiceNo NOT LIKE 'C%' AND CAST(Quantity AS DOUBLE) > 0 "
        "AND CAST(UnitPrice AS DOUBLE) > 0 AND trim(StockCode) RLIKE '^[0-9]{5}' AND InvoiceDate < '2011-11-29'"
    )
    strength = "pow(0.5D, datediff(DATE '2011-11-01', to_date(InvoiceDate)) / 30)"
    return (
        kept.select(
            F.expr("CustomerID").alias(Columns.USER),
            F.expr("trim(StockCode)").alias(Columns.ITEM),
            F.expr(f"IF(InvoiceDate < '2011-11-01', {strength}, 0D)").alias(Columns.CONFIDENCE),
        )
        .groupBy(Columns.USER, Columns.ITEM)
        .agg(F.sum(Columns.CONFIDENCE).alias(Columns.CONFIDENCE))
        .withColumn("withheld", F.col(Columns.CONFIDENCE) == 0)
    )


def _simulated_pairs(spark: SparkSession, rows: int) -> Any:
    """Return *rows* events by a twentieth as many people; two thirds of each person's are of one of 50 tastes."""
    people, items = max(1_000, rows // 20), max(500, rows // 500)
    person = (F.pow(F.rand(1), 1.5) * people).cast("int")
    popular = (F.pow(F.rand(2), 3) * items).cast("int")
    own = popular - popular % 50 + F.hash("person") % 25 + 25
    return (
        spark.range(rows)
        .select(person.alias("person"))
        .select("person", F.when(F.rand(3) < 2 / 3, own).otherwise(popular).alias("item"))
        .groupBy(
            F.format_string("user-%08d", "person").alias(Columns.USER),
            F.format_string("item-%06d", "item").alias(Columns.ITEM),
        )
        .agg(F.count(F.lit(1)).cast("double").alias(Columns.CONFIDENCE))
        .withColumn("withheld", F.pmod(F.xxhash64(Columns.USER, Columns.ITEM), F.lit(20)) == 0)
    )


def _train(folder: str, data: str, way: str, rank: int, iterations: int, share: float, seed: int) -> None:
    settings = _settings(rank, iterations, seed).with_values(_WAYS[way])
    lake = Lake(folder, "catalog.json", FolderObjectStore(Path(folder)))
    pairs = StoredPairs(lake, f"{data}-{share}", _session)
    if settings.als.engine == "mllib":
        _session()
    library = ImplicitLibrary()
    before = seconds_of(os.getpid())
    model = train(pairs, settings, {}, factoriser=library, checkpoints=f"{folder}/checkpoints-{os.getpid()}")
    cpu = seconds_of(os.getpid()) - before
    everything = _session().read.parquet(f"{folder}/{data}")
    people = everything.where("withheld").select(Columns.USER).distinct()
    asked = people.orderBy(F.xxhash64(Columns.USER), Columns.USER).limit(_JUDGED)
    ndcg = _ndcg(model, everything.join(F.broadcast(asked), Columns.USER).toArrow())
    print(json.dumps({"cpu": cpu, "pairs": int(model.people.sum()), "ndcg": ndcg}))


def _session() -> SparkSession:
    return session("bench engines")


def _settings(rank: int, iterations: int, seed: int) -> ModelSettings:
    shop = load_shop(REPOSITORY / "shops", "online_retail")
    return shop.model_settings("als").with_values({"als.rank": rank, "als.iterations": iterations, "als.seed": seed})


def _ndcg(model: ItemFactors, pairs: pa.Table) -> float:
    """Return NDCG@20 of lists without what the people had, against what was withheld of them."""
    people, rows = numbered(pairs[Columns.USER])
    items, columns = numbered(pairs[Columns.ITEM])
    withheld = np.asarray(pairs["withheld"].to_numpy())
    confidence = np.asarray(pairs[Columns.CONFIDENCE].to_numpy(), dtype=np.float64)
    shape = (len(people), len(items))

    def matrix(chosen: NDArray[np.bool_], values: NDArray[np.float64]) -> csr_array:
        made = csr_array((values[chosen], (rows[chosen], columns[chosen])), shape=shape)
        made.sort_indices()
        return made

    ones = np.ones(len(rows))
    wanted = np.bincount(rows[withheld], minlength=len(people)).astype(np.int64)
    judges = HoldoutPeople(items=items, had=matrix(~withheld, ones), relevant=matrix(withheld, ones), wanted=wanted)
    return judge(model, matrix(~withheld, confidence), judges, metric="ndcg", k=20)


if __name__ == "__main__":
    Path(sys.argv[2]).mkdir(exist_ok=True)
    if sys.argv[1] == "prepare":
        _prepare(_session(), sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        folder_, data_, way_, rank_, iterations_, share_, seed_ = sys.argv[2:]
        _train(folder_, data_, way_, int(rank_), int(iterations_), float(share_), int(seed_))
    _session().stop()
