"""Start the processes of a stack side by side and wait until each does its work."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime

import httpx

from infra.airflow.api import AirflowApi
from infra.errors import AirflowError, StackError
from infra.host import postgres, processes
from infra.mlflow.users import make_users
from infra.stack import services
from infra.stack.state import Stack, write_stack
from pipelines.addresses import Addresses

Say = Callable[[str], None]
_POLL_SECONDS = 0.2
_ANSWER_SECONDS = 5.0
_LAST_LINES = 8
_HEALTH_OF = {
    "scheduler": "airflow-scheduler",
    "dag_processor": "airflow-dag-processor",
    "triggerer": "airflow-triggerer",
}


class NotYet(Exception):
    """A process is not healthy so far; tells which one and what is missing."""

    def __init__(self, name: str, missing: str) -> None:
        super().__init__(f"{name}: {missing}")
        self.name = name
        self.missing = missing


class Start:
    """One start of one stack."""

    def __init__(
        self,
        stack: Stack,
        commands: dict[str, list[str]],
        dags: Collection[str],
        say: Say,
        database: postgres.Cluster | None = None,
    ) -> None:
        self.stack = stack
        self._commands = commands
        self._database = database
        self._dags = frozenset(dags)
        self._say = say
        self._credentials = stack.credentials
        self._environment = services.child_environment({**stack.environment, processes.MARK: stack.mark})
        self._began = time.monotonic()
        self._since = datetime.now(UTC)
        # Settings of a proxy in the environment must not catch requests to this machine. One client for all:
        # making one reads every certificate there is, which would slow down what is being waited for.
        self._http = httpx.Client(timeout=_ANSWER_SECONDS, trust_env=False)
        self._api: AirflowApi | None = None

    def run(self, *, seconds: float) -> Stack:
        """
        Start everything and return the stack once all of it is healthy.

        Raises:
            StackError: a process ended or was not healthy in time; the caller ends the others.
        """
        write_stack(self.stack)  # before anything runs, so that the mark is known whatever happens
        waiting: dict[str, Callable[[], None]] = {"S3": self._check_s3, "MLflow": self._check_mlflow}
        if self._database is not None:
            self._keep(self._database.start(self.stack.root, self.stack.log(services.DATABASE), self.stack.mark))
            waiting["PostgreSQL"] = self._check_database
        self._spawn(services.S3, services.MLFLOW)
        migrating = services.needs_migration(
            self.stack.root, self.stack.own_environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
        )
        self._spawn(*((services.MIGRATION,) if migrating else services.AIRFLOW))
        waiting["Airflow"] = self._check_airflow
        try:
            while waiting:
                migrating = migrating and not self._migrated()
                missing = [gap for name in list(waiting) if (gap := self._try(name, waiting, migrating))]
                self._refuse_ended()
                if missing and time.monotonic() - self._began > seconds:
                    raise self._failure(missing[0].name, f"is not healthy after {seconds:.0f} s ({missing[0]})")
                time.sleep(_POLL_SECONDS)
        finally:
            self._http.close()
            if self._api:
                self._api.close()
        return self.stack

    def _spawn(self, *names: str) -> None:
        for name in names:
            own = services.own_environment(name, self.stack.root, self._credentials, self.stack.own_environment)
            process = processes.start(
                name,
                self._commands[name],
                environment={**self._environment, **own},
                folder=self.stack.root,
                log=self.stack.log(name),
            )
            self._keep(process)

    def _keep(self, process: processes.Process) -> None:
        self.stack = replace(self.stack, processes=(*self.stack.processes, process))
        write_stack(self.stack)

    def _try(self, name: str, waiting: dict[str, Callable[[], None]], migrating: bool) -> NotYet | None:
        if name == "Airflow" and migrating:
            return NotYet(services.MIGRATION, "the database is being made")
        try:
            waiting[name]()
        except NotYet as gap:
            return gap
        del waiting[name]
        self._tell(f"{name} is healthy")
        return None

    def _migrated(self) -> bool:
        """Whether the migration has ended well; Airflow itself is started then."""
        migration = next(one for one in self.stack.processes if one.name == services.MIGRATION)
        code = processes.exit_code(migration)
        if code is None:
            return False
        if code:
            raise self._failure(services.MIGRATION, f"ended with exit code {code}")
        services.note_migration(self.stack.root)
        self._tell("the database of Airflow is made")
        self._spawn(*services.AIRFLOW)
        return True

    def _check_database(self) -> None:
        if self._database is not None and not self._database.is_ready():
            raise NotYet(services.DATABASE, f"{self._database.url} does not take connections")

    def _check_s3(self) -> None:
        _fetch(self._http, services.S3, self.stack.s3 + services.S3_HEALTH)

    def _check_mlflow(self) -> None:
        _fetch(self._http, services.MLFLOW, self.stack.mlflow + "/health")
        places = Addresses(self.stack.shop, lake="", bucket=self.stack.own_environment["REFIT_BUCKET"])
        try:
            make_users(self._http, self.stack.mlflow, self._credentials.mlflow_passwords(), places)
        except httpx.HTTPError as error:
            raise NotYet(services.MLFLOW, f"its users are not made yet ({type(error).__name__})") from error

    def _check_airflow(self) -> None:
        health = _fetch(self._http, "airflow-api-server", self.stack.airflow + "/api/v2/monitor/health").json()
        for part, name in {"metadatabase": "airflow-api-server", **_HEALTH_OF}.items():
            status = health[part]["status"]
            if status != "healthy" or not self._recent(health[part]):
                raise NotYet(name, f"{part} is {status or 'not heard of'}")
        try:
            self._check_dags()
        except AirflowError as error:
            raise NotYet("airflow-api-server", str(error)) from error

    def _recent(self, part: dict[str, str | None]) -> bool:
        """Whether a heartbeat is of this start: the database still holds those of the one before."""
        beats = [beat for name, beat in part.items() if name.startswith("latest_") and beat]
        return all(datetime.fromisoformat(beat) >= self._since for beat in beats)

    def _check_dags(self) -> None:
        if self._api is None:
            password = self._credentials.airflow_admin_password
            self._api = AirflowApi(self.stack.airflow, "admin", password)
        for file, trace in self._api.import_errors(since=self._since).items():
            last = trace.strip().splitlines()[-1] if trace.strip() else "no trace"
            raise StackError(f"Airflow cannot read the timetable {file}: {last}")
        read = {name for name, moment in self._api.dags().items() if moment and moment >= self._since}
        if unread := self._dags - read:
            raise NotYet("airflow-dag-processor", f"timetables not read yet: {', '.join(sorted(unread))}")
        for name, (slots, description) in services.POOLS.items():
            self._api.make_pool(name, slots, description)

    def _refuse_ended(self) -> None:
        for process in self.stack.processes:
            code = processes.exit_code(process)
            if code is not None and process.name != services.MIGRATION:
                raise self._failure(process.name, f"ended with exit code {code}")

    def _failure(self, name: str, what: str) -> StackError:
        log = self.stack.log(name)
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
        tail = "\n".join(f"    {line}" for line in lines[-_LAST_LINES:]) or "    (nothing)"
        return StackError(f"{name} {what}; its log {log} ends:\n{tail}")

    def _tell(self, text: str) -> None:
        self._say(f"{time.monotonic() - self._began:6.1f} s  {text}")


def _fetch(http: httpx.Client, name: str, address: str) -> httpx.Response:
    try:
        answer = http.get(address)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise NotYet(name, f"{address} does not answer ({type(error).__name__})") from error
    return answer
