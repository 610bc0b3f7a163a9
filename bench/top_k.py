"""
Lists for everybody: CPU and memory beside the usual way, and the search beside the bare product of two matrices.

`peer`: 100,000 people x 50,000 items, rank 64, k 50, bought items left out. Ours folds in, ranks, writes and uploads,
once with the same content as the usual way and once with two reasons for each recommendation, which that does not give;
the usual way is `ALSModel.recommendForAllUsers` of more than k, an anti-join and a write to disk.
`floor`: the exact search on factors that were trained, beside the float32 product alone, in one thread.
`slope`: ours with reasons for 20,000 to 500,000 people.

`BENCH_TOPK=peer,floor,slope` chooses, `BENCH_PEOPLE=` and `BENCH_ITEMS=` make it smaller, `BENCH_RUNS=` repeats.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
from threadpoolctl import threadpool_limits

from bench.harness import top_k_data
from bench.harness.process_tree import Used, run_measured
from bench.harness.s3_server import s3_server
from pipelines.settings import REPOSITORY
from refit.candidates.candidate_set import CandidateSet
from refit.ranking.ranker import Ranker

_K = 50


def measure() -> None:
    """Print one table per part."""
    people, items = (
        int(os.environ.get(name, size)) for name, size in (("BENCH_PEOPLE", 100_000), ("BENCH_ITEMS", 50_000))
    )
    runs = int(os.environ.get("BENCH_RUNS", 3))
    parts = os.environ.get("BENCH_TOPK", "peer,floor,slope").split(",")
    if "peer" in parts:
        _peer(people, items, runs)
    if "floor" in parts:
        _floor(people, items)
    if "slope" in parts:
        _slope([people // 5, people, people * 5], items)


def _peer(people: int, items: int, runs: int) -> None:
    used: dict[str, list[Used]] = {"usual": [], "ours": [], "with reasons": []}
    with s3_server() as endpoint, _data(people, items) as folder:
        for _ in range(runs):
            for job in used:
                used[job].append(_run(job, folder, endpoint))
    print(f"{people:,} people x {items:,} items, rank {top_k_data.RANK}, k {_K}; medians of {runs} interleaved runs")
    cpu = {job: median(run.seconds for run in each) for job, each in used.items()}
    peak = {job: median(run.peak for run in each) for job, each in used.items()}
    for job, each in used.items():
        spread = ", ".join(f"{run.seconds:.1f}" for run in each)
        wall = median(run.wall for run in each)
        print(f"  {job:<13}{cpu[job]:7.1f} CPU s ({spread}), {wall:6.1f} s wall, peak {peak[job]:.2f} GiB")
    for job in ("ours", "with reasons"):
        print(f"  {job} / usual: CPU 1/{cpu['usual'] / cpu[job]:.1f}, memory 1/{peak['usual'] / peak[job]:.1f}")


def _slope(sizes: list[int], items: int) -> None:
    seconds = []
    with s3_server() as endpoint:
        for people in sizes:
            with _data(people, items) as folder:
                used = _run("with reasons", folder, endpoint)
            seconds.append(used.seconds)
            told = json.loads(used.output.splitlines()[-1])
            print(
                f"  {people:>9,} people: {used.seconds:6.1f} CPU s, {used.seconds / people * 1e6:5.0f} us each, peak "
                f"{used.peak:.2f} GiB, driver heap {told['driver_heap']:.0f} MiB after the job, driver Python "
                f"{told['driver_python']:.0f} MiB, {told['megabytes']:.0f} MB of lists"
            )
    slope = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
    print(f"  log-log slope of CPU over people {slope:.3f}")


def _floor(people: int, items: int) -> None:
    with threadpool_limits(1):
        model, histories = top_k_data.trained_model(min(people, 60_000), items)
        ranker = Ranker(model, CandidateSet.plain(model.items))
        part = histories.part(0, min(len(histories), 20_000))
        folded = [ranker.fold(piece) for piece in ranker.pieces(part)]
        ranker.best_of(folded[0], _K)
        search, product = [], []
        for each in folded:
            began = time.process_time()
            ranker.best_of(each, _K)
            search.append(time.process_time() - began)
            vectors = each.people.vectors.astype(np.float32)
            began = time.process_time()
            vectors @ model.factors.T
            product.append(time.process_time() - began)
    count = len(part)
    flops = 2 * top_k_data.RANK * items * count / sum(product)
    print(f"trained factors, {count:,} people x {items:,} items in one thread, by turns in blocks:")
    print(f"  exact search, bought items out, scores in float64 {sum(search) / count * 1e6:6.1f} us per person")
    print(
        f"  bare float32 product                              {sum(product) / count * 1e6:6.1f} us per person "
        f"({flops / 1e9:.0f} GFlop/s)"
    )
    print(f"  search / product {sum(search) / sum(product):.2f}")


def _run(job: str, folder: Path, endpoint: str) -> Used:
    command = [sys.executable, "-m", "bench.harness.top_k_jobs", job, str(folder), str(_K), endpoint]
    keys = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_DEFAULT_REGION": "us-east-1"}
    environment = {**os.environ, **keys, "AWS_EC2_METADATA_DISABLED": "true"}
    return run_measured(command, folder=REPOSITORY, environment=environment)


@contextmanager
def _data(people: int, items: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="refit-bench-") as folder:
        top_k_data.write(Path(folder), people, items)
        yield Path(folder)
