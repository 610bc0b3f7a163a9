"""A decision in MLflow and a rollback on the running stack: noticed, promoted, answered once, and taken back."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from support.small_shop import Shop

from infra.airflow.api import AirflowApi
from infra.errors import AirflowError
from refit.adapters.s3 import S3ObjectStore
from refit.publication import read_manifest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]
_SECONDS = 900.0
NOTICED = timedelta(seconds=30)


@pytest.fixture(autouse=True)
def _credentials(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in shop.stack.environment.items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)


def maker_of_live(shop: Shop) -> int:
    """Return the version of the champion that made what readers see."""
    manifest = read_manifest(S3ObjectStore.connect("s3://refit/small", endpoint=shop.stack.s3))
    return int(manifest["model"]["version"])


def champion(shop: Shop) -> dict[str, Any]:
    """Return what the audit log says, all of it checked."""
    done = shop.step("read_audit", "last=0")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def wait_until(what: str, condition: Any, seconds: float = _SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.5)


def test_a_decision_in_mlflow_is_noticed_and_promotes_and_a_second_answer_is_refused(shop: Shop) -> None:
    """
    The approver sets one tag; within 30 seconds a run carries it out, while the question in Airflow is still open.

    A no in Airflow then changes nothing, and says who has answered before.
    """
    before = champion(shop)
    # The same model again is no news, and nobody would be asked.
    written = shop.settings.read_text(encoding="utf-8")
    shop.settings.write_text(written.replace("iterations = 5\nseed = 1", "iterations = 6\nseed = 2"), encoding="utf-8")
    run_id = shop.api.trigger("retrain", {"force": True, "reason": "to be decided in MLflow"})
    question = shop.api.wait_question("retrain", run_id, seconds=_SECONDS)
    assert question is not None, shop.api.task_states("retrain", run_id)
    version = shop.api.xcom("retrain", run_id, "register_model")["version"]
    digest = shop.api.xcom("retrain", run_id, "refit_model")["digest"]
    assert f"`decision-{version}`" in question["body"]
    assert f"`approve {digest[:16]} YOUR NAME: YOUR REASON`" in question["body"]
    known = {run["dag_run_id"] for run in shop.api.runs("answers")}
    set_at = datetime.now(UTC)
    httpx.post(
        f"{shop.stack.mlflow}/api/2.0/mlflow/registered-models/set-tag",
        json={"name": "small", "key": f"decision-{version}", "value": f"approve {digest[:16]} ana: fresh and no worse"},
        auth=("approver", shop.stack.credentials.mlflow_approver_password),
        trust_env=False,
    ).raise_for_status()

    wait_until("a run of answers", lambda: {run["dag_run_id"] for run in shop.api.runs("answers")} - known, 60)
    (answering,) = [run for run in shop.api.runs("answers") if run["dag_run_id"] not in known]
    assert shop.api.wait("answers", answering["dag_run_id"], seconds=_SECONDS) == "success"
    noticed = datetime.fromisoformat(answering["run_after"]) - set_at
    sys.stdout.write(f"\na decision in MLflow was noticed after {noticed.total_seconds():.1f} s\n")
    assert noticed <= NOTICED, noticed
    after = champion(shop)
    assert after["champion"] == (before["champion"] or 0) + 1
    promotion = after["records"][-1]
    assert (promotion["kind"], promotion["by"], promotion["source"]) == ("promotion", "ana", "mlflow")
    assert promotion["reason"] == "fresh and no worse"

    password = shop.stack.credentials.airflow_approver_password
    with AirflowApi(shop.stack.airflow, "approver", password) as approver:
        approver.answer("retrain", run_id, "approve", "Reject", {"reason": "I would rather not"})
    assert shop.api.wait("retrain", run_id, seconds=_SECONDS) == "failed"
    said = shop.api.log("retrain", run_id, "promote_model")
    assert f"challenger version {version} was already approved by ana in MLflow at " in said
    last = champion(shop)
    assert (last["champion"], last["records"][-1]["kind"]) == (after["champion"], "refusal")


def test_model_and_lists_are_rolled_back_by_one_run(shop: Shop) -> None:
    """Readers see the lists of the champion before, and the new lists that follow are by it too."""
    now = champion(shop)["champion"]
    wait_until("lists by the new champion", lambda: maker_of_live(shop) == now)
    known = {run["dag_run_id"] for run in shop.api.runs("recommend")}
    run_id = shop.api.trigger("rollback", {"reason": "a drill"})
    assert shop.api.wait("rollback", run_id, seconds=_SECONDS) == "success"
    receipt = shop.api.xcom("rollback", run_id, "rollback")
    assert (receipt["champion"], receipt["rolled_back_from"]) == (now - 1, now)
    assert maker_of_live(shop) == now - 1
    record = champion(shop)["records"][-1]
    assert (record["kind"], record["by"], record["reason"]) == ("rollback", "admin", "a drill")
    wait_until("lists made anew", lambda: {run["dag_run_id"] for run in shop.api.runs("recommend")} - known)
    following = shop.api.runs("recommend")[0]["dag_run_id"]
    assert following not in known
    assert shop.api.wait("recommend", following, seconds=_SECONDS) == "success"
    assert maker_of_live(shop) == now - 1


def test_a_rollback_without_a_reason_never_starts(shop: Shop) -> None:
    """By the form of Airflow as by hand."""
    with pytest.raises(AirflowError, match="400"):
        shop.api.trigger("rollback", {"reason": ""})
    done = shop.step("rollback", "reason=", "requested_by=ana")
    assert done.returncode == 2
    assert "a rollback is recorded: give reason=... and requested_by=..." in done.stderr
