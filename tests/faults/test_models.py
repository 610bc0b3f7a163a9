"""MLflow that is down whenever it is asked, and models that are deleted, moved or changed behind an approval."""

from __future__ import annotations

from datetime import UTC, datetime

import boto3
import pytest
from mlflow import MlflowClient
from support.fault_shop import FaultShop, approval, scoring
from support.injection import Faults, MlflowServer, Table

from refit.adapters.mlflow import MlflowRegistry, MlflowTracker
from refit.governance.audit_log import AuditLog
from refit.publication import read_manifest

pytestmark = pytest.mark.timeout(1800)
EVIDENCE = {
    *("digest", "cutoff", "training_set", "evaluation_run", "dossier", "verdict", "reasons", "judged_against"),
    *("registered_at", "code", "requested_by"),
}


@pytest.fixture
def client(mlflow_server: MlflowServer) -> MlflowClient:
    """Give somebody who works in MLflow by hand."""
    return MlflowClient(tracking_uri=mlflow_server.address, registry_uri=mlflow_server.address)


def test_an_mlflow_that_is_killed_ends_every_step_that_needs_it(
    live: FaultShop, mlflow_server: MlflowServer, faults: Table
) -> None:
    """Training, registering, promoting and scoring say so; publishing does not notice."""
    batch = live.score(4, "without MLflow")["batch"]
    before = live.pointer()
    assert before is not None
    mlflow_server.kill()
    try:
        for step, words in (
            ("train_model", live.words("train_model")),
            ("register_model", live.words("register_model")),
            ("promote_model", live.words("promote_model")),
            ("score_users", scoring(4, "too early", 1)),
        ):
            ended = live.end(step, words)
            assert ended.code == 1, ended.log[-3000:]
            assert ended.said.startswith(f"{step}: MLflow at http://127.0.0.1:")
            assert ended.said.endswith("is it up?")
        assert live.pointer() == before
        receipt = live.do("publish_recommendations", {"batch": batch})
        assert receipt["outcomes"] == {"live": "published", "date": "published"}
    finally:
        mlflow_server.start()
    trained = live.do("train_model", live.words("train_model"))
    assert trained["digest"] == live.receipts["train_model"]["digest"]
    assert live.do("register_model", live.words("register_model"))["version"] == 1
    assert live.do("promote_model", live.words("promote_model"))["champion"] == 1
    faults.add("MLflow killed -9", "train, register, promote, score", "exit 1, says so; restarted: all go on")
    faults.add("MLflow killed -9", "publish_recommendations", "published: it asks nothing of MLflow")


def second_challenger(shop: FaultShop, client: MlflowClient, address: str) -> dict[str, object]:
    """Register the champion's files as another challenger, with evidence, and return what promotes it."""
    tracker = MlflowTracker(address, f"refit-{shop.name}", f"s3://refit/mlflow/{shop.name}")
    registry = MlflowRegistry(address, f"{shop.name}-challengers", shop.name)
    first = registry.challenger(1)
    model_id = tracker.log_model(first.run_id, tracker.model_files(first.model_id), params={})
    tags = {**first.tags, "judged_against": "1", "registered_at": datetime.now(UTC).isoformat(timespec="seconds")}
    tags = {key: value for key, value in tags.items() if key in EVIDENCE}
    made = registry.register(model_id=model_id, run_id=first.run_id, tags=tags)
    return {"version": made.version, "digest": made.digest, "answer": approval()}


def test_an_mlflow_that_goes_down_during_a_promotion_leaves_no_half_of_it(
    live: FaultShop, mlflow: Faults, mlflow_server: MlflowServer, client: MlflowClient, faults: Table
) -> None:
    """It goes down later and later; in the end there is one approval, one promotion, and the alias has followed."""
    words = second_challenger(live, client, mlflow_server.address)
    log = AuditLog(live.lists)
    known = len(log.verified())
    moments = (1, 7, 12)
    for number in moments:
        mlflow.heal()
        mlflow.rule = lambda seen, *_, first=number: "no answer before" if seen >= first else ""
        ended = live.end("promote_model", words)
        assert ended.code == 1, ended.log[-3000:]
        assert "is it up?" in ended.said
    mlflow.heal()
    receipt = live.do("promote_model", words)
    assert (receipt["champion"], receipt["previous"]) == (2, 1)
    assert [record.kind for record in log.verified()[known:]] == ["approval", "promotion"]
    assert client.get_model_version_by_alias(live.name, "champion").version == "2"
    told = ", ".join(map(str, moments))
    faults.add("MLflow down during promote_model", f"from request {told} on", "run again: one approval, one promotion")


