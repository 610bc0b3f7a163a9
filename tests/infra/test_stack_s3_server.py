"""The S3 server of the embedded stack as a real process, spoken to over HTTP."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.client import Config
from botocore.exceptions import ClientError
from moto.s3.models import S3Backend

from infra.host.ports import choose_ports
from infra.s3.store import SavedObjects, backend
from infra.stack.services import S3_HEALTH
from pipelines.settings import REPOSITORY

BUCKET = "refit"
KEY_ID = "an-access-key"


class Server:
    """One start of the server."""

    def __init__(self, folder: Path) -> None:
        self.port = choose_ports({"REFIT_S3_PORT": 0})["REFIT_S3_PORT"]
        self.address = f"http://127.0.0.1:{self.port}"
        self.log = folder.with_suffix(".log")
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "infra.s3.server", "--port", str(self.port), "--state", str(folder)],
                cwd=REPOSITORY,
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'src'}",
                    "AWS_ACCESS_KEY_ID": KEY_ID,
                    "REFIT_BUCKET": BUCKET,
                },
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(self.address + S3_HEALTH, timeout=5).close()
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.process.kill()
                    raise RuntimeError(self.log.read_text(encoding="utf-8")) from None
                time.sleep(0.05)

    def client(self, key_id: str = KEY_ID) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.address,
            aws_access_key_id=key_id,
            aws_secret_access_key="unused",
            region_name="us-east-1",
            config=Config(retries={"total_max_attempts": 1}, max_pool_connections=32),
        )

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait(timeout=10)


def contents(client: Any) -> dict[str, bytes]:
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    names = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return {name: client.get_object(Bucket=BUCKET, Key=name)["Body"].read() for name in names}


def test_objects_survive_a_restart_with_everything_that_describes_them(tmp_path: Path):
    large = random.Random(7).randbytes(6 * 1024 * 1024)
    with serving(tmp_path / "s3") as server:
        client = server.client()
        client.put_object(Bucket=BUCKET, Key="empty", Body=b"")
        client.put_object(
            Bucket=BUCKET,
            Key="run_date=2011-11-01/ä ö+%41/part=0.json",
            Body=b"{}",
            ContentType="application/json",
            CacheControl="no-cache",
            Metadata={"rows": "0", "sha256": "abc"},
        )
        upload = client.create_multipart_upload(Bucket=BUCKET, Key="large")["UploadId"]
        parts = []
        for number, part in enumerate((large[: 5 * 1024 * 1024], large[5 * 1024 * 1024 :]), start=1):
            sent = client.upload_part(Bucket=BUCKET, Key="large", UploadId=upload, PartNumber=number, Body=part)
            parts.append({"PartNumber": number, "ETag": sent["ETag"]})
        client.complete_multipart_upload(Bucket=BUCKET, Key="large", UploadId=upload, MultipartUpload={"Parts": parts})
        client.create_bucket(Bucket="second")
        before = [client.head_object(Bucket=BUCKET, Key=name) for name in contents(client)]
        assert server.end() == 0

    with serving(tmp_path / "s3") as server:
        client = server.client()
        after = [client.head_object(Bucket=BUCKET, Key=name) for name in contents(client)]
        assert contents(client)["large"] == large
        assert {bucket["Name"] for bucket in client.list_buckets()["Buckets"]} == {BUCKET, "second"}

    told = ("ETag", "ContentLength", "ContentType", "CacheControl", "Metadata", "LastModified")
    assert [[head.get(name) for name in told] for head in after] == [
        [head.get(name) for name in told] for head in before
    ]
    assert len(after) == 3
    assert len(server.log.read_text(encoding="utf-8").splitlines()) <= 4


def test_deleted_and_replaced_objects_stay_so_and_leave_no_bytes_behind(tmp_path: Path):
    with serving(tmp_path / "s3") as server:
        for name, body in {"deleted": b"1", "replaced": b"2"}.items():
            server.client().put_object(Bucket=BUCKET, Key=name, Body=body)
        server.end()
    with serving(tmp_path / "s3") as server:
        server.client().delete_object(Bucket=BUCKET, Key="deleted")
        server.client().put_object(Bucket=BUCKET, Key="replaced", Body=b"3")
        server.end()
    with serving(tmp_path / "s3") as server:
        assert contents(server.client()) == {"replaced": b"3"}

    assert [path.name for path in (tmp_path / "s3" / "blobs").iterdir()] == [hashlib.sha256(b"3").hexdigest()]


@pytest.mark.parametrize("delay", [0.0, 0.03, 0.1])
def test_a_kill_while_saving_leaves_a_whole_state(tmp_path: Path, delay: float):
    """Whenever it comes, what was saved before is there and every listed object has its bytes."""
    numbers = random.Random(3)
    with serving(tmp_path / "s3") as server:
        server.client().put_object(Bucket=BUCKET, Key="before", Body=b"saved")
        server.end()
    written = {f"part-{number}": numbers.randbytes(300_000) for number in range(60)}
    with serving(tmp_path / "s3") as server:
        client = server.client()
        for name, body in written.items():
            client.put_object(Bucket=BUCKET, Key=name, Body=body)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(delay)
        server.process.kill()

    with serving(tmp_path / "s3") as server:
        kept = contents(server.client())

    assert kept.pop("before") == b"saved"
    assert kept == {name: written[name] for name in kept}


@pytest.fixture
def in_memory() -> Iterator[S3Backend]:
    backend().reset()
    yield backend()
    backend().reset()


@pytest.mark.parametrize("step", range(6))
def test_a_save_that_stops_at_any_step_leaves_the_old_or_the_new_state(
    tmp_path: Path, in_memory: S3Backend, monkeypatch: pytest.MonkeyPatch, step: int
):
    """A save of two new objects syncs five times: two contents, their folder, the index and its folder."""
    folder = tmp_path / "s3"
    in_memory.create_bucket(BUCKET, "us-east-1")
    in_memory.put_object(BUCKET, "kept", b"kept")
    in_memory.put_object(BUCKET, "replaced", b"old")
    store = SavedObjects(folder)
    store.save(nullcontext())
    old = saved_contents(folder)
    in_memory.put_object(BUCKET, "replaced", b"new")
    in_memory.put_object(BUCKET, "added", b"added")
    syncs = iter(range(100))
    really_sync = os.fsync

    def stopping_sync(descriptor: int) -> None:
        if next(syncs) == step:
            raise InterruptedError
        really_sync(descriptor)

    monkeypatch.setattr(os, "fsync", stopping_sync)
    with suppress(InterruptedError):
        store.save(nullcontext())

    new = {"kept": b"kept", "replaced": b"new", "added": b"added"}
    assert old == {"kept": b"kept", "replaced": b"old"}
    assert saved_contents(folder) == (old if step < 4 else new)
    assert next(syncs) == min(step + 1, 5)


def saved_contents(folder: Path) -> dict[str, bytes]:
    (bucket,) = json.loads((folder / "index.json").read_text(encoding="utf-8"))["buckets"]
    return {entry["key"]: (folder / "blobs" / entry["blob"]).read_bytes() for entry in bucket["objects"]}


def test_a_kill_without_warning_loses_seconds_at_most(tmp_path: Path):
    with serving(tmp_path / "s3") as server:
        server.client().put_object(Bucket=BUCKET, Key="early", Body=b"1")
        deadline = time.monotonic() + 20
        while not (tmp_path / "s3" / "index.json").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        server.end(signal.SIGKILL)

    with serving(tmp_path / "s3") as server:
        assert contents(server.client()) == {"early": b"1"}


def test_of_many_conditional_writers_one_wins(tmp_path: Path):
    with serving(tmp_path / "s3") as server:
        client = server.client()

        def create(number: int) -> int:
            try:
                client.put_object(Bucket=BUCKET, Key="lock", Body=str(number).encode(), IfNoneMatch="*")
            except ClientError as error:
                return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
            return 200

        with ThreadPoolExecutor(16) as pool:
            statuses = sorted(pool.map(create, range(64)))

    assert statuses == [200] + [412] * 63


def test_of_many_writers_who_saw_the_same_object_one_replaces_it(tmp_path: Path):
    with serving(tmp_path / "s3") as server:
        client = server.client()
        seen = client.put_object(Bucket=BUCKET, Key="live.json", Body=b"before")["ETag"]

        def swap(number: int) -> int:
            try:
                client.put_object(Bucket=BUCKET, Key="live.json", Body=str(number).encode(), IfMatch=seen)
            except ClientError as error:
                return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
            return 200

        with ThreadPoolExecutor(16) as pool:
            statuses = list(pool.map(swap, range(64)))

        assert sorted(statuses) == [200] + [412] * 63
        assert contents(client) == {"live.json": str(statuses.index(200)).encode()}


def test_a_request_without_the_access_key_is_refused(tmp_path: Path):
    with serving(tmp_path / "s3") as server:
        with pytest.raises(ClientError, match="InvalidAccessKeyId"):
            server.client("somebody-else").list_objects_v2(Bucket=BUCKET)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(urllib.request.Request(server.address + "/moto-api/reset", method="POST"), timeout=5)


def test_bytes_that_differ_from_their_digest_are_refused(tmp_path: Path):
    with serving(tmp_path / "s3") as server:
        client = server.client()
        for wrong in ({"ContentMD5": "AAAAAAAAAAAAAAAAAAAAAA=="}, {"ChecksumSHA256": "A" * 43 + "="}):
            with pytest.raises(ClientError, match="BadDigest"):
                client.put_object(Bucket=BUCKET, Key="damaged", Body=b"x", **wrong)

        assert contents(client) == {}


def test_two_servers_do_not_share_a_folder(tmp_path: Path):
    with serving(tmp_path / "s3"), pytest.raises(RuntimeError, match="another S3 server"):
        Server(tmp_path / "s3")
