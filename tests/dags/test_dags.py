"""The timetables: house policy over the parsed files, and what each run does with the answers of its steps."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pendulum
import pytest

import pipelines.process
from pipelines.process import StepRefusedError

DAGS = Path(__file__).resolve().parents[2] / "dags"
FILES = sorted(path.stem for path in DAGS.glob("*.py"))


def test_every_file_parses_into_the_timetable_of_its_name(dagbag: Any) -> None:
    """A file that does not parse would silently keep its old schedule."""
    assert dagbag.import_errors == {}
    names = ["answers", "housekeeping", "ingest", "recommend", "retrain", "rollback", "watch"]
    assert sorted(dagbag.dag_ids) == FILES == names


@pytest.mark.parametrize("name", FILES)
def test_house_policy(dagbag: Any, name: str) -> None:
    """Owner, tags, retries that wait longer each time, time limits and a runbook are not optional."""
    dag = dagbag.dags[name]
    assert "refit" in dag.tags
    # A landing that waits for its day, up to eight hours, must not hold up one by hand.
    assert dag.max_active_runs == (2 if name == "ingest" else 1)
    assert dag.catchup is False
    assert all(words in dag.doc_md for words in ("**When.**", "**If this fails.**", "**Safe to re-run.**"))
    for task in dag.tasks:
        assert task.owner in {"data-engineering", "data-science"}
        assert task.retries >= 1
        assert task.retry_exponential_backoff
        assert task.retry_delay <= task.max_retry_delay <= timedelta(minutes=10)
        # A person may think longer than a step may run; the question has a time limit of its own.
        assert (task.execution_timeout is None) == (task.task_id == "approve")
    longest = sum((task.execution_timeout or task.response_timeout for task in dag.tasks), timedelta())
    assert dag.dagrun_timeout > longest, "the limit of a run would end tasks that are within their own"


@pytest.mark.parametrize("name", FILES)
def test_steps_that_start_spark_share_a_pool(dagbag: Any, name: str) -> None:
    """On a small machine the pool has one slot; a backfill ignores the limits of its timetable, but no pool."""
    for task in dagbag.dags[name].tasks:
        step = DAGS.parent / "pipelines" / f"{task.task_id}.py"
        starts_spark = step.is_file() and "wiring.spark" in step.read_text(encoding="utf-8")
        assert task.pool == ("spark" if starts_spark else "default_pool"), task.task_id


def test_every_parameter_is_explained_and_checked(dagbag: Any) -> None:
    """The trigger form shows the description; a value of another type is refused before a run starts."""
    for name in FILES:
        for key, param in dagbag.dags[name].params.items():
            shown = dagbag.dags[name].params.get_param(key)
            assert shown.description, (name, key, param)
            assert shown.schema.get("type"), (name, key)


@pytest.mark.parametrize("name", FILES)
def test_a_file_parses_without_anything_heavy(name: str) -> None:
    """The dag processor parses every few seconds; Spark or MLflow at module level would cost it a core."""
    code = (
        f"import sys; sys.path.insert(0, {str(DAGS)!r}); import {name}; "
        "heavy = {'pyspark', 'mlflow', 'great_expectations', 'evidently', 'boto3'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_retrain_goes_in_order_and_asks_before_it_promotes(dagbag: Any) -> None:
    """The order is the product: nothing is promoted that was not judged, registered and approved."""
    tasks = dagbag.dags["retrain"].task_dict
    upstream = {name: set(task.upstream_task_ids) for name, task in tasks.items()}
    assert upstream["worth_retraining"] == {"check_drift"}
    assert "worth_retraining" in upstream["build_training_set"]
    assert upstream["tune_model"] == {"build_training_set"}
    assert upstream["train_model"] == {"tune_model"}
    assert "train_model" in upstream["evaluate_model"]
    assert upstream["refit_model"] == {"train_model", "evaluate_model"}
    assert upstream["register_model"] == {"refit_model", "evaluate_model"}
    assert upstream["approve"] == {"worth_asking"}
    assert {"approve", "register_model", "refit_model"} <= upstream["promote_model"]


def test_no_answer_in_time_is_a_refusal(dagbag: Any) -> None:
    """A default answer that approved would make silence an approval."""
    approve = dagbag.dags["retrain"].task_dict["approve"]
    assert approve.defaults == ["Reject"]
    assert approve.response_timeout.total_seconds() == 72 * 3600


def test_scheduled_runs_stop_with_the_calendar_of_the_shop(dagbag: Any) -> None:
    """The simulated shop has a last day; a run after it would only fail."""
    ingest = dagbag.dags["ingest"]
    assert ingest.start_date == pendulum.datetime(2026, 1, 1, tz="UTC")
    assert ingest.end_date == pendulum.datetime(2026, 6, 29, tz="UTC")


class Steps:
    """Stands in for the steps' processes: answers with receipts, and remembers what it was asked."""

    def __init__(self, **receipts: dict[str, Any]) -> None:
        self.receipts = receipts
        self.asked: dict[str, dict[str, Any]] = {}

    def __call__(self, name: str, **values: Any) -> dict[str, Any]:
        self.asked[name] = values
        if name == "promote_model" and values["answer"]["chosen_options"] != ["Approve"]:
            raise StepRefusedError(f"rejected by {values['answer']['responded_by_user']['name']}")
        return self.receipts.get(name, {})


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Let every step succeed."""
    made = Steps(
        land_late_days={"landed": False, "days": []},
        check_drift={"retrain": True, "as_of": "2026-03-02T00:00:00+00:00"},
        build_training_set={"training_set": "d1"},
        tune_model={"training_set": "d1", "settings": "training_sets/d1/settings.json"},
        train_model={"training_set": "d1", "run_id": "r1", "model_id": "m-1", "digest": "d2", "settings": "s1.json"},
        evaluate_model={"proposed": True, "reasons": ["better"]},
        refit_model={"training_set": "d3", "run_id": "r2", "model_id": "m-2", "digest": "d4", "refitted": True},
        register_model={"version": 7, "proposed": True, "summary": "better by far"},
        promote_model={"champion": 3},
        score_users={"scored": True, "batch": "batches/1"},
    )
    monkeypatch.setattr(pipelines.process, "run_step", made)
    return made


def _run(dagbag: Any, name: str, day: int, **conf: Any) -> tuple[str, dict[str, str]]:
    run = dagbag.dags[name].test(logical_date=pendulum.datetime(2026, 3, day, tz="UTC"), run_conf=conf)
    return str(run.state), {task.task_id: str(task.state) for task in run.get_task_instances()}


def test_an_approved_challenger_is_promoted(
    dagbag: Any, airflow_db: None, steps: Steps, answer: Callable[[str, str], None]
) -> None:
    """The answer reaches the promotion with the person's name and reason, and with the digest that was offered."""
    answer("Approve", "looks right")
    state, _ = _run(dagbag, "retrain", 2, as_of="2026-03-02", force=True, reason="new season")
    assert state == "success"
    assert steps.asked["check_drift"]["as_of"] == "2026-03-02"
    assert (steps.asked["check_drift"]["force"], steps.asked["check_drift"]["reason"]) == ("True", "new season")
    asked = steps.asked["promote_model"]
    assert (asked["version"], asked["digest"]) == (7, "d4")
    assert steps.asked["refit_model"]["digest"] == "d2"
    registered = steps.asked["register_model"]
    assert (registered["model_id"], registered["training_set"]) == ("m-2", "d3")
    assert registered["refitted"] == steps.receipts["refit_model"]
    assert asked["answer"]["responded_by_user"]["name"] == "lee"
    assert steps.asked["register_model"]["requested_by"] == "dag_test"
    assert asked["answer"]["params_input"] == {"reason": "looks right"}


