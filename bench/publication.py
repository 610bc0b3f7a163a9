"""
What publication costs on the S3 server of the stack: requests and seconds, without the lists themselves.

`BENCH_FILES=` part files of `BENCH_BYTES=` each; every move is made `BENCH_RUNS=` times, the median is printed.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from bench.harness.s3_server import s3_server
from refit.adapters.s3 import S3ObjectStore
from refit.digests import sha256
from refit.interfaces import ModelVersion
from refit.publication import (
    collect,
    new_attempt,
    point_back,
    publish,
    read_commit,
    read_manifest,
    require_point_back,
    stamp,
    write_commit,
)
from refit.storage.requests import Answer, Request

_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_CHAMPION = ModelVersion(name="bench", version=1, model_id="m", run_id="r", digest="d", cutoff="2026-01-01T00:00:00Z")


class _Counting(S3ObjectStore):
    """Counts requests."""

    requests = 0

    def _ask(self, request: Request, **more: str) -> Answer:
        type(self).requests += 1
        return super()._ask(request, **more)


def measure() -> None:
    """Print a line for each move."""
    files, size = int(os.environ.get("BENCH_FILES", "4")), int(os.environ.get("BENCH_BYTES", "1000000"))
    runs = int(os.environ.get("BENCH_RUNS", "5"))
    content = np.random.default_rng(1).bytes(size)
    with s3_server() as endpoint:
        store = _Counting.connect("s3://refit/bench", endpoint=endpoint)
        costs: dict[str, list[tuple[int, float]]] = {}

        def cost(name: str, act: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
            before, began = _Counting.requests, time.perf_counter()
            result = act(store, *arguments, **more)
            costs.setdefault(name, []).append((_Counting.requests - before, time.perf_counter() - began))
            return result

        for number in range(runs):
            prefix = cost(f"score and publish {files} files", _publish, number, files, content)
            batch = cost("follow the pointer to the manifest", read_manifest)["batch"]
            cost("publish once more", _again, prefix)
            if number:
                cost("see whether a rollback can be done", require_point_back, batch=batch)
                cost("roll back", _back, batch, number)
        horizon = stamp(_BEGIN + timedelta(days=runs))
        deleted = cost("collect", collect, horizon=horizon, keep=1, since="9999-12-31").deleted
        for name, seen in costs.items():
            requests, seconds = (statistics.median(column) for column in zip(*seen, strict=True))
            print(f"{name:<38}{requests:6.0f} requests {seconds * 1e3:10,.0f} ms")
        print(f"collect deleted {len(deleted)} files")


def _publish(store: S3ObjectStore, number: int, files: int, content: bytes) -> str:
    as_of = _BEGIN + timedelta(days=number)
    made_by = new_attempt(logical_run=f"run {number}", ordered_at=as_of, created=as_of, code="bench")
    prefix = f"batches/run_date={as_of.date()}/batch={made_by.batch}"
    parts = []
    for part in range(files):
        key = f"{prefix}/part-{part:05d}.parquet"
        store.create(key, content)
        name = f"{part:05d}"
        group = {"first": name, "last": name, "offset": 4, "bytes": 1, "sha256": ""}
        described = {"rows": 1, "bytes": len(content), "sha256": sha256(content), "content": "0", "footer": ""}
        parts.append({"key": key, **described, "groups": [group]})
    write_commit(store, prefix, made_by, _CHAMPION, parts, {"as_of": as_of.isoformat()}, {})
    _again(store, prefix)
    return prefix


def _again(store: S3ObjectStore, prefix: str) -> None:
    commit, verdict = read_commit(store, prefix), {"decision": "publish"}
    publish(store, prefix, commit, verdict, good_until="", withdrawn=lambda _: None, at=commit["as_of"])


def _back(store: S3ObjectStore, batch: str, number: int) -> None:
    point_back(store, batch=batch, logical_run=f"back {number}", reason="bench", by="bench", at="")
