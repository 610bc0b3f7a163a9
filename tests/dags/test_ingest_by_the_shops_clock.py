"""
A shop in Auckland that is landed at 03:30 by its own clock, with a day that arrives late.

The timetables are Airflow's own, the steps are stood in for: what matters here is when a run is due, which days it is
told to land, and what it does while they are not there.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pendulum
import pytest
from airflow.sdk import CronDataIntervalTimetable

import pipelines.process
from pipelines.process import StepNotYetError
from pipelines.schedule import read_schedule
from refit.config.data import Calendar
from refit.errors import ConfigurationError

DAGS = Path(__file__).resolve().parents[2] / "dags"
SHOP = """
title = "A corner shop"
[calendar]
first_day = 2026-01-01
closed_weekdays = ["sunday"]
time_zone = "{zone}"
lands_after = "{lands_after}"
"""
CLOCKS = [
    ("UTC", "03:30"),
    ("Pacific/Auckland", "03:30"),
    ("Pacific/Auckland", "02:30"),
    ("Europe/London", "01:30"),
    ("America/Santiago", "00:00"),
    ("America/New_York", "02:30"),
]


@pytest.fixture
def write(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Give what makes a shop with these settings the one of this deployment."""

    def write(zone: str = "Pacific/Auckland", lands_after: str = "03:30") -> None:
        folder = tmp_path / "shops" / "corner"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "shop.toml").write_text(SHOP.format(zone=zone, lands_after=lands_after), encoding="utf-8")
        monkeypatch.setenv("REFIT_SHOPS", str(tmp_path / "shops"))
        monkeypatch.setenv("REFIT_SHOP", "corner")

    return write


@pytest.fixture
def parsed(write: Callable[..., None]) -> Callable[..., Any]:
    """Give the timetables of a shop as the dag processor would parse them."""

    def parse(zone: str = "Pacific/Auckland", lands_after: str = "03:30") -> Any:
        from airflow.dag_processing.dagbag import DagBag

        write(zone, lands_after)
        bag = DagBag(str(DAGS))
        assert bag.import_errors == {}
        return bag

    return parse


@pytest.fixture(scope="module")
def dagbag() -> Any:
    """Give timetables of its own: what a run by hand was told stays in the parameters of the DAG that made it."""
    from airflow.dag_processing.dagbag import DagBag

    return DagBag(str(DAGS))


def _intervals(timetable: Any, since: datetime, runs: int) -> list[tuple[datetime, datetime, datetime]]:
    """Return start and end of the data interval of each of the first runs from *since* on, and when it is due."""
    from airflow.serialization.encoders import coerce_to_core_timetable
    from airflow.timetables.base import TimeRestriction

    core, last, found = coerce_to_core_timetable(timetable), None, []
    for _ in range(runs):
        info = core.next_dagrun_info(
            last_automated_data_interval=last,
            restriction=TimeRestriction(earliest=pendulum.instance(since), latest=None, catchup=True),
        )
        assert info is not None
        last = info.data_interval
        found.append((last.start, last.end, info.run_after))
    return found


def _rendered(dag: Any, task: str, name: str, **context: Any) -> str:
    given = {"params": {"since": None, "until": None, "as_of": None}, **context}
    return str(dag.get_template_env().from_string(dag.task_dict[task].op_kwargs[name]).render(**given))


@pytest.mark.parametrize(("zone", "lands_after"), CLOCKS)
def test_each_day_of_the_shops_clock_is_landed_once_also_when_the_clock_changes(
    write: Callable[..., None], zone: str, lands_after: str
) -> None:
    """Over more than a year, with days of 23 and 25 hours; many a clock skips 02:30 once a year and shows it twice."""
    write(zone, lands_after)
    schedule = read_schedule()
    timetable = CronDataIntervalTimetable(schedule.daily, timezone=schedule.clock.zone)
    days, hours = [], set()
    for start, end, due in _intervals(timetable, schedule.first, 400):
        since, until = schedule.day_of(start), schedule.day_of(end)
        assert date.fromisoformat(until) == date.fromisoformat(since) + timedelta(days=1)
        assert due >= schedule.clock.start_of(date.fromisoformat(until)), "the day is over"
        days.append(since)
        hours.add((end - start).total_seconds() / 3600)
    assert days == [str(date(2026, 1, 1) + timedelta(days=n)) for n in range(400)]
    assert hours == ({24.0} if zone == "UTC" else {23.0, 24.0, 25.0})