def test_a_rejected_challenger_makes_the_run_red(
    dagbag: Any, airflow_db: None, steps: Steps, answer: Callable[[str, str], None]
) -> None:
    """A run that promoted nothing although it was asked to must not look like one that did."""
    answer("Reject", "too narrow")
    state, tasks = _run(dagbag, "retrain", 3)
    assert state == "failed"
    assert tasks["promote_model"] == "failed"


def test_without_drift_nothing_is_trained(dagbag: Any, airflow_db: None, steps: Steps) -> None:
    """No drift is a result and not a failure."""
    steps.receipts["check_drift"] = {"retrain": False, "as_of": "2026-03-02T00:00:00+00:00"}
    state, tasks = _run(dagbag, "retrain", 4)
    assert state == "success"
    assert set(steps.asked) == {"check_drift"}
    assert tasks["promote_model"] == "skipped"


def test_a_refused_challenger_is_never_put_before_a_person(dagbag: Any, airflow_db: None, steps: Steps) -> None:
    """The gate decides first; a person cannot overrule it."""
    steps.receipts["register_model"] = {"version": 7, "proposed": False, "summary": "worse"}
    state, tasks = _run(dagbag, "retrain", 5)
    assert state == "success"
    assert tasks["approve"] == tasks["promote_model"] == "skipped"


