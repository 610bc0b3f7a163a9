"""
Start, find and end the stack of one shop: `python -m infra.stack.control up | down | status | env`.

Stacks of several shops can run side by side; each has its own folder, ports, secrets and processes.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shlex
import signal
import sys
from collections.abc import Callable, Collection
from pathlib import Path

from infra.demo.raw_data import has_own_database, needs_driver
from infra.errors import AlreadyRunningError, StackError
from infra.host import postgres, processes
from infra.host.java import find_java
from infra.host.ports import choose_ports
from infra.stack import services
from infra.stack.credentials import keep_credentials, write_private
from infra.stack.env_file import load_env_file
from infra.stack.settings import StackSettings, read_stack_settings
from infra.stack.start import Start
from infra.stack.state import Stack, forget_stack, kept_shops, only_one, read_stack
from pipelines.settings import read_settings
from refit.errors import ConfigurationError, RefitError

DAGS = ("ingest", "retrain", "recommend")
"""Timetables without which a stack is not complete."""
HEALTHY_SECONDS = 240.0
"""Far more than a start needs; a loaded machine must not be taken for a broken one."""
END_SECONDS = 15.0
"""The scheduler of Airflow can wait for ever for a worker; after this time it is killed."""
SAVE_SECONDS = 120.0
"""The S3 server may still be writing objects, the database its last pages."""
ENV_OF = "REFIT_ENV_OF"
"""Set by `env`: the stack whose settings a terminal carries."""
_FOLDERS = ("airflow", "lake", "logs", "s3", "warehouse")


def up(
    settings: StackSettings | None = None,
    *,
    dags: Collection[str] = DAGS,
    seconds: float = HEALTHY_SECONDS,
    say: Callable[[str], None] = print,
) -> Stack:
    """
    Start the stack of one shop and return it once everything of it is healthy.

    Raises:
        AlreadyRunningError: it runs already.
        StackError: something did not start; whatever had been started is ended again.
        ConfigurationError: a setting cannot be used, or there is no Java or PostgreSQL; nothing was started.
    """
    settings = settings or read_stack_settings()
    root = settings.root
    _refuse_foreign_terminal(root)
    _refuse_unknown_shop(settings.shop)
    with only_one(root):
        _refuse_running(root)
        java = find_java(os.environ)
        folder = read_settings().shops / settings.shop
        programs = postgres.find_postgres(os.environ) if has_own_database(folder, settings.data) else None
        named = os.environ.get("REFIT_SPARK_JARS")
        jars = str(postgres.find_driver()) if needs_driver(folder, settings.data) and not named else ""
        wanted = {
            "REFIT_AIRFLOW_PORT": settings.airflow_port,
            "REFIT_MLFLOW_PORT": settings.mlflow_port,
            "REFIT_S3_PORT": settings.s3_port,
        }
        ports = choose_ports({**wanted, **({"REFIT_DATABASE_PORT": settings.database_port} if programs else {})})
        for name in _FOLDERS:
            (root / name).mkdir(exist_ok=True, mode=0o700)
        credentials = keep_credentials(root / "secrets.json")
        write_private(root / "airflow" / "passwords.json", json.dumps(credentials.passwords()))
        database = None
        if programs:
            port, password = ports["REFIT_DATABASE_PORT"], credentials.database_password
            database = postgres.make_cluster(programs, root / "database", port, password=password)
        at = services.addresses(ports)
        stack = Stack(
            shop=settings.shop,
            root=root,
            mark=secrets.token_hex(16),
            airflow=at["airflow"],
            mlflow=at["mlflow"],
            s3=at["s3"],
            own_environment=services.environment(settings, ports, java, database, jars),
            database=database.url if database else "",
        )
        commands = services.commands(
            root, ports, bucket=settings.bucket, shop=settings.shop, mlflow_database=settings.mlflow_database
        )
        say(f"starting the stack of shop {settings.shop} (Java {java.version}, state in {root})")
        start = Start(stack, commands, dags, say, database)
        try:
            stack = start.run(seconds=seconds)
        except BaseException:  # an interrupt too must leave nothing behind
            _end(start.stack)
            raise
    return stack


def down(settings: StackSettings | None = None) -> bool:
    """End the stack of one shop; return whether there was one. What it keeps on disk stays."""
    settings = settings or read_stack_settings()
    if not settings.root.exists():
        return False
    with only_one(settings.root):
        stack = read_stack(settings.root)
        if stack is None:
            return False
        was_running = stack.alive
        _end(stack)
        return was_running


def running(settings: StackSettings | None = None) -> Stack | None:
    """Return the stack of one shop if any process of it runs."""
    settings = settings or read_stack_settings()
    stack = read_stack(settings.root)
    return stack if stack and stack.alive else None


def _end(stack: Stack) -> None:
    by_name = {process.name: process for process in stack.processes}
    clients = [by_name[name] for name in services.STOP_ORDER if name in by_name]
    processes.terminate(clients)
    processes.wait_for_end(clients, seconds=END_SECONDS)
    # Tasks and workers may outlive their parent; they must be gone before the server that they write to.
    storage = [process for process in stack.processes if process.name in services.STORAGE and process.alive]
    processes.kill_marked(stack.mark, spare=[process.pid for process in storage])
    for process in storage:
        # By SIGTERM PostgreSQL would wait until everybody has gone by himself.
        processes.terminate([process], signal.SIGINT if process.name == services.DATABASE else signal.SIGTERM)
    processes.wait_for_end(storage, seconds=SAVE_SECONDS)
    processes.kill_marked(stack.mark)
    forget_stack(stack.root)


def _refuse_running(root: Path) -> None:
    stack = read_stack(root)
    if stack is None:
        return
    if not stack.alive:
        _end(stack)  # the machine went down, or somebody killed it: leftovers without a parent may be there
        return
    ended = [process.name for process in stack.processes if _is_missing(process)]
    broken = f"; of it {', '.join(ended)} ended" if ended else ""
    raise AlreadyRunningError(
        f"the stack of shop {stack.shop} is already running (Airflow {stack.airflow}){broken}; "
        f"end it with make down SHOP={stack.shop}"
    )


def _is_missing(process: processes.Process) -> bool:
    return process.name != services.MIGRATION and not process.alive


def _refuse_foreign_terminal(root: Path) -> None:
    carried = os.environ.get(ENV_OF)
    if carried and Path(carried) != root:
        raise ConfigurationError(
            f"this terminal carries the settings of the stack in {carried}, which must not leak into the one "
            f"in {root}; use another terminal"
        )


def _refuse_unknown_shop(shop: str) -> None:
    shops = read_settings().shops
    if not (shops / shop).is_dir():
        known = sorted(path.name for path in shops.glob("*") if path.is_dir())
        raise ConfigurationError(f"there is no shop {shop!r} in {shops}; there are: {', '.join(known) or 'none'}")


def _command_up() -> int:
    stack = up()
    print(f"Airflow  {stack.airflow}  (users admin and approver; passwords in {stack.root / 'secrets.json'})")
    print(f"MLflow   {stack.mlflow}  (users admin and approver; passwords in the same file)")
    print(f"S3       {stack.s3}  (bucket {stack.own_environment['REFIT_BUCKET']})")
    if stack.database:
        print(f"Database {stack.database}  (user {postgres.USER}; password in {stack.root / 'secrets.json'})")
    return 0


def _command_down() -> int:
    chosen = [read_stack_settings()] if os.environ.get("REFIT_SHOP") else _all_settings()
    ended = [settings.shop for settings in chosen if down(settings)]
    for shop in ended:
        print(f"ended the stack of shop {shop}; what it keeps is in {read_stack_settings().state / shop}")
    if not ended:
        print(f"no stack runs under {read_stack_settings().state}")
    return 0


def _command_status() -> int:
    chosen = [read_stack_settings()] if os.environ.get("REFIT_SHOP") else _all_settings()
    found = [stack for settings in chosen if (stack := running(settings))]
    for stack in found:
        database = f", database {stack.database}" if stack.database else ""
        print(f"shop {stack.shop}: Airflow {stack.airflow}, MLflow {stack.mlflow}, S3 {stack.s3}{database}")
        for process in stack.processes:
            if process.name != services.MIGRATION:
                state = "runs" if process.alive else "ENDED"
                print(f"  {process.name:22} {state:6} pid {process.pid:<8} {stack.log(process.name)}")
    if not found:
        print(f"no stack runs under {read_stack_settings().state}")
    complete = all(not _is_missing(process) for stack in found for process in stack.processes)
    return 0 if complete else 1


def _command_env() -> int:
    settings = read_stack_settings()
    stack = running(settings)
    if stack is None:
        raise StackError(f"the stack of shop {settings.shop} does not run; start it with make up SHOP={settings.shop}")
    for name, value in sorted({**stack.environment, ENV_OF: str(stack.root)}.items()):
        print(f"export {name}={shlex.quote(value)}")
    return 0


def _all_settings() -> list[StackSettings]:
    state = read_stack_settings().state
    return [StackSettings(shop=root.name, state=state) for root in kept_shops(state)]


def main(arguments: list[str] | None = None) -> int:
    """Run one command; a mistake of the caller is one sentence, and exit code 2 means it runs already."""
    commands = {"up": _command_up, "down": _command_down, "status": _command_status, "env": _command_env}
    parser = argparse.ArgumentParser(prog="python -m infra.stack.control", description=__doc__)
    parser.add_argument("command", choices=commands)
    chosen = parser.parse_args(arguments)
    try:
        load_env_file()
        return commands[chosen.command]()
    except AlreadyRunningError as error:
        print(error, file=sys.stderr)
        return 2
    except RefitError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; everything that had been started was ended", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
