"""The loop on real Airflow, Spark, MLflow and S3: one good day, one rejection, one quiet day, one restart."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import boto3
import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest
from support.small_shop import CANARY, SILENT, Shop

import refit
from infra.airflow.api import AirflowApi
from infra.errors import AirflowError
from infra.stack.control import down, up
from infra.stack.settings import read_stack_settings
from refit.adapters.s3 import S3ObjectStore
from refit.lake.pseudonyms import PseudonymKey
from refit.publication import read_manifest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]
_SECONDS = 900.0


def _lists(shop: Shop) -> S3ObjectStore:
    return S3ObjectStore.connect("s3://refit/small", endpoint=shop.stack.s3)


@pytest.fixture(autouse=True)
def _credentials(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in shop.stack.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)


def test_the_scheduled_run_lands_yesterday(shop: Shop) -> None:
    """Nobody triggers it: the timetable does, with yesterday as its data interval."""
    runs = [run for run in shop.api.runs("ingest") if run["run_type"] == "scheduled"]
    assert len(runs) == 1
    run_id = runs[0]["dag_run_id"]
    assert shop.api.wait("ingest", run_id, seconds=_SECONDS) == "success"
    receipt = shop.api.xcom("ingest", run_id, "land_interactions")
    assert receipt["since"][:10] == str(shop.yesterday)
    assert receipt["rows"] > 0


def test_a_history_is_landed_in_one_interval(shop: Shop) -> None:
    """By hand, with parameters; every event of a consenting person before the end is in."""
    run_id = shop.api.trigger("ingest", {"since": str(shop.first), "until": str(shop.yesterday)})
    assert shop.api.wait("ingest", run_id, seconds=_SECONDS) == "success"
    receipt = shop.api.xcom("ingest", run_id, "land_interactions")
    events = pd.read_parquet(f"{shop.stack.own_environment['REFIT_DATA']}/events")
    people = pd.read_parquet(f"{shop.stack.own_environment['REFIT_DATA']}/customers")
    before = events[events["happened_at"] < pd.Timestamp(shop.yesterday, tz=events["happened_at"].dt.tz)]
    consenting = before["customer"].isin(people.loc[people["consent"], "customer"])
    assert receipt["rows"] == int(consenting.sum())
    assert receipt["withheld"] == int((~consenting).sum())


def test_parameters_are_checked_before_a_run_starts(shop: Shop) -> None:
    """A date that is none never reaches a step."""
    with pytest.raises(AirflowError, match="400"):
        shop.api.trigger("retrain", {"as_of": "tomorrow"})


def test_a_rejection_is_red_and_moves_nothing_and_asking_again_can_approve(shop: Shop) -> None:
    """The first answer is no: no champion. The question is cleared and answered yes: a champion."""
    # A champion serves no day that it has learnt from; this one leaves a week of the past to be served.
    run_id = shop.api.trigger("retrain", {"as_of": str(shop.yesterday - timedelta(days=6))})
    question = shop.api.wait_question("retrain", run_id, seconds=_SECONDS)
    assert question is not None, shop.api.task_states("retrain", run_id)
    assert "beats popularity" in question["body"]
    assert "dossier.html" in question["body"]
    assert "Offered is the judged model trained again on every day before" in question["body"]
    offered, judged = (shop.api.xcom("retrain", run_id, name) for name in ("refit_model", "train_model"))
    assert (offered["refitted"], offered["twin"]) == (True, judged["digest"])
    password = shop.stack.credentials.airflow_approver_password
    with AirflowApi(shop.stack.airflow, "approver", password) as approver:
        approver.answer("retrain", run_id, "approve", "Reject", {"reason": "not on a Friday"})
        assert shop.api.wait("retrain", run_id, seconds=_SECONDS) == "failed"
        said = shop.api.log("retrain", run_id, "promote_model")
        assert "rejected by approver (not on a Friday); there is still no champion" in said
        assert shop.api.task_instances("retrain", run_id)[0]["try_number"] == 1

        shop.api.clear("retrain", run_id, ["approve", "promote_model"])
        assert shop.api.wait_question("retrain", run_id, seconds=_SECONDS) is not None
        approver.answer("retrain", run_id, "approve", "Approve", {"reason": "Monday is fine"})
        assert shop.api.wait("retrain", run_id, seconds=_SECONDS) == "success"
    promoted = shop.api.xcom("retrain", run_id, "promote_model")
    assert promoted["champion"] == 1
    assert promoted["approved_by"] == "approver"
    assert (promoted["digest"], promoted["cutoff"][:10]) == (offered["digest"], str(shop.yesterday - timedelta(days=6)))
    metrics = shop.api.xcom("retrain", run_id, "evaluate_model")["metrics"]
    assert metrics["challenger"]["ndcg"] > 1.5 * metrics["popularity"]["ndcg"]


def test_a_new_champion_publishes_lists_for_everybody(shop: Shop) -> None:
    """The change of the champion starts the run; an ordinary client, pandas and DuckDB read what it made."""
    run_id = shop.api.active_run("recommend", seconds=30) or shop.api.runs("recommend")[0]["dag_run_id"]
    assert shop.api.wait("recommend", run_id, seconds=_SECONDS) == "success"
    assert shop.api.run("recommend", run_id)["run_type"] == "asset_triggered"

    client = boto3.session.Session().client("s3", endpoint_url=shop.stack.s3)
    live = json.load(client.get_object(Bucket="refit", Key="small/live.json")["Body"])
    manifest = json.load(client.get_object(Bucket="refit", Key=f"small/{live['manifest']}")["Body"])
    parts = [client.get_object(Bucket="refit", Key=f"small/{part['key']}")["Body"].read() for part in manifest["parts"]]
    frame = pd.concat([pd.read_parquet(io.BytesIO(part)) for part in parts])
    people = pd.read_parquet(f"{shop.stack.own_environment['REFIT_DATA']}/customers")
    assert len(frame) == frame["user_id"].nunique() == int(people["consent"].sum())
    assert set(frame["recommendations"].map(len)) == {10}
    assert not set(people["customer"]) & set(frame["user_id"]), "raw ids must not leave the warehouse"
    table = refit.read_live("s3://refit/small", endpoint=shop.stack.s3)
    query = "select count(distinct r.item_id) from (select unnest(recommendations) r from lists)"
    assert duckdb.from_arrow(table).query("lists", query).fetchall()[0][0] > 20


def test_without_drift_retraining_is_skipped_with_reasons(shop: Shop) -> None:
    """The same shop a moment later: nothing has moved, nothing is trained, nobody is asked."""
    run_id = shop.api.trigger("retrain")
    assert shop.api.wait("retrain", run_id, seconds=_SECONDS) == "success"
    drift = shop.api.xcom("retrain", run_id, "check_drift")
    assert drift["decision"] == "skip"
    assert any("fewer than the share" in reason for reason in drift["reasons"])
    assert shop.api.task_states("retrain", run_id)["train_model"] == "skipped"


def test_forcing_needs_a_reason(shop: Shop) -> None:
    """By hand as in Airflow: one sentence, exit code 2, nothing trained."""
    done = shop.step("check_drift", "force=true")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1] == (
        "check_drift: force=true needs a reason; say why in the parameter `reason`"
    )


def test_what_is_published_survives_down_and_up(shop: Shop) -> None:
    """A laptop that is closed in the evening serves the same lists in the morning."""
    before = read_manifest(_lists(shop))
    settings = read_stack_settings()
    assert down(settings)
    shop.stack = up(settings, say=lambda line: None)
    shop.api.close()
    shop.api = AirflowApi(shop.stack.airflow, "admin", shop.stack.credentials.airflow_admin_password)
    assert read_manifest(_lists(shop)) == before
    assert refit.read_live("s3://refit/small", endpoint=shop.stack.s3).num_rows == before["counts"]["people"]


def _holds(content: bytes, name: str, secrets: list[str]) -> bool:
    if name.endswith(".parquet"):
        table = pq.read_table(io.BytesIO(content))
        content = str([table.to_pylist(), table.schema.metadata]).encode()
    return any(secret.encode() in content for secret in secrets)


def test_a_planted_raw_id_is_found_nowhere_outside_the_warehouse(shop: Shop) -> None:
    """
    Not in the lake, the reports, any log, Airflow's database with its XComs, MLflow, or any object on S3.

    Of the person without consent not even the pseudonym is anywhere; that of the other one is where it belongs.
    """
    key = PseudonymKey(shop.stack.environment["REFIT_PSEUDONYM_KEY"].encode(), "k1")
    never = [CANARY, SILENT, key.pseudonym(SILENT)]
    client = boto3.session.Session().client("s3", endpoint_url=shop.stack.s3)
    found, objects, files, known = [], 0, 0, 0
    for page in client.get_paginator("list_objects_v2").paginate(Bucket="refit"):
        for entry in page["Contents"]:
            content = client.get_object(Bucket="refit", Key=entry["Key"])["Body"].read()
            objects += 1
            known += _holds(content, entry["Key"], [key.pseudonym(CANARY)])
            found += [entry["Key"]] if _holds(content, entry["Key"], never) else []
    for path in shop.stack.root.rglob("*"):
        if path.is_file() and path.stat().st_size:
            content = path.read_bytes()
            files += 1
            known += _holds(content, path.name, [key.pseudonym(CANARY)])
            found += [str(path)] if _holds(content, path.name, never) else []
    assert found == []
    assert objects > 10
    assert files > 100
    assert known >= 3, "the people's snapshot, the events and the lists hold the pseudonym"
