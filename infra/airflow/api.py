"""The part of Airflow's REST interface that a person's tools and the tests need, with readable errors."""

from __future__ import annotations

import json
import time
from collections.abc import Collection
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from infra.errors import AirflowError

Json = dict[str, Any]
FINISHED = frozenset({"success", "failed"})
_POLL_SECONDS = 0.5
_SETTLED_SECONDS = 2.0
_BUSY_SECONDS = 60.0
"""How long a request is repeated that Airflow refuses because another process writes to SQLite; it did nothing then."""


class AirflowApi:
    """One person's session with one Airflow; the token lasts a day."""

    def __init__(self, address: str, user: str, password: str, *, timeout: float = 30.0) -> None:
        # Settings of a proxy in the environment must not catch requests to this machine.
        self._http = httpx.Client(base_url=address, timeout=timeout, trust_env=False)
        self._address = address
        token = self._request("POST", "/auth/token", {"username": user, "password": password})
        self._http.headers["Authorization"] = f"Bearer {token['access_token']}"

    def __enter__(self) -> AirflowApi:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    # --- timetables -------------------------------------------------------------------------------

    def dags(self) -> dict[str, datetime | None]:
        """Return the name of each timetable and when it was last read."""
        return {dag["dag_id"]: _moment(dag["last_parsed_time"]) for dag in self._get("/dags", limit=100)["dags"]}

    def import_errors(self, *, since: datetime | None = None) -> dict[str, str]:
        """Return the file and the trace of each timetable that could not be read, after *since* if given."""
        return {
            error["filename"]: error["stack_trace"]
            for error in self._get("/importErrors", limit=100)["import_errors"]
            if since is None or (_moment(error["timestamp"]) or since) >= since
        }

    def pools(self) -> dict[str, int]:
        """Return the slots of each pool: how many of its tasks may run at the same time."""
        return {pool["name"]: int(pool["slots"]) for pool in self._get("/pools", limit=100)["pools"]}

    def make_pool(self, name: str, slots: int, description: str) -> None:
        """Make a pool unless there is one; what a person has set stays."""
        if name not in self.pools():
            body = {"name": name, "slots": slots, "description": description, "include_deferred": False}
            self._post("/pools", body)

    # --- runs -------------------------------------------------------------------------------------

    def trigger(
        self,
        dag_id: str,
        conf: Json | None = None,
        *,
        logical_date: datetime | str | None = None,
        run_id: str | None = None,
    ) -> str:
        """Start a run now and return its id; the same *run_id* or *logical_date* twice is refused (409)."""
        body: Json = {"logical_date": _text(logical_date), "conf": conf or {}}
        if run_id is not None:
            body["dag_run_id"] = run_id
        return str(self._post(f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def run(self, dag_id: str, run_id: str) -> Json:
        """Return everything that Airflow tells about a run."""
        return self._get(_run_path(dag_id, run_id))

    def state(self, dag_id: str, run_id: str) -> str:
        """Return queued, running, success or failed."""
        return str(self.run(dag_id, run_id)["state"])

    def runs(self, dag_id: str, *, limit: int = 100) -> list[Json]:
        """Return the runs of a timetable, the newest first."""
        found = self._get(f"/dags/{dag_id}/dagRuns", limit=limit, order_by="-run_after")
        return list(found["dag_runs"])

    def wait(self, dag_id: str, run_id: str, *, seconds: float, states: Collection[str] = FINISHED) -> str:
        """
        Return the state of a run once it is one of *states*.

        Raises:
            AirflowError: it is not after *seconds*; the message names the state of each task.
        """
        deadline = time.monotonic() + seconds
        while (state := self.state(dag_id, run_id)) not in states:
            if time.monotonic() > deadline:
                raise AirflowError(self._late(dag_id, run_id, state, seconds))
            time.sleep(_POLL_SECONDS)
        return state

    def active_run(self, dag_id: str, *, seconds: float = 0.0) -> str | None:
        """Return the newest run that is queued or running, waiting up to *seconds* for one; None if there is none."""
        deadline = time.monotonic() + seconds
        while True:
            active = [run for run in self.runs(dag_id) if run["state"] not in FINISHED]
            if active or time.monotonic() >= deadline:
                return str(active[0]["dag_run_id"]) if active else None
            time.sleep(_POLL_SECONDS)

    def clear(self, dag_id: str, run_id: str, tasks: Collection[str]) -> None:
        """Forget what *tasks* of a run did, so that they run again."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": list(tasks),
            "only_failed": False,
            "reset_dag_runs": True,
        }
        self._post(f"/dags/{dag_id}/clearTaskInstances", body)

    # --- tasks ------------------------------------------------------------------------------------

    def task_instances(self, dag_id: str, run_id: str) -> list[Json]:
        """Return the tasks of a run."""
        return list(self._get(f"{_run_path(dag_id, run_id)}/taskInstances", limit=100)["task_instances"])

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """Return the state of each task of a run, by name."""
        return {task["task_id"]: task["state"] for task in self.task_instances(dag_id, run_id)}

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return what a task handed on; a receipt of plain values comes back as it was."""
        path = f"{_run_path(dag_id, run_id)}/taskInstances/{quote(task_id)}/xcomEntries/{quote(key)}"
        return self._get(path)["value"]

    def log(self, dag_id: str, run_id: str, task_id: str, *, try_number: int = 1, map_index: int = -1) -> str:
        """Return what a task logged as text, one line per entry."""
        path = f"{_run_path(dag_id, run_id)}/taskInstances/{quote(task_id)}/logs/{try_number}"
        entries = self._get(path, map_index=map_index, full_content="true")["content"]
        return "\n".join(_log_line(entry) for entry in entries)

    # --- questions to a person --------------------------------------------------------------------

    def questions(self, dag_id: str = "~", run_id: str = "~") -> list[Json]:
        """Return the questions that wait for an answer; `~` means of any timetable, of any run."""
        found = self._get(f"{_run_path(dag_id, run_id)}/hitlDetails", response_received="false", limit=100)
        return list(found["hitl_details"])

    def wait_question(self, dag_id: str, run_id: str, *, seconds: float) -> Json | None:
        """Return the first question of a run, or None when the run ends without asking one."""
        deadline = time.monotonic() + seconds
        while True:
            state = self.state(dag_id, run_id)  # before the questions, so that none is missed
            if found := self.questions(dag_id, run_id):
                return found[0]
            if state in FINISHED:
                return None
            if time.monotonic() > deadline:
                raise AirflowError(self._late(dag_id, run_id, state, seconds))
            time.sleep(_POLL_SECONDS)

    def wait_answer(self, dag_id: str, run_id: str, *, seconds: float) -> None:
        """Wait until no question of a run is open, whoever answered it; AirflowError when one still is."""
        deadline = time.monotonic() + seconds
        while self.questions(dag_id, run_id):
            if time.monotonic() > deadline:
                raise AirflowError(self._late(dag_id, run_id, "waiting for an answer", seconds))
            time.sleep(_POLL_SECONDS)

    def answer(self, dag_id: str, run_id: str, task_id: str, option: str, params: Json | None = None) -> Json:
        """Answer a question; a second answer is refused (409)."""
        path = f"{_run_path(dag_id, run_id)}/taskInstances/{quote(task_id)}/-1/hitlDetails"
        # Airflow 3.3 fails a task that is resumed while the process that asked is still on its way out, and a question
        # does not tell since when it waits: asked again, it keeps the time of the first asking.
        time.sleep(_SETTLED_SECONDS)
        body = {"chosen_options": [option], "params_input": params or {}}
        return self._request("PATCH", f"/api/v2{path}", body)

    # --- backfill ---------------------------------------------------------------------------------

    def backfills(self, dag_id: str) -> list[Json]:
        """Return the backfills of a timetable; one without `completed_at` keeps a second one out."""
        return list(self._get("/backfills", dag_id=dag_id, limit=100)["backfills"])

    # --- the wire ---------------------------------------------------------------------------------

    def _get(self, path: str, **query: str | int) -> Json:
        return self._request("GET", f"/api/v2{path}", query=query)

    def _post(self, path: str, body: Json) -> Json:
        return self._request("POST", f"/api/v2{path}", body)

    def _request(self, method: str, path: str, body: Json | None = None, query: Json | None = None) -> Json:
        deadline = time.monotonic() + _BUSY_SECONDS
        while _is_busy(answer := self._answer(method, path, body, query)) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        if answer.is_error:
            text = " ".join(answer.text.split())[:600]
            raise AirflowError(f"Airflow refused {method} {path} with {answer.status_code}: {text}")
        return dict(answer.json()) if answer.content else {}

    def _answer(self, method: str, path: str, body: Json | None, query: Json | None) -> httpx.Response:
        try:
            # The accept header matters for logs: without it Airflow may answer in lines.
            return self._http.request(
                method, path, json=body, params=query or None, headers={"Accept": "application/json"}
            )
        except httpx.HTTPError as error:
            kind = type(error).__name__
            raise AirflowError(f"Airflow at {self._address} does not answer {method} {path}: {kind} {error}") from error

    def _late(self, dag_id: str, run_id: str, state: str, seconds: float) -> str:
        tasks = ", ".join(f"{name} {now}" for name, now in self.task_states(dag_id, run_id).items())
        return f"run {run_id} of {dag_id} is still {state} after {seconds:.0f} s ({tasks})"


def _is_busy(answer: httpx.Response) -> bool:
    """Return whether another process held the database: a 503, or a 500 where Airflow writes its own log first."""
    if answer.status_code == httpx.codes.INTERNAL_SERVER_ERROR and "application/json" in answer.headers["Content-Type"]:
        detail = answer.json().get("detail")
        return isinstance(detail, dict) and detail.get("reason") == "Database error"
    return answer.status_code == httpx.codes.SERVICE_UNAVAILABLE


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='~')}"


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _text(moment: datetime | str | None) -> str | None:
    """Return *moment* as Airflow reads it; a day is its first instant in UTC."""
    if moment is None:
        return None
    text = moment if isinstance(moment, str) else moment.isoformat()
    return f"{text}T00:00:00Z" if len(text) == len("2026-01-31") else text


def _log_line(entry: Json | str) -> str:
    if isinstance(entry, str):
        return entry
    line = " ".join(str(entry[name]) for name in ("timestamp", "level", "event") if entry.get(name))
    detail = entry.get("error_detail")
    return f"{line}\n{json.dumps(detail, indent=1)}" if detail else line
