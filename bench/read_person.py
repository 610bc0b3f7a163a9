"""
Reading one person of a live batch from S3 beside reading the whole batch.

A batch of 200,000 people with 20 recommendations and 2 reasons each is scored and published with the product's code on
an S3 server on loopback; then `BENCH_READS` people are read one by one, and the batch as a whole. `BENCH_PEOPLE=20000`
makes it smaller.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import time
from functools import partial

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F

from bench.harness.places import session
from bench.harness.s3_server import s3_server
from refit.adapters.s3 import S3ObjectStore
from refit.candidates.candidate_set import CandidateSet
from refit.config import Lists
from refit.interfaces import ModelVersion
from refit.lists.scoring import Batch, score
from refit.model.item_factors import ItemFactors
from refit.publication import Attempt, publish, read_live_batch, read_live_person, read_manifest, write_commit
from refit.storage.object_store import StoredObject

_ITEMS, _RANK, _PAST = 20_000, 16, 8
_AS_OF = "2026-01-05T00:00:00+00:00"
_PREFIX = "batches/run_date=2026-01-05/batch=bench"
_CHAMPION = ModelVersion(name="bench", version=1, model_id="m", run_id="r", digest="d", cutoff="2026-01-01T00:00:00Z")


class _Counting(S3ObjectStore):
    """Counts requests and the bytes that they move."""

    requests = 0
    moved = 0

    def get(self, key: str) -> StoredObject | None:
        found = super().get(key)
        self._count(found.content if found else b"")
        return found

    def get_range(self, key: str, start: int, length: int) -> bytes | None:
        found = super().get_range(key, start, length)
        self._count(found or b"")
        return found

    @classmethod
    def _count(cls, content: bytes) -> None:
        cls.requests += 1
        cls.moved += len(content)

    @classmethod
    def taken(cls) -> tuple[int, int]:
        """Return requests and bytes since the last time."""
        found = cls.requests, cls.moved
        cls.requests = cls.moved = 0
        return found


def measure() -> None:
    """Print one line for one person and one for the whole batch."""
    people, reads = int(os.environ.get("BENCH_PEOPLE", "200000")), int(os.environ.get("BENCH_READS", "200"))
    with s3_server() as endpoint:
        _publish(people, endpoint)
        store = _Counting.connect("s3://refit/bench", endpoint=endpoint)
        manifest = read_manifest(store)
        files = manifest["parts"]
        size = sum(part["bytes"] for part in files)
        index = manifest["index"]["bytes"]
        print(f"{people:,} people in {len(files)} files of {size / 1e6:,.1f} MB together, index {index / 1e3:,.1f} kB")
        _Counting.taken()
        seconds = []
        for number in np.random.default_rng(1).integers(0, people, reads).tolist():
            began = time.perf_counter()
            row = read_live_person(store, _name(number))
            seconds.append(time.perf_counter() - began)
            if row is None or len(row["recommendations"]) != Lists().k:
                raise RuntimeError(f"person {number} was read wrong: {row}")
        requests, moved = _Counting.taken()
        _print("one person", requests / reads, moved / reads, statistics.median(seconds))
        began = time.perf_counter()
        rows = len(read_live_batch(store))
        whole = time.perf_counter() - began
        if rows != people:
            raise RuntimeError(f"{rows} people were read of {people}")
        _print("the whole batch", *_Counting.taken(), whole)


def _name(number: int) -> str:
    return f"k1-{hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()}"


def _publish(people: int, endpoint: str) -> None:
    generator = np.random.default_rng(7)
    model = ItemFactors(
        items=pa.array([f"item-{n:05d}" for n in range(_ITEMS)]),
        factors=generator.normal(size=(_ITEMS, _RANK)).astype(np.float32),
        people=np.ones(_ITEMS, dtype=np.int64),
        alpha=1.0,
        regularisation=0.1,
        facts={},
    )
    spark = session("bench read_person")
    number = F.col("id").cast("string")
    drawn = F.array(*[F.pmod(F.xxhash64("id", F.lit(n)), F.lit(_ITEMS)).cast("int") for n in range(_PAST)])
    items = F.transform(F.array_distinct(drawn), lambda item: F.format_string("item-%05d", item))
    histories = spark.range(people).select(
        F.concat(F.lit("k1-"), F.md5(number)).alias("user_id"),
        items.alias("items"),
        F.transform(items, lambda _: F.lit(1.0)).alias("confidences"),
        F.transform(items, lambda _: F.lit(True)).alias("bought"),
    )
    opener = partial(S3ObjectStore.connect, "s3://refit/bench", endpoint=endpoint)
    batch = Batch(_PREFIX, 1, "2026-01-05")
    records = score(histories, model, CandidateSet.plain(model.items), Lists(), batch, open_store=opener, parts=4)
    spark.stop()
    parts = [{name: value for name, value in record.items() if name != "counts"} for record in records]
    store = opener()
    made_by = Attempt(batch="bench", logical_run="bench", ordered_at=_AS_OF, code="bench")
    commit = write_commit(store, _PREFIX, made_by, _CHAMPION, parts, {"as_of": _AS_OF}, {})
    verdict = {"decision": "publish"}
    publish(store, _PREFIX, commit, verdict, good_until=_AS_OF, withdrawn=lambda _: None, at=_AS_OF)


def _print(name: str, requests: float, moved: float, seconds: float) -> None:
    print(f"{name:<18}{requests:6.1f} requests {moved / 1e3:12,.1f} kB {seconds * 1e3:10,.1f} ms")