def test_the_run_of_a_day_is_due_at_half_past_three_by_the_shops_clock(parsed: Callable[..., Any]) -> None:
    """Monday 12 January is due on Tuesday at 03:30, which is Monday in UTC; retraining is three hours later."""
    bag = parsed()
    ((start, end, due),) = _intervals(bag.dags["ingest"].timetable, datetime.fromisoformat("2026-01-12T00:00+13:00"), 1)
    assert start == datetime.fromisoformat("2026-01-12T03:30+13:00")
    assert due == datetime.fromisoformat("2026-01-13T03:30+13:00")
    for run_type, told in (
        ("scheduled", ["2026-01-12", "2026-01-13", "2026-01-12T20:30:00+00:00", "2026-01-12"]),
        ("backfill", ["2026-01-12", "2026-01-13", "", ""]),
        ("manual", ["2026-01-12", "2026-01-13", "", ""]),
    ):
        run = SimpleNamespace(run_type=run_type)
        context = {"data_interval_start": start, "data_interval_end": end, "dag_run": run}
        names = [("land_interactions", name) for name in ("since", "until", "give_up")] + [("land_late_days", "before")]
        assert [_rendered(bag.dags["ingest"], task, name, **context) for task, name in names] == told
    assert bag.dags["ingest"].start_date == datetime.fromisoformat("2026-01-01T00:00+13:00")
    ((_, week, _),) = _intervals(bag.dags["retrain"].timetable, datetime.fromisoformat("2026-01-06T00:00+13:00"), 1)
    assert week == datetime.fromisoformat("2026-01-19T06:30+13:00")
    for run_type, as_of in (("scheduled", "2026-01-19"), ("manual", "")):
        context = {"data_interval_end": week, "dag_run": SimpleNamespace(run_type=run_type)}
        assert _rendered(bag.dags["retrain"], "check_drift", "as_of", **context) == as_of
    context = {"data_interval_end": due, "dag_run": SimpleNamespace(run_type="backfill")}
    assert _rendered(bag.dags["recommend"], "score_users", "as_of", **context) == "2026-01-13"


class Warehouse:
    """Stands in for the steps' processes: Monday comes with the third look, an hour after it was due."""

    def __init__(self, there_after: int) -> None:
        self.looks = 0
        self.there_after = there_after
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, name: str, **values: Any) -> dict[str, Any]:
        self.asked.append((name, values))
        if name == "land_late_days":
            return {"days": ["2026-01-10"], "landed": True} if values["before"] else {"days": [], "landed": False}
        self.looks += 1
        if self.looks <= self.there_after:
            raise StepNotYetError(f"{name}: 2026-01-12 has 0 events")
        return {"rows": 7}


def _run(bag: Any, day: pendulum.DateTime, monkeypatch: pytest.MonkeyPatch, **conf: Any) -> tuple[str, dict[str, str]]:
    monkeypatch.setattr(bag.dags["ingest"].task_dict["land_interactions"], "poke_interval", 0.5)
    run = bag.dags["ingest"].test(logical_date=day, run_conf=conf)
    return str(run.state), {task.task_id: str(task.state) for task in run.get_task_instances()}


def test_a_day_that_arrives_late_is_waited_for_and_landed(
    dagbag: Any, airflow_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task looks, gives its slot back, and looks again; that costs none of the tries kept for accidents."""
    warehouse = Warehouse(there_after=2)
    monkeypatch.setattr(pipelines.process, "run_step", warehouse)
    task = dagbag.dags["ingest"].task_dict["land_interactions"]
    # `DAG.test` makes runs by hand, which do not wait.
    monkeypatch.setitem(task.op_kwargs, "give_up", "2999-01-01T00:00:00+00:00")
    state, tasks = _run(dagbag, pendulum.datetime(2026, 3, 20, tz="UTC"), monkeypatch)
    assert (state, tasks["land_interactions"]) == ("success", "success")
    assert warehouse.looks == 3
    assert {values["since"] for name, values in warehouse.asked if name == "land_interactions"} == {"2026-03-19"}


def test_whoever_lands_by_hand_is_told_at_once_that_the_day_is_not_there(
    dagbag: Any, airflow_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And looks back on nothing."""
    warehouse = Warehouse(there_after=9)
    monkeypatch.setattr(pipelines.process, "run_step", warehouse)
    state, tasks = _run(dagbag, pendulum.datetime(2026, 3, 21, tz="UTC"), monkeypatch)
    assert (state, tasks["land_interactions"]) == ("failed", "failed")
    assert tasks["tell_late_days"] == "skipped"
    assert warehouse.looks == 1


def test_a_landing_time_that_leaves_no_room_is_refused(write: Callable[..., None]) -> None:
    """The weekly retraining would be on another day; what the timetables take for granted is what shop.toml has."""
    for wrong, sentence in (("20:30", "is too late; write a time up to 20:00"), ("half four", "is no time")):
        write(lands_after=wrong)
        with pytest.raises(ConfigurationError, match=sentence):
            read_schedule()
    write(lands_after="20:00")
    assert read_schedule().weekly == "0 23 * * 1"
    assert read_schedule().wait == timedelta(hours=Calendar(first_day=date(2026, 1, 1)).wait_hours)
