"""The timetable of housekeeping: what moment its deletions are reckoned from."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pendulum
import pytest

import pipelines.process


@pytest.mark.parametrize("step", ["collect_garbage", "collect_lake"])
def test_it_collects_as_of_the_moment_at_which_the_run_was_due(dagbag: Any, step: str) -> None:
    """By the clock of Airflow's database, so that whoever clears an old run deletes no more than that run did."""
    template = dagbag.dags["housekeeping"].task_dict[step].op_kwargs["now"]
    due = SimpleNamespace(run_after=pendulum.datetime(2026, 3, 2, 5, 30, tz="UTC"))
    rendered = dagbag.dags["housekeeping"].get_template_env().from_string(template).render(dag_run=due)
    assert rendered == "2026-03-02T05:30:00+00:00"


def test_it_runs_the_steps(dagbag: Any, airflow_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, dict[str, Any]] = {}
    monkeypatch.setattr(pipelines.process, "run_step", lambda name, **values: asked.setdefault(name, values))
    began = pendulum.now("UTC")
    run = dagbag.dags["housekeeping"].test(logical_date=pendulum.datetime(2026, 3, 2, tz="UTC"))
    assert str(run.state) == "success"
    assert sorted(asked) == ["collect_garbage", "collect_lake"]
    for values in asked.values():
        assert began - timedelta(minutes=1) < pendulum.parse(values["now"]) < pendulum.now("UTC")


def test_it_goes_on_after_the_last_day_of_the_shop(dagbag: Any) -> None:
    """The simulated shop's calendar ends in June 2026; lists that nobody needs go also after that."""
    timetable = dagbag.dags["housekeeping"]
    assert timetable.end_date is None
    assert dagbag.dags["ingest"].end_date is not None
