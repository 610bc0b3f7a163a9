"""
The whole loop on one shop: `python -m infra.demo.run`.

Starts the stack, makes or finds the raw data, lands the history in one interval, retrains through Airflow, asks for the
approval, and waits for the lists. Run again, it continues from what is there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx

from infra.airflow.api import AirflowApi
from infra.demo.progress import Progress, failure, follow
from infra.demo.raw_data import has_own_database
from infra.demo.summary import show_summary
from infra.errors import StackError
from infra.host.class_archive import class_archive
from infra.mlflow.users import TRAINER
from infra.stack.control import running, up
from infra.stack.env_file import load_env_file
from infra.stack.services import FAST_START, raw_data
from infra.stack.settings import StackSettings, is_address, read_stack_settings
from infra.stack.state import Stack
from pipelines.addresses import LAKE_CATALOG, Addresses
from pipelines.settings import REPOSITORY, read_settings
from refit.adapters.stores import open_store
from refit.config import Shop, load_shop
from refit.errors import ConfigurationError, NothingPublishedError, RefitError
from refit.lake.lake import Lake
from refit.publication import read_manifest
from refit.rendering.markdown import plain_text

_STEPS = [
    *["stack", "raw data", "land_interactions", "check_drift", "build_training_set", "tune_model", "train_model"],
    *["evaluate_model", "refit_model", "register_model", "promote_model", "score_users", "publish_recommendations"],
]
_HOURS = 3_600.0
_ASSET_SECONDS = 10.0
"""Airflow starts the runs that wait for an asset about a second after it has changed."""


class Loop:
    """One `make run`."""

    def __init__(self, settings: StackSettings, shop: Shop) -> None:
        self._settings = settings
        self._shop = shop
        self._progress = Progress(_STEPS)
        self._as_of = shop.first_run.as_of

    def run(self) -> None:
        """Go through the loop; raises a RefitError where it ends early."""
        # Raw data that are files are made beside the start of the stack: each waits a lot, and both fit on two cores.
        in_stack = has_own_database(self._shop.folder, self._settings.data)
        making = None if in_stack else self._begin_raw_data(raw_data(self._settings))
        try:
            stack = self._stack()
            os.environ.update(stack.environment)
            if in_stack:
                making = self._begin_raw_data(stack.database)
            self._end_raw_data(making, stack)
        finally:
            if making is not None and making.poll() is None:
                making.kill()
        with AirflowApi(stack.airflow, "admin", stack.credentials.airflow_admin_password) as api:
            self._ingest(api, stack)
            champion = _champion(stack, self._shop.name)
            if champion is None:
                self._retrain(api, stack)
                champion = _champion(stack, self._shop.name)
            else:
                self._progress.skip("retrain", f"the champion is version {champion}; nothing to train")
            self._recommend(api, stack, champion)
            show_summary(stack, self._shop, api, self._progress)

    def _stack(self) -> Stack:
        found = running(self._settings)
        if found is None:
            with self._progress.step("stack"):
                return up(self._settings)
        wanted, read = raw_data(self._settings), found.own_environment["REFIT_DATA"]
        if self._settings.data and wanted != read:
            raise ConfigurationError(
                f"the running stack of shop {found.shop} reads {read}, not {wanted}; "
                f"end it with make down SHOP={found.shop} and run again"
            )
        self._progress.skip("stack", f"is already running, Airflow at {found.airflow}")
        return found

    def _begin_raw_data(self, data: str) -> subprocess.Popen[str] | None:
        """Start making the raw data, or return None for a shop that is not simulated."""
        if self._shop.simulation is None:
            return None
        self._settings.root.mkdir(parents=True, exist_ok=True)
        return subprocess.Popen(
            [sys.executable, "-m", "pipelines", "simulate_shop", "--out", str(self._settings.root / "simulated.json")],
            cwd=REPOSITORY,
            env={
                "REFIT_SPARK_JAVA_OPTIONS": FAST_START,
                "REFIT_SPARK_CLASS_ARCHIVE": class_archive(),
                **os.environ,
                "REFIT_DATA": data,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _end_raw_data(self, making: subprocess.Popen[str] | None, stack: Stack) -> None:
        if making is None:
            self._progress.skip("raw data", f"read from {stack.own_environment['REFIT_DATA']}")
            return
        with self._progress.step("raw data"):
            said = making.communicate()[1]
        if making.returncode:
            raise StackError(said.strip().splitlines()[-1] if said.strip() else "simulate_shop failed without a word")

    def _ingest(self, api: AirflowApi, stack: Stack) -> None:
        calendar = self._shop.calendar
        first, until = calendar.clock.span(calendar.first_day, self._as_of)
        root = Addresses(self._shop.name, stack.own_environment["REFIT_LAKE"], "").lake_root
        lake = Lake(root=root, catalog=LAKE_CATALOG, store=open_store(root), clock=calendar.clock)
        landed = {day.day for day in lake.days("interactions", first, until)}
        missing = [day for day in calendar.open_days(calendar.first_day, self._as_of) if str(day) not in landed]
        if not missing:
            self._progress.skip("land_interactions", f"every day before {self._as_of} is landed")
            return
        run_id = api.trigger("ingest", {"since": calendar.first_day.isoformat(), "until": self._as_of.isoformat()})
        if follow(api, self._progress, "ingest", run_id, seconds=_HOURS) != "success":
            raise StackError(failure(api, "ingest", run_id))

    def _retrain(self, api: AirflowApi, stack: Stack) -> None:
        run_id = api.active_run("retrain") or api.trigger("retrain", {"as_of": self._as_of.isoformat()})
        state = follow(api, self._progress, "retrain", run_id, seconds=_HOURS)
        if state == "asking":
            self._ask(api, stack, run_id)
            state = follow(api, self._progress, "retrain", run_id, seconds=self._approval_seconds())
            if state == "asking":  # somebody cleared the question
                state = follow(api, self._progress, "retrain", run_id, seconds=self._approval_seconds())
        if state != "success":
            raise StackError(failure(api, "retrain", run_id))
        if api.task_states("retrain", run_id).get("promote_model") != "success":
            evaluation = api.xcom("retrain", run_id, "evaluate_model")
            raise StackError(f"the challenger was not put before a person: {'; '.join(evaluation['reasons'])}")

    def _ask(self, api: AirflowApi, stack: Stack, run_id: str) -> None:
        question = api.questions("retrain", run_id)[0]
        page = f"{stack.airflow}/dags/retrain/runs/{run_id}/tasks/approve/required_actions"
        print(f"\n{plain_text(question['subject'])}\n\n{plain_text(question['body'])}\n")
        answer = os.environ.get("APPROVE", "")
        if not answer and sys.stdin.isatty():
            answer = input("Approve? [yes/no] ")
        if answer:
            option = "Approve" if answer.strip().lower() in {"y", "yes"} else "Reject"
            password = stack.credentials.airflow_approver_password
            with AirflowApi(stack.airflow, "approver", password) as approver:
                approver.answer("retrain", run_id, "approve", option, {"reason": f"answered {answer!r} to make run"})
            print(f"answered {option} as user approver\n")
            return
        print(f"waiting for an answer, by user approver or admin, at {page}")
        print(f"(passwords in {stack.root / 'secrets.json'}; APPROVE=yes answers it here)\n", flush=True)
        api.wait_answer("retrain", run_id, seconds=self._approval_seconds())

    def _recommend(self, api: AirflowApi, stack: Stack, champion: int | None) -> None:
        if champion is not None and _live_version(stack, self._shop.name) == champion:
            self._progress.skip("score_users", "the live lists are by the champion")
            return
        # The change of the champion has started it; by hand only if it did not, e.g. because a run was interrupted.
        run_id = api.active_run("recommend", seconds=_ASSET_SECONDS) or api.trigger("recommend")
        while follow(api, self._progress, "recommend", run_id, seconds=_HOURS) == "success":
            if _live_version(stack, self._shop.name) == champion:
                return
            # That run began before the promotion; the next one is by the new champion.
            run_id = api.active_run("recommend", seconds=_ASSET_SECONDS) or api.trigger("recommend")
        raise StackError(failure(api, "recommend", run_id))

    def _approval_seconds(self) -> float:
        return read_settings().approval_hours * _HOURS + _HOURS


def _champion(stack: Stack, shop: str) -> int | None:
    """Return the champion's version; asked over HTTP because importing MLflow takes seconds."""
    answer = httpx.get(
        f"{stack.mlflow}/api/2.0/mlflow/registered-models/alias",
        params={"name": Addresses(shop, "", "").champions, "alias": "champion"},
        auth=(TRAINER, stack.credentials.mlflow_trainer_password),
        trust_env=False,
        timeout=30,
    )
    return int(answer.json()["model_version"]["version"]) if answer.is_success else None


def _live_version(stack: Stack, shop: str) -> int | None:
    address = Addresses(shop, "", stack.own_environment["REFIT_BUCKET"]).lists
    try:
        return int(read_manifest(open_store(address, endpoint=stack.s3))["model"]["version"])
    except NothingPublishedError:
        return None


def main() -> int:
    """Run the loop; whatever a person can mend is one sentence."""
    try:
        load_env_file()
        settings = read_stack_settings()
        shop = load_shop(read_settings().shops, settings.shop)
        if shop.simulation is None and not is_address(settings.data) and not Path(settings.data or "-").is_dir():
            raise ConfigurationError(
                f"shop {shop.name!r} reads its raw data from a folder or a database, and "
                f"{f'{settings.data} is none' if settings.data else 'none is given'}; "
                "set DATA=folder or DATA=jdbc:postgresql://host/database"
            )
        Loop(settings, shop).run()
    except RefitError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the stack goes on, make run continues, make down ends it", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
