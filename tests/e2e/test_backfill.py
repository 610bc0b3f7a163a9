"""
Days of the past, filled in by Airflow's own command beside live runs.

The lists of a past day are what could be known at its end; the champion and the live lists are nobody's business but
that of live runs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.small_shop import ROOT, Shop

import refit
from infra.airflow.api import FINISHED, AirflowApi
from infra.mlflow.users import TRAINER
from pipelines.addresses import LAKE_CATALOG, Addresses
from refit.adapters.folder import FolderObjectStore
from refit.adapters.s3 import S3ObjectStore
from refit.lake.lake import Lake
from refit.publication import LIVE, date_pointer, read_manifest

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]
_SECONDS = 900.0
_TRIES = 10
LISTS = "s3://refit/small"
_PLACES = Addresses("small", "", "")


@pytest.fixture(autouse=True)
def _credentials(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in shop.stack.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)


@pytest.fixture
def days(shop: Shop) -> tuple[date, date]:
    """Give two days of the past that the champion may serve: its training ended a week ago."""
    return shop.yesterday - timedelta(days=4), shop.yesterday - timedelta(days=3)


@pytest.fixture(autouse=True)
def _live(shop: Shop, _credentials: None) -> Iterator[None]:
    """Begin and end with live lists of everything that is landed, and with nothing under way."""
    if _lists(shop).get(LIVE) is None:
        _begin(shop)
    _settle(shop)
    yield
    _settle(shop)


def test_landing_past_days_again_changes_neither_them_nor_what_is_live(shop: Shop, days: tuple[date, date]) -> None:
    """Each landing tells `recommend`, which finds its live lists to be made from just these data already."""
    lake, live, champion = _lake(shop), _lists(shop).get(LIVE), _champion(shop)
    before = _digests(lake, days)
    runs = _backfill(shop, "ingest", days)
    receipts = [shop.api.xcom("ingest", run, "land_interactions") for run in runs]
    assert [receipt["since"][:10] for receipt in receipts] == [str(day) for day in days]
    _settle(shop)
    assert _digests(lake, days) == before
    assert _champion(shop) == champion
    assert _lists(shop).get(LIVE) == live
    told = next(run for run in shop.api.runs("recommend") if run["run_type"] == "asset_triggered")
    assert shop.api.task_states("recommend", told["dag_run_id"])["publish_recommendations"] == "skipped"
    assert "made from" in shop.api.log("recommend", told["dag_run_id"], "score_users")


def test_past_lists_beside_a_live_run_and_again_after_the_future_has_changed(
    shop: Shop, days: tuple[date, date]
) -> None:
    """
    Twice the same lists for a past day, although a later day was planted in between that changes the live ones.

    Live runs and backfills go on at the same time; the ones move `live.json`, the others the pointers of their dates.
    """
    champion = _champion(shop)
    by_hand = shop.api.trigger("recommend")
    first = _published(shop, _backfill(shop, "recommend", days))
    assert shop.api.wait("recommend", by_hand, seconds=_SECONDS) == "success"
    live = _receipt(shop, by_hand)
    assert live["outcomes"] == {"live": "published", "date": "published"}
    for day, receipt in zip(days, first, strict=True):
        as_of = day + timedelta(days=1)
        assert receipt["outcomes"]["date"] == "published"
        assert receipt["outcomes"]["live"] != "published"
        manifest = read_manifest(_lists(shop), as_of)
        assert (manifest["run_date"], manifest["content_sha256"]) == (str(as_of), receipt["content_sha256"])
        assert manifest["made_from"]["newest_day"] == str(day)
        assert refit.read_live(LISTS, endpoint=shop.stack.s3, run_date=as_of).num_rows == receipt["people"]
    assert first[0]["content_sha256"] != first[1]["content_sha256"]

    _plant_a_craze(Path(shop.stack.own_environment["REFIT_DATA"]), shop.yesterday)
    landed = shop.api.trigger(
        "ingest", {"since": str(shop.yesterday), "until": str(shop.yesterday + timedelta(days=1))}
    )
    assert shop.api.wait("ingest", landed, seconds=_SECONDS) == "success"
    again = _published(shop, _backfill(shop, "recommend", days))
    _settle(shop)
    assert read_manifest(_lists(shop))["content_sha256"] != live["content_sha256"], "what was planted changes lists"
    assert [receipt["content_sha256"] for receipt in again] == [receipt["content_sha256"] for receipt in first]
    assert [receipt["outcomes"]["date"] for receipt in again] == ["published", "published"]
    moved_by = {move["logical_run"] for move in _pointer(shop, LIVE)["history"]}
    assert not any("backfill__" in run for run in moved_by)
    assert _champion(shop) == champion


def test_clearing_a_publication_publishes_nothing_twice(shop: Shop, days: tuple[date, date]) -> None:
    """It finds its run in the history of the pointer; new lists come from clearing `score_users`."""
    key = date_pointer(str(days[0] + timedelta(days=1)))
    run = next(run["dag_run_id"] for run in shop.api.runs("recommend") if run["logical_date"] == f"{days[0]}T00:00:00Z")
    before = [_lists(shop).get(name) for name in (key, LIVE)]
    shop.api.clear("recommend", run, ["publish_recommendations"])
    assert shop.api.wait("recommend", run, seconds=_SECONDS) == "success"
    assert [_lists(shop).get(name) for name in (key, LIVE)] == before
    assert _receipt(shop, run)["outcomes"]["date"] == "published"


def test_retraining_as_of_the_past_is_an_experiment_that_nobody_is_asked_about(shop: Shop) -> None:
    """It reads nothing at or after its day, says early what it is, and leaves a challenger with its dossier behind."""
    champion, as_of = _champion(shop), shop.yesterday - timedelta(days=10)
    conf = {"as_of": str(as_of), "force": True, "reason": "what would have come out"}
    run = shop.api.trigger("retrain", conf)
    assert shop.api.wait("retrain", run, seconds=_SECONDS) == "success"
    states = shop.api.task_states("retrain", run)
    assert (states["register_model"], states["approve"], states["promote_model"]) == ("success", "skipped", "skipped")
    assert "an experiment on the past" in shop.api.log("retrain", run, "check_drift")
    built = shop.api.xcom("retrain", run, "build_training_set")
    assert built["as_of"][:10] == str(as_of)
    manifest = _lake(shop).store.get(f"{_PLACES.training_set(built['training_set'])}/manifest.json")
    assert manifest is not None
    used = [day["day"] for day in json.loads(manifest.content)["used"]]
    assert max(used) == str(as_of - timedelta(days=1))
    reasons = shop.api.xcom("retrain", run, "evaluate_model")["reasons"]
    assert reasons[0].startswith("an experiment on the past")
    assert _champion(shop) == champion


def test_no_two_spark_jobs_ever_ran_at_the_same_time(shop: Shop) -> None:
    """The stack runs two tasks at a time; the pool has one slot, for backfills too."""
    assert shop.api.pools()["spark"] == 1
    spans = []
    for dag in ("ingest", "recommend", "retrain", "watch"):
        for run in shop.api.runs(dag):
            for task in shop.api.task_instances(dag, run["dag_run_id"]):
                if task["pool"] == "spark" and task["start_date"] and task["end_date"]:
                    spans.append((task["start_date"], task["end_date"], f"{dag}.{task['task_id']}"))
    spans.sort()
    assert len(spans) > 10
    overlaps = [(one, two) for one, two in pairwise(spans) if two[0] < one[1]]
    assert overlaps == []


# --- the past ---------------------------------------------------------------------------------------


def _backfill(shop: Shop, dag_id: str, days: tuple[date, date]) -> list[str]:
    """Fill in *days* by Airflow's own command, and return the runs, oldest first, once all are done well."""
    words = ["--dag-id", dag_id, "--from-date", str(days[0]), "--to-date", str(days[1])]
    for _ in range(_TRIES):
        _wait(lambda: all(found["completed_at"] for found in shop.api.backfills(dag_id)), "the last backfill is closed")
        known = {found["id"] for found in shop.api.backfills(dag_id)}
        done = subprocess.run(
            [sys.executable, "-m", "airflow", "backfill", "create", *words, "--reprocess-behavior", "completed"],
            cwd=ROOT,
            env={**os.environ, **shop.stack.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        # SQLite refuses it now and then because Airflow itself writes; asking again is the answer.
        if "database is locked" not in done.stderr:
            break
    assert done.returncode == 0, done.stdout + done.stderr
    assert {found["id"] for found in shop.api.backfills(dag_id)} != known

    def runs() -> list[dict[str, Any]]:
        wanted = {f"{day}T00:00:00Z" for day in days}
        return [run for run in shop.api.runs(dag_id) if run["logical_date"] in wanted]

    _wait(lambda: len(found := runs()) == len(days) and all(run["state"] in FINISHED for run in found), dag_id)
    ended = sorted(runs(), key=lambda run: str(run["logical_date"]))
    assert [(run["state"], run["run_type"]) for run in ended] == [("success", "backfill")] * len(days)
    return [str(run["dag_run_id"]) for run in ended]


def _plant_a_craze(data: Path, day: date) -> None:
    """Let every tenth customer of *day* buy the same item, and nothing else than before."""
    files = next((data / "events" / f"day={day}").glob("part-*.parquet"))
    rows = pq.ParquetFile(files).read()
    crowd = pa.array(sorted(set(rows["customer"].to_pylist()))[::10])
    like = rows.slice(0, 1)
    craze = pa.concat_tables([like] * len(crowd))
    for name, values in {"customer": crowd, "action": pa.array(["purchase"] * len(crowd))}.items():
        craze = craze.set_column(craze.schema.get_field_index(name), name, values)
    pq.write_table(craze, files.with_name("part-craze.parquet"))


# --- what is there ----------------------------------------------------------------------------------


def _lists(shop: Shop) -> S3ObjectStore:
    return S3ObjectStore.connect(LISTS, endpoint=shop.stack.s3)


def _lake(shop: Shop) -> Lake:
    root = f"{shop.stack.own_environment['REFIT_LAKE']}/small"
    return Lake(root=root, catalog=LAKE_CATALOG, store=FolderObjectStore(Path(root)))


def _digests(lake: Lake, days: tuple[date, date]) -> list[str]:
    first, end = (datetime.combine(day, time(), tzinfo=UTC) for day in (days[0], days[1] + timedelta(days=1)))
    return [landed.digest for landed in lake.days("interactions", first, end)]


def _champion(shop: Shop) -> str:
    answer = httpx.get(
        f"{shop.stack.mlflow}/api/2.0/mlflow/registered-models/alias",
        params={"name": "small", "alias": "champion"},
        auth=(TRAINER, shop.stack.credentials.mlflow_trainer_password),
        trust_env=False,
    )
    answer.raise_for_status()
    return str(answer.json()["model_version"]["version"])


def _pointer(shop: Shop, key: str) -> dict[str, Any]:
    stored = _lists(shop).get(key)
    assert stored is not None, key
    found: dict[str, Any] = json.loads(stored.content)
    return found


def _published(shop: Shop, runs: list[str]) -> list[dict[str, Any]]:
    return [_receipt(shop, run) for run in runs]


def _receipt(shop: Shop, run: str) -> dict[str, Any]:
    return dict(shop.api.xcom("recommend", run, "publish_recommendations"))


# --- waiting ----------------------------------------------------------------------------------------


def _begin(shop: Shop) -> None:
    """Land the history and promote a first champion, as the story of the loop has done where it was told."""
    end = shop.yesterday + timedelta(days=1)
    run = shop.api.trigger("ingest", {"since": str(shop.first), "until": str(end)})
    assert shop.api.wait("ingest", run, seconds=_SECONDS) == "success"
    run = shop.api.trigger("retrain", {"as_of": str(end - timedelta(days=7))})
    assert shop.api.wait_question("retrain", run, seconds=_SECONDS), shop.api.task_states("retrain", run)
    with AirflowApi(shop.stack.airflow, "approver", shop.stack.credentials.airflow_approver_password) as approver:
        approver.answer("retrain", run, "approve", "Approve", {"reason": "the first one"})
    assert shop.api.wait("retrain", run, seconds=_SECONDS) == "success"
    assert shop.api.active_run("recommend", seconds=30)
    _settle(shop)


def _settle(shop: Shop) -> None:
    """Wait until nothing runs that an event has started; a run that is still to come starts within a second or two."""
    for _ in range(2):
        for dag in ("ingest", "recommend", "watch"):
            while run := shop.api.active_run(dag, seconds=2):
                assert shop.api.wait(dag, run, seconds=_SECONDS) == "success", (dag, run)


def _wait(condition: Any, what: str) -> None:
    deadline = monotonic() + _SECONDS
    while not condition():
        assert monotonic() < deadline, f"waited {_SECONDS:.0f} s: {what}"
        sleep(0.5)
