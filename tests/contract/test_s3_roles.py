"""Roles, actions and places on S3, each tried against the local S3 server with its authentication on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import httpx
import pytest
from botocore.exceptions import ClientError
from support.published import AS_OF, CREATED, go_live, score
from support.role_table import show

from infra.host.ports import choose_ports
from infra.s3.policies import ROLES, role_policy
from infra.stack.services import S3_HEALTH
from pipelines.settings import REPOSITORY
from refit.adapters.s3 import NotAllowedError, S3ObjectStore
from refit.config.retention import Retention
from refit.governance.audit_log import AuditLog
from refit.publication import point_back, read_live_batch
from refit.publication.retention import tidy
from refit.publication.symlinks import write_symlinks

BUCKET, SHOP, WORKING = "refit", "cafe", "deli"
STRANGER = "stranger"
"""Somebody whose access key the server does not know."""
PLACES = {
    "live.json": "cafe/live.json",
    "dates/": "cafe/dates/run_date=2026-03-01.json",
    "batches/": "cafe/batches/run_date=2026-03-01/batch=b/part-00000.parquet",
    "symlink/": "cafe/symlink/manifest.txt",
    "audit/": "cafe/audit/000001.json",
    "mlflow/": "mlflow/cafe/models/m/artifacts/items.parquet",
    "another shop": "bakery/live.json",
    "its models": "mlflow/bakery/models/m/artifacts/items.parquet",
    "a shop whose name begins alike": "cafe-west/live.json",
    "beside all shops": "secrets.json",
}
# What is declared, written by hand and not read from the policies: r(ead), w(rite), d(elete).
DECLARED: dict[str, dict[str, str]] = {
    "reader": {"live.json": "r", "dates/": "r", "batches/": "r", "symlink/": "r"},
    "trainer": {"audit/": "r", "mlflow/": "rw"},
    "publisher": {
        **{"live.json": "rw", "dates/": "rw", "batches/": "rw", "symlink/": "rw"},
        **{"audit/": "r", "mlflow/": "r"},
    },
    "promoter": {
        **{"live.json": "rw", "dates/": "rw", "batches/": "r", "symlink/": "rw"},
        **{"audit/": "rw", "mlflow/": "r"},
    },
    "collector": {"live.json": "rw", "dates/": "rw", "batches/": "d"},
    "auditor": {"audit/": "r"},
    "mlflow_server": {"mlflow/": "r"},
    STRANGER: {},
}
LISTING = {"trainer", "publisher", "promoter", "collector", "auditor", "mlflow_server"}
"""Who may list the bucket: S3 tells the others `forbidden` where it tells these `there is none`."""


@dataclass(frozen=True)
class Bucket:
    """The bucket as each role sees it."""

    clients: dict[str, Any]
    workers: dict[str, Any]
    """The same roles of another shop, in which only the code of the steps writes."""

    def store(self, role: str) -> S3ObjectStore:
        """Return the lists of the other shop as a step of *role* opens them."""
        return S3ObjectStore(self.workers[role], BUCKET, WORKING)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """Start the stack's S3 server, give each role a key and its policy, put one object into each place, lock up."""
    port = choose_ports({"REFIT_S3_PORT": 0})["REFIT_S3_PORT"]
    address = f"http://127.0.0.1:{port}"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'src'}",
        "REFIT_BUCKET": BUCKET,
    }
    command = [sys.executable, "-m", "infra.s3.server", "--port", str(port)]
    server = subprocess.Popen(
        [*command, "--state", str(tmp_path_factory.mktemp("s3"))],
        cwd=REPOSITORY,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait(address, server)
        iam = _client("iam", address, "anybody", "anything")
        keys = {role: _key(iam, role, SHOP) for role in ROLES}
        at_work = {role: _key(iam, role, WORKING) for role in ROLES}
        keys[STRANGER] = {"AWS_ACCESS_KEY_ID": "AKIAUNKNOWN000000000", "AWS_SECRET_ACCESS_KEY": "x"}
        owner = _client("s3", address, "anybody", "anything")
        for key in PLACES.values():
            owner.put_object(Bucket=BUCKET, Key=key, Body=b"there")
        httpx.post(f"{address}/moto-api/reset-auth", content=b"0", trust_env=False).raise_for_status()
        clients = {role: _client("s3", address, *key.values()) for role, key in keys.items()}
        workers = {role: _client("s3", address, *key.values()) for role, key in at_work.items()}
        yield Bucket(clients, workers)
    finally:
        server.kill()
        server.wait()


def _wait(address: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx.get(address + S3_HEALTH, trust_env=False).raise_for_status()
            return
        except httpx.HTTPError:
            assert server.poll() is None, "the S3 server ended"
            assert time.monotonic() < deadline, "the S3 server did not start"
            time.sleep(0.1)


def _client(service: str, address: str, key: str, secret: str) -> Any:
    return boto3.session.Session().client(
        service,
        endpoint_url=address,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
    )


def _key(iam: Any, role: str, shop: str) -> dict[str, str]:
    name = f"{shop}-{role}"
    iam.create_user(UserName=name)
    policy = json.dumps(role_policy(role, bucket=BUCKET, shop=shop))
    iam.put_user_policy(UserName=name, PolicyName=role, PolicyDocument=policy)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": made["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"]}


def _may(call: Callable[..., Any], **what: Any) -> bool:
    try:
        call(Bucket=BUCKET, **what)
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"AccessDenied", "InvalidAccessKeyId"}:
            raise
        return False
    return True


def test_every_role_may_do_what_is_declared_and_nothing_else(bucket: Bucket) -> None:
    """Reading, writing and deleting in every place, and listing; in each place deleting comes last."""
    assert set(DECLARED) == {*ROLES, STRANGER}
    roles = [*ROLES, STRANGER]
    found: dict[str, dict[str, bool]] = {}
    wrong = []
    for place, key in PLACES.items():
        for letter, verb in (("r", "read"), ("w", "write"), ("d", "delete")):
            action = f"{verb} {place}"
            found[action] = {}
            for role in roles:
                client = bucket.clients[role]
                calls: dict[str, Callable[[], bool]] = {
                    "r": lambda client=client, key=key: _may(client.get_object, Key=key),
                    "w": lambda client=client, key=key: _may(client.put_object, Key=key, Body=b"there"),
                    "d": lambda client=client, key=key: _may(client.delete_object, Key=key),
                }
                found[action][role] = calls[letter]()
                if found[action][role] != (letter in DECLARED[role].get(place, "")):
                    wrong.append((role, action, found[action][role]))
    found["list"] = {role: _may(bucket.clients[role].list_objects_v2) for role in roles}
    wrong += [(role, "list", may) for role, may in found["list"].items() if may != (role in LISTING)]
    show("on S3", roles, found)
    assert wrong == []


@pytest.mark.parametrize("role", [*ROLES, STRANGER])
def test_no_role_may_change_the_bucket_itself(bucket: Bucket, role: str) -> None:
    """Whoever could change the policy, the versions or the lifecycle could take every other rule away."""
    client = bucket.clients[role]
    let = [
        name
        for name, call, what in (
            ("policy", client.put_bucket_policy, {"Policy": "{}"}),
            ("no policy", client.delete_bucket_policy, {}),
            ("lifecycle", client.put_bucket_lifecycle_configuration, {"LifecycleConfiguration": {"Rules": []}}),
            ("versioning", client.put_bucket_versioning, {"VersioningConfiguration": {"Status": "Suspended"}}),
            ("encryption", client.delete_bucket_encryption, {}),
            ("public access", client.delete_public_access_block, {}),
            ("the bucket", client.delete_bucket, {}),
            ("an older version", client.delete_object, {"Key": PLACES["audit/"], "VersionId": "null"}),
        )
        if _may(call, **what)
    ]
    assert let == []


def test_each_role_suffices_for_its_steps(bucket: Bucket) -> None:
    """Publish twice, read, record, point back, collect, verify: by the code that does it, each with its own key."""
    first, done = go_live(bucket.store("publisher"), CREATED, [["ann"], ["bob"]])
    assert done.live.outcome == "published"
    second, done = go_live(bucket.store("publisher"), CREATED + timedelta(hours=1), [["ann"], ["eve"]])
    assert done.live.outcome == "published"
    assert write_symlinks(bucket.store("publisher"))
    assert read_live_batch(bucket.store("reader"))["user_id"].to_pylist() == ["ann", "eve"]

    log = AuditLog(bucket.store("promoter"))
    assert log.newest() is None
    adopted = {"version": 3, "challenger": "", "model_id": "m", "digest": "ab", "cutoff": AS_OF}
    log.append(None, "adoption", at=AS_OF, by="dana", reason="moved by hand", facts=adopted)
    back = point_back(bucket.store("promoter"), batch=first, logical_run="r", reason="worse", by="dana", at=AS_OF)
    assert back.live.batch == first
    assert write_symlinks(bucket.store("promoter"))
    assert read_live_batch(bucket.store("reader"))["user_id"].to_pylist() == ["ann", "bob"]
    assert len(AuditLog(bucket.store("auditor")).verified()) == 1
    assert len(AuditLog(bucket.store("publisher")).verified()) == 1

    loose, _ = score(bucket.store("publisher"), "20260105T033000Z-0123456789ab", [["max"]])
    begun = bucket.workers["publisher"].create_multipart_upload(Bucket=BUCKET, Key=f"{WORKING}/{loose}/part-9.parquet")
    collected = tidy(bucket.store("collector"), Retention(keep=2, days=14), datetime.now(UTC))
    assert begun["UploadId"]
    assert (collected.batches_deleted, collected.uploads_aborted) == (1, 1)
    assert read_live_batch(bucket.store("reader"))["user_id"].to_pylist() == ["ann", "bob"]
    kept = bucket.store("publisher").keys("batches/")
    assert {name for name in (first, second) if any(name in key for key in kept)} == {first, second}


def test_what_a_role_may_not_do_ends_in_a_sentence_and_changes_nothing(bucket: Bucket) -> None:
    """A step that runs with the key of another role says which place it could not use, and is not tried again."""
    bucket.store("promoter").create("audit/000098.json", b"{}")
    attempts: list[tuple[str, str, Callable[[S3ObjectStore], object]]] = [
        ("reader", "write", lambda store: store.create("batches/run_date=2026-01-05/batch=x/part-0.parquet", b"x")),
        ("publisher", "write", lambda store: store.create("audit/000099.json", b"{}")),
        ("promoter", "delete", lambda store: store.delete("audit/000098.json")),
        ("reader", "read", lambda store: store.get("audit/000098.json")),
        ("reader", "list", lambda store: store.keys("batches/")),
    ]
    for role, verb, act in attempts:
        with pytest.raises(NotAllowedError, match=rf"may not {verb} s3://{BUCKET}/{WORKING}/\S+ \(AccessDenied\)"):
            act(bucket.store(role))
    assert bucket.store("promoter").get("audit/000099.json") is None
    assert bucket.store("promoter").get("audit/000098.json") is not None