def refused(shop: FaultShop, s3: Faults, sentence: str) -> None:
    """Scoring refuses with one sentence, before a JVM is started or anything is written."""
    s3.begin()
    ended = shop.start("score_users", scoring(4, "refused", 2)).without_jvm()
    assert ended.code == 2, ended.log[-3000:]
    assert sentence in ended.said
    assert [path for method, path, _ in s3.requests if method == "PUT"] == []


def test_an_alias_that_is_moved_by_hand_stops_the_next_batch(
    live: FaultShop, s3: Faults, client: MlflowClient, faults: Table
) -> None:
    """Both versions are named, and `adopt` puts it back."""
    client.set_registered_model_alias(live.name, "champion", "1")
    refused(live, s3, "the alias champion names version 1, the audit log version 2")
    live.do("adopt", {"version": 2, "reason": "it was moved by mistake", "requested_by": "lee"})
    assert client.get_model_version_by_alias(live.name, "champion").version == "2"
    faults.add("alias moved by hand", "before a batch", "exit 2 before the first file, names both; adopt mends it")


def test_an_alias_that_moves_during_a_batch_does_not_change_it(
    live: FaultShop, s3: Faults, client: MlflowClient, faults: Table
) -> None:
    """The version that was resolved at the start makes all of it; the next batch is refused."""
    running = live.start("score_users", scoring(4, "alias moves", 3))
    assert running.seen(running.jvm)
    client.set_registered_model_alias(live.name, "champion", "1")
    ended = running.wait()
    assert ended.code == 0, ended.log[-3000:]
    assert ended.receipt["champion"] == 2
    live.do("publish_recommendations", {"batch": ended.receipt["batch"]})
    assert read_manifest(live.lists)["model"]["version"] == 2
    refused(live, s3, "the alias champion names version 1, the audit log version 2")
    live.do("adopt", {"version": 2, "reason": "it was moved by mistake", "requested_by": "lee"})
    faults.add("alias moved by hand", "during a batch", "the batch is whole and by one version; the next is refused")


def test_files_that_are_changed_behind_an_approved_version_make_no_lists(
    live: FaultShop, s3: Faults, client: MlflowClient, faults: Table
) -> None:
    """One byte of the factors, on S3, where a trainer may write."""
    store = boto3.session.Session().client("s3", endpoint_url=live.servers["MLFLOW_S3_ENDPOINT_URL"])
    model_id = client.get_model_version_by_alias(live.name, "champion").tags["model_id"]
    listed = store.list_objects_v2(Bucket="refit", Prefix=f"mlflow/{live.name}")["Contents"]
    key = next(one["Key"] for one in listed if model_id in one["Key"] and one["Key"].endswith("profile.json"))
    content = store.get_object(Bucket="refit", Key=key)["Body"].read()
    store.put_object(Bucket="refit", Key=key, Body=content + b" ")
    refused(live, s3, "it was judged with")
    store.put_object(Bucket="refit", Key=key, Body=content)
    faults.add(
        "model bytes changed on S3", "one byte of an approved version", "exit 2 before the first file, both digests"
    )


def test_an_approved_version_that_is_deleted_makes_no_lists(
    live: FaultShop, s3: Faults, client: MlflowClient, faults: Table
) -> None:
    """MLflow deletes the alias with it; a rollback to the champion before is the way out."""
    before = live.pointer()
    client.delete_model_version(live.name, "2")
    refused(live, s3, "champion version 2, champion since ")
    assert live.pointer() == before
    words = {"reason": "version 2 was deleted", "requested_by": "lee", "to": 1}
    assert live.do("rollback", words)["champion"] == 1
    assert live.score(4, "after the rollback", 4)["champion"] == 1
    faults.add("approved version deleted", "before a batch", "exit 2 before the first file; rollback mends it")
