"""
The processes that `bench.top_k` measures: `python -m bench.harness.top_k_jobs JOB FOLDER K ENDPOINT`.

`ours` makes lists with the product's code and uploads them, `with reasons` says why beside; `usual` is
`recommendForAllUsers` with an anti-join.
"""

from __future__ import annotations

import json
import resource
import sys
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from bench.harness.top_k_data import LONGEST, RANK
from infra.host.class_archive import class_archive
from infra.stack.services import FAST_START
from pipelines.settings import REPOSITORY
from refit.adapters.spark import open_session
from refit.adapters.stores import open_store
from refit.candidates.candidate_set import CandidateSet
from refit.config import Lists
from refit.lists.gate import sum_counts
from refit.lists.scoring import Batch, score
from refit.model.item_factors import ITEMS_FILE, MODEL_FILE, ItemFactors


def session(name: str, memory: str, java_options: str = "") -> SparkSession:
    """Return a Spark session with two cores, started like those of the embedded stack."""
    return open_session(
        name,
        master="local[2,4]",
        memory=memory,
        log_config=REPOSITORY / "infra" / "log4j2.properties",
        java_options=java_options,
        class_archive=class_archive(),
    )


def ours(folder: Path, k: int, endpoint: str, *, reasons: int = 0) -> None:
    """Make, write and upload the lists, with so many *reasons* for each recommendation."""
    # The embedded stack runs with the fast start; MLlib below needs the thorough compiler.
    spark = session("bench top_k", "512m", FAST_START)
    model = ItemFactors.from_files({name: (folder / name).read_bytes() for name in (ITEMS_FILE, MODEL_FILE)})
    count = sum(pq.read_metadata(part).num_rows for part in (folder / "histories").iterdir())
    records = score(
        spark.read.parquet(str(folder / "histories")),
        model,
        CandidateSet.plain(model.items),
        Lists(k=k, reasons=reasons),
        Batch("batches/run_date=2026-01-05/batch=bench", 1, "2026-01-05"),
        open_store=partial(open_store, f"s3://refit/{folder.name}", endpoint=endpoint),
        parts=max(2, count // 50_000),
    )
    counts = sum_counts([record["counts"] for record in records])
    if counts["people"] != count or counts["filled"] != count or counts["bought"]:
        raise RuntimeError(f"the lists are wrong: {counts}")
    _tell(spark, megabytes=sum(record["bytes"] for record in records) / 1e6)


def usual(folder: Path, k: int, _: str) -> None:
    """Fetch more than k for everybody with MLlib, take away what was bought and write the rest."""
    spark = session("bench usual", "6g")
    read = spark.read.parquet
    parts = [str(folder / "vectors"), str(folder / "item_factors.parquet")]
    vectors, items = (read(part)._jdf for part in parts)
    model = spark._jvm.org.apache.spark.ml.recommendation.ALSModel("als", RANK, vectors, items)
    model.setUserCol("user")
    model.setItemCol("item")
    wide = DataFrame(model.recommendForAllUsers(k + LONGEST), spark)
    rows = wide.select("user", F.posexplode("recommendations").alias("place", "entry")).select(
        "user", "place", "entry.*"
    )
    kept = rows.join(read(str(folder / "bought")), ["user", "item"], "left_anti")
    ranked = kept.withColumn("rank", F.row_number().over(Window.partitionBy("user").orderBy("place")))
    lists = (
        ranked.where(F.col("rank") <= k)
        .groupBy("user")
        .agg(F.array_sort(F.collect_list(F.struct("rank", "item", "rating"))).alias("recommendations"))
    )
    lists.write.mode("overwrite").option("compression", "zstd").parquet(str(folder / "usual"))
    _tell(spark)


def _tell(spark: SparkSession, **facts: float) -> None:
    """Print what the driver still holds after the job, in MiB."""
    runtime = spark._jvm.java.lang.Runtime.getRuntime()
    runtime.gc()
    heap = (runtime.totalMemory() - runtime.freeMemory()) / 2**20
    python = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    print(json.dumps({**facts, "driver_heap": heap, "driver_python": python}))
    spark.stop()


if __name__ == "__main__":
    job, place, length, address = sys.argv[1:]
    {"ours": ours, "with reasons": partial(ours, reasons=2), "usual": usual}[job](Path(place), int(length), address)
