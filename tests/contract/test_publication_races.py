"""Eight writers, two readers and a collector at once, each a process of its own, against a real S3 server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support import stack_s3

from pipelines.settings import REPOSITORY
from refit.adapters.s3 import S3ObjectStore
from refit.batches.pointer import Pointer, read_pointer
from refit.publication import LIVE, collect, date_pointer, stamp
from refit.publication.read import read_live_batch

pytestmark = pytest.mark.long

WRITERS, READERS, PUBLICATIONS = 8, 2, 4
SUPPORT = Path(__file__).parents[1] / "support"


def start(*words: str) -> subprocess.Popen[bytes]:
    folders = [SUPPORT.parent, REPOSITORY / "src", REPOSITORY]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    return subprocess.Popen(
        [sys.executable, str(SUPPORT / "racing_process.py"), *words], env=environment, stdout=subprocess.PIPE
    )


def answer(process: subprocess.Popen[bytes]) -> Any:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    return json.loads(output)


def test_eight_writers_and_two_readers_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What each was told is what history says, order never goes back, and no reader ever sees a torn batch."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", stack_s3.ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    address, stop = "s3://refit/races", tmp_path / "stop"
    with stack_s3.serving(tmp_path) as server:
        endpoint = f"http://{server}"
        readers = [start(endpoint, address, "read", str(stop)) for _ in range(READERS)]
        writers = [start(endpoint, address, "write", str(writer), str(PUBLICATIONS)) for writer in range(WRITERS)]
        store = S3ObjectStore.connect(address, endpoint=endpoint)
        collected = 0
        try:
            while any(writer.poll() is None for writer in writers):
                # Far closer than any shop would go: slow writers come too late and have to begin again.
                horizon = stamp(datetime.now(UTC) - timedelta(seconds=10))
                collected += len(collect(store, horizon=horizon, keep=2).deleted)
            told = [entry for writer in writers for entry in answer(writer)]
            stop.touch()
            reads = [answer(reader) for reader in readers]
        finally:
            for process in (*readers, *writers):
                process.kill()
                process.wait()

        live = pointer(store, LIVE)
        moves = list(reversed(live.history))
        assert [move["generation"] for move in moves] == list(range(1, live.generation + 1))
        fences = [move["fence"] for move in moves]
        assert fences == sorted(fences)
        assert len({move["logical_run"] for move in moves}) == len(moves)
        assert {run for run, outcome, _ in told if outcome == "published"} == {move["logical_run"] for move in moves}
        assert {outcome for _, outcome, _ in told} <= {"published", "superseded"}
        newest = f"{PUBLICATIONS - 1}-{WRITERS - 1}"
        assert live.history[0]["logical_run"] == newest
        assert sorted(read_live_batch(store)["user_id"].to_pylist()) == [f"{newest} {person}" for person in range(3)]
        for number in range(PUBLICATIONS):
            history = pointer(store, date_pointer(f"2026-01-{1 + number:02d}")).history
            acked = {run for run, _, dated in told if dated == "published" and run.startswith(f"{number}-")}
            assert {move["logical_run"] for move in history} == acked

    assert len(told) == WRITERS * PUBLICATIONS
    assert [(read["torn"], read["backward"]) for read in reads] == [(0, 0)] * READERS
    assert all(read["whole"] > 0 for read in reads)
    sys.stdout.write(
        f"\n{live.generation} of {len(told)} publications went live, {sum(read['whole'] for read in reads)} reads, "
        f"0 torn, {collected} files collected meanwhile\n"
    )


def pointer(store: S3ObjectStore, key: str) -> Pointer:
    found = store.get(key)
    assert found is not None
    return read_pointer(found.content, key)
