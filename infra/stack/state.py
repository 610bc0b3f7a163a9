"""What is written down about a running stack, so that another terminal can find and end it."""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.errors import StackError
from infra.host.postgres import is_open_to_server
from infra.host.processes import Process
from infra.stack.credentials import Credentials, keep_credentials, write_private

_FILE = "stack.json"
_SECRETS = "secrets.json"


@dataclass(frozen=True)
class Stack:
    """The stack of one shop, as it was started; its processes may have ended since."""

    shop: str
    root: Path
    mark: str
    """Carried by every process of this start; see `infra.host.processes`."""
    airflow: str
    mlflow: str
    s3: str
    own_environment: Mapping[str, str]
    """What the stack sets for its processes, less the secrets."""
    processes: tuple[Process, ...] = ()
    database: str = ""
    """JDBC address of the database of the shop, if it is part of the stack."""

    @property
    def alive(self) -> bool:
        """Whether any process of it still runs."""
        return any(process.alive for process in self.processes)

    @property
    def credentials(self) -> Credentials:
        """The secrets of the shop's stack."""
        return keep_credentials(self.root / _SECRETS)

    @property
    def environment(self) -> dict[str, str]:
        """The settings, secrets included, by which a step runs against this stack."""
        credentials = self.credentials
        of_database = {"REFIT_SOURCE_PASSWORD": credentials.database_password} if self.database else {}
        return {**self.own_environment, **credentials.environment(), **of_database}

    def log(self, name: str) -> Path:
        """Return the log file of one process."""
        return self.root / "logs" / f"{name}.log"


def write_stack(stack: Stack) -> None:
    """Write *stack* down, readable by its owner only."""
    text = json.dumps({**asdict(stack), "root": str(stack.root)}, indent=2)
    write_private(stack.root / _FILE, text + "\n")


def read_stack(root: Path) -> Stack | None:
    """Return what was written down under *root*, whether or not it still runs."""
    path = root / _FILE
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        processes = tuple(Process(**process) for process in kept.pop("processes"))
        return Stack(**{**kept, "root": root, "processes": processes})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StackError(f"{path} is damaged ({error}); end its processes by hand and remove it") from error


def forget_stack(root: Path) -> None:
    """Remove what was written down about processes; everything else stays."""
    (root / _FILE).unlink(missing_ok=True)


def kept_shops(state: Path) -> list[Path]:
    """Return the folder of every shop whose stack was started and not ended."""
    return sorted(path.parent for path in state.absolute().glob(f"*/{_FILE}"))


@contextlib.contextmanager
def only_one(root: Path) -> Iterator[None]:
    """Keep a second start or end of the same stack out."""
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o710 if is_open_to_server(root) else 0o700)
    with (root / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StackError(f"the stack in {root} is being started or ended by another program") from error
        yield
