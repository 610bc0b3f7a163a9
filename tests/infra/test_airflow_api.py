"""Speaking with Airflow: what is worth asking again, and what is said when it is not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

import infra.airflow.api
from infra.airflow.api import AirflowApi
from infra.errors import AirflowError


class Busy(ThreadingHTTPServer):
    """An Airflow whose database is locked for the first *refusals* requests."""

    refusals = 0
    refusal: tuple[int, dict[str, object]] = (503, {"detail": "Database is locked."})
    asked = 0
    pools: ClassVar[dict[str, int]] = {"default_pool": 128, "spark": 4}
    made: ClassVar[list[dict[str, object]]] = []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Busy)
        assert self.path.startswith("/api/v2/pools")
        self._answer(200, {"pools": [{"name": name, "slots": slots} for name, slots in self.server.pools.items()]})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        assert isinstance(server, Busy)
        if self.path == "/auth/token":
            self._answer(201, {"access_token": "t"})
            return
        if self.path == "/api/v2/pools":
            server.made.append(json.loads(body))
            self._answer(201, {})
            return
        server.asked += 1
        if server.asked <= server.refusals:
            self._answer(*server.refusal)
        else:
            self._answer(200, {"dag_run_id": "seven"})

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def _answer(self, status: int, body: dict[str, object]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def airflow() -> Iterator[Busy]:
    """Give a server on a free port."""
    server = Busy(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _trigger(server: Busy) -> str:
    with AirflowApi(f"http://127.0.0.1:{server.server_port}", "admin", "secret") as api:
        return api.trigger("ingest")


@pytest.mark.parametrize(
    "refusal",
    [
        (503, {"detail": "Database is locked."}),
        (500, {"detail": {"reason": "Database error", "statement": "hidden", "message": "Serious error"}}),
    ],
)
def test_a_database_that_is_locked_is_asked_again(airflow: Busy, refusal: tuple[int, dict[str, object]]) -> None:
    """Beside a running DAG SQLite refuses a run now and then; nothing was done by then."""
    airflow.refusals, airflow.refusal = 2, refusal
    assert _trigger(airflow) == "seven"
    assert airflow.asked == 3


def test_a_database_that_stays_locked_is_told(airflow: Busy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting has an end, and the answer is not lost."""
    airflow.refusals = 1_000
    monkeypatch.setattr(infra.airflow.api, "_BUSY_SECONDS", 0.6)
    with pytest.raises(AirflowError, match=r"refused POST /api/v2/dags/ingest/dagRuns with 503: .*Database is locked"):
        _trigger(airflow)
    assert airflow.asked > 1


def test_another_error_of_the_server_is_told_at_once(airflow: Busy) -> None:
    airflow.refusals, airflow.refusal = 1, (500, {"detail": "An error occurred while trying to deserialize Dag"})
    with pytest.raises(AirflowError, match=r"with 500: .*deserialize Dag"):
        _trigger(airflow)
    assert airflow.asked == 1


def test_a_pool_is_made_once_and_what_a_person_has_set_stays(airflow: Busy) -> None:
    """Whoever has room for four Spark jobs keeps them over a restart of the stack."""
    airflow.made.clear()
    with AirflowApi(f"http://127.0.0.1:{airflow.server_port}", "admin", "secret") as api:
        assert api.pools() == {"default_pool": 128, "spark": 4}
        api.make_pool("spark", 1, "Steps that start Spark.")
        assert airflow.made == []
        api.make_pool("other", 2, "Something else.")
    assert airflow.made == [{"name": "other", "slots": 2, "description": "Something else.", "include_deferred": False}]
