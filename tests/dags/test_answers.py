"""The timetables that move the champion without a training: decisions noticed in MLflow, and rollbacks by hand."""

from __future__ import annotations

from typing import Any

import pendulum
import pytest

import pipelines.process


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Let every step succeed; what it was asked is kept."""
    calls: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(pipelines.process, "run_step", lambda name, **values: calls.append((name, values)) or {})
    return calls


def test_decisions_are_noticed_by_a_trigger_and_not_by_a_task(dagbag: Any) -> None:
    """No slot of a worker and no sensor waits for a person."""
    dag = dagbag.dags["answers"]
    (watcher,) = dag.timetable.asset_condition.watchers
    assert watcher.trigger.serialize() == ("dags.triggers.registry.DecisionTrigger", {"poll_seconds": 10.0})
    assert set(dag.task_dict) == {"new_decisions", "promote_model"}
    assert dag.task_dict["promote_model"].max_active_tis_per_dagrun == 1
    assert not any(task.task_type.endswith("Sensor") for task in dag.tasks)


def test_each_decision_is_promoted_as_it_was_noticed(
    dagbag: Any, airflow_db: None, asked: list[tuple[str, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [
        {"version": version, "answer": {"decision": f"approve {'ab' * 8} lee: fine", "noticed_at": "2026-03-02"}}
        for version in (7, 8)
    ]
    task = dagbag.dags["answers"].task_dict["new_decisions"]
    monkeypatch.setattr(task, "python_callable", lambda triggering_asset_events=None: answers)
    run = dagbag.dags["answers"].test(logical_date=pendulum.datetime(2026, 3, 2, tz="UTC"))
    assert str(run.state) == "success"
    assert sorted(asked, key=lambda call: call[1]["version"]) == [
        ("promote_model", {"version": each["version"], "digest": "", "answer": each["answer"]}) for each in answers
    ]


def test_a_rollback_names_its_run_so_that_it_is_done_once(
    dagbag: Any, airflow_db: None, asked: list[tuple[str, dict[str, Any]]]
) -> None:
    dag = dagbag.dags["rollback"]
    run = dag.test(logical_date=pendulum.datetime(2026, 3, 2, tz="UTC"), run_conf={"reason": "too narrow", "to": 3})
    assert str(run.state) == "success"
    ((name, values),) = asked
    assert (name, values["reason"], values["to"], values["lists"]) == ("rollback", "too narrow", "3", "back")
    assert values["logical_run"] == f"rollback/{run.run_id}"
    assert values["requested_by"]


@pytest.mark.parametrize(
    ("wrong", "conf"),
    [
        ("reason", {}),
        ("reason", {"reason": ""}),
        ("to", {"reason": "too narrow", "to": 0}),
        ("to", {"reason": "too narrow", "to": "the one before"}),
        ("lists", {"reason": "too narrow", "lists": "delete"}),
    ],
)
def test_a_rollback_that_cannot_be_understood_never_starts(
    client: Any, known: None, wrong: str, conf: dict[str, Any]
) -> None:
    answer = client.post("/api/v2/dags/rollback/dagRuns", json={"logical_date": None, "conf": conf})
    assert answer.status_code == 400, answer.text
    assert f"Invalid input for param {wrong}" in answer.text