def test_lists_are_scored_and_published_under_the_name_of_their_run(
    dagbag: Any, airflow_db: None, steps: Steps
) -> None:
    """A run by hand always scores, and what it makes may go live."""
    state, _ = _run(dagbag, "recommend", 3, as_of="2026-02-01")
    assert state == "success"
    scored = steps.asked["score_users"]
    assert (scored["as_of"], scored["unless_live"]) == ("2026-02-01", "False")
    assert re.fullmatch(r"recommend/manual__.+/000", scored["logical_run"])
    assert datetime.fromisoformat(scored["ordered_at"]).tzinfo is not None
    assert steps.asked["publish_recommendations"] == {"batch": "batches/1", "backfill": "False"}


def test_without_a_champion_nothing_is_published(dagbag: Any, airflow_db: None, steps: Steps) -> None:
    """The day before the first promotion is no accident."""
    steps.receipts["score_users"] = {"scored": False, "batch": ""}
    state, tasks = _run(dagbag, "recommend", 2)
    assert state == "success"
    assert tasks["publish_recommendations"] == "skipped"


def test_drift_starts_one_retraining_for_each_champion(
    dagbag: Any, airflow_db: None, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A question that waits for an answer, or was answered with no, is not asked again by tomorrow's data."""
    from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator

    started: list[tuple[str, Any]] = []
    monkeypatch.setattr(
        TriggerDagRunOperator, "execute", lambda self, context: started.append((self.trigger_run_id, self.conf))
    )
    assert dagbag.dags["watch"].task_dict["retrain"].skip_when_already_exists is True
    drift = {"retrain": True, "as_of": "2026-03-02T00:00:00+00:00", "champion": 4}
    steps.receipts["check_drift"] = drift
    assert _run(dagbag, "watch", 2)[0] == "success"
    assert started == [("drift_from_version_4", {"as_of": "2026-03-02"})]


@pytest.mark.parametrize(
    "drift", [{"retrain": False, "champion": 4}, {"retrain": True, "champion": None}], ids=["calm", "no champion"]
)
def test_without_drift_or_champion_no_retraining_is_started(
    dagbag: Any, airflow_db: None, steps: Steps, drift: dict[str, Any]
) -> None:
    """The first model of a shop is started by a person or by the calendar."""
    steps.receipts["check_drift"] = {**drift, "as_of": "2026-03-02T00:00:00+00:00"}
    state, tasks = _run(dagbag, "watch", 3 if drift["champion"] else 4)
    assert state == "success"
    assert tasks["retrain"] == "skipped"


def test_ingest_lands_its_data_interval_or_the_given_days(dagbag: Any, airflow_db: None, steps: Steps) -> None:
    """Parameters win over the interval of the run."""
    state, tasks = _run(dagbag, "ingest", 2)
    assert (state, tasks["tell_late_days"]) == ("success", "skipped")
    assert steps.asked["land_interactions"] == {"since": "2026-03-01", "until": "2026-03-02"}
    assert _run(dagbag, "ingest", 3, since="2026-01-01", until="2026-02-01")[0] == "success"
    assert steps.asked["land_interactions"] == {"since": "2026-01-01", "until": "2026-02-01"}
