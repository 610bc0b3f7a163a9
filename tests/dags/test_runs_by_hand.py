"""Runs that a person asks for: parameters are checked before anything starts, and days of the past can be filled in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pendulum
import pytest


@pytest.mark.parametrize(
    ("name", "wrong", "conf"),
    [
        ("ingest", "since", {"since": "yesterday"}),
        ("ingest", "until", {"since": "2026-01-01", "until": 5}),
        ("recommend", "as_of", {"as_of": "2026-02-30"}),
        ("retrain", "as_of", {"as_of": "2026-03-02T12:00"}),
        ("retrain", "force", {"force": "yes"}),
        ("retrain", "reason", {"force": True, "reason": "x" * 501}),
        ("watch", "as_of", {"as_of": True}),
    ],
)
def test_a_parameter_that_cannot_be_used_is_refused_before_a_run_starts(
    client: Any, known: None, name: str, wrong: str, conf: dict[str, Any]
) -> None:
    """By the trigger form as by REST; the answer names the parameter."""
    before = _runs(client, name)
    answer = client.post(f"/api/v2/dags/{name}/dagRuns", json={"logical_date": None, "conf": conf})
    assert answer.status_code == 400, answer.text
    assert f"Invalid input for param {wrong}" in answer.text
    assert _runs(client, name) == before


@pytest.mark.parametrize("name", ["ingest", "recommend"])
def test_days_of_the_past_can_be_filled_in(client: Any, known: None, name: str) -> None:
    """Both name days, from the first one of the shop on; what events alone start would be refused."""
    assert _backfilled(client, name, "2026-01-01", "2026-01-03") == ["2026-01-01", "2026-01-02", "2026-01-03"]


def test_only_a_backfill_leaves_what_is_live_alone_and_only_a_person_makes_the_same_again(dagbag: Any) -> None:
    """A run of the calendar or an event ends when the live lists are made from all that is there already."""
    tasks = dagbag.dags["recommend"].task_dict
    told = {
        run_type: [
            dagbag.dags["recommend"].get_template_env().from_string(template).render(dag_run=run)
            for run in [SimpleNamespace(run_type=run_type)]
            for template in (
                tasks["score_users"].op_kwargs["unless_live"],
                tasks["publish_recommendations"].op_kwargs["backfill"],
            )
        ]
        for run_type in ("scheduled", "asset_triggered", "manual", "backfill")
    }
    assert told == {
        "scheduled": ["True", "False"],
        "asset_triggered": ["True", "False"],
        "manual": ["False", "False"],
        "backfill": ["False", "True"],
    }


def test_a_backfill_of_recommend_is_as_of_the_end_of_its_day_and_no_other_run_is(dagbag: Any) -> None:
    """A run that an event, the calendar or a person has started makes the lists of now."""
    as_of = dagbag.dags["recommend"].task_dict["score_users"].op_kwargs["as_of"]
    end = pendulum.datetime(2026, 3, 3, tz="UTC")

    def rendered(run_type: str, end: Any = end, **params: str) -> str:
        template = dagbag.dags["recommend"].get_template_env().from_string(as_of)
        run = SimpleNamespace(run_type=run_type)
        return str(template.render(dag_run=run, data_interval_end=end, params={"as_of": None, **params}))

    assert rendered("backfill") == "2026-03-03"
    assert rendered("backfill", as_of="2026-02-01") == "2026-02-01"
    assert rendered("scheduled") == rendered("manual") == rendered("asset_triggered", end=None) == ""
    assert rendered("manual", end=None, as_of="2026-02-01") == "2026-02-01"


def _runs(client: Any, name: str) -> int:
    return int(client.get(f"/api/v2/dags/{name}/dagRuns").json()["total_entries"])


def _backfilled(client: Any, name: str, first: str, last: str) -> list[str]:
    body = {"dag_id": name, "from_date": f"{first}T00:00:00Z", "to_date": f"{last}T00:00:00Z"}
    answer = client.post("/api/v2/backfills/dry_run", json={**body, "reprocess_behavior": "none"})
    assert answer.status_code == 200, answer.text
    return [run["logical_date"][:10] for run in answer.json()["backfills"]]


def test_a_backfill_with_parameters_that_cannot_be_used_is_refused(client: Any, known: None) -> None:
    """No run of it is made, not even the first."""
    before = _runs(client, "recommend")
    body = {"dag_id": "recommend", "from_date": "2026-01-01T00:00:00Z", "to_date": "2026-01-02T00:00:00Z"}
    answer = client.post("/api/v2/backfills", json={**body, "dag_run_conf": {"as_of": "soon"}})
    assert answer.status_code == 422, answer.text
    assert "Invalid input for param as_of" in answer.text
    assert _runs(client, "recommend") == before


def test_clearing_a_run_asks_for_new_lists_and_a_retry_does_not(dagbag: Any) -> None:
    """Every try of a run has one name, by which what it has published already is recognised; a cleared run another."""
    kwargs = dagbag.dags["recommend"].task_dict["score_users"].op_kwargs

    def rendered(name: str, cleared: int, minute: int) -> str:
        started = pendulum.datetime(2026, 3, 3, 0, minute, tz="UTC")
        run = SimpleNamespace(dag_id="recommend", run_id="manual__1", clear_number=cleared, start_date=started)
        return str(dagbag.dags["recommend"].get_template_env().from_string(kwargs[name]).render(dag_run=run))

    assert rendered("logical_run", 0, 1) == "recommend/manual__1/000"
    assert rendered("logical_run", 0, 1) < rendered("logical_run", 9, 1) < rendered("logical_run", 10, 1)
    assert rendered("ordered_at", 0, 1) == "2026-03-03T00:01:00+00:00"
    assert rendered("ordered_at", 0, 1) < rendered("ordered_at", 1, 2)
