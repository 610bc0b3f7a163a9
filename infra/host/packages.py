"""
The packages of the distribution that Refit needs beside Python: `python -m infra.host.packages TARGET ...`.

Each target of the Makefile brings what it needs. Root, and whoever sudo asks for no password, gets what is missing from
apt-get, which is told beforehand with the reason; anybody else gets one sentence with the command. Only the standard
library is used, so that it runs before the environment of Refit exists.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.demo.raw_data import has_own_database, needs_driver
from infra.host import java, postgres
from infra.stack.env_file import load_env_file
from refit.errors import ConfigurationError

_REPOSITORY = Path(__file__).resolve().parents[2]
_NONINTERACTIVE = "DEBIAN_FRONTEND=noninteractive"
_UPDATE = ("apt-get", "update", "-q")
_INSTALL = ("apt-get", "install", "-y", "--no-install-recommends")
_ANSWER_SECONDS = 20


@dataclass(frozen=True)
class Need:
    """Something of the system without which a part of Refit does not run."""

    what: str
    """Its name, for people."""
    why: str
    """What it is for."""
    packages: tuple[str, ...]
    """Packages of Debian, in order of preference; a release has one of them at least."""
    find: Callable[[Mapping[str, str], Path], object]
    """Raises a ConfigurationError where an environment and a root folder do not have it."""

    def is_there(self, environment: Mapping[str, str], root: Path) -> bool:
        """Return whether nothing has to be installed."""
        try:
            self.find(environment, root)
        except ConfigurationError:
            return False
        return True


def _below(root: Path, path: Path) -> Path:
    return root / path.relative_to("/")


def _find_venv(environment: Mapping[str, str], root: Path) -> None:
    # Debian leaves this module out of Python, and a folder without pip is then what `python -m venv` makes.
    if importlib.util.find_spec("ensurepip") is None and not (_REPOSITORY / ".venv" / "bin" / "uv").exists():
        raise ConfigurationError("Python here makes no virtual environments")


VENV = Need(
    "Python's module venv",
    "makes the folder of Python's packages",
    (f"python3.{sys.version_info.minor}-venv", "python3-venv"),
    _find_venv,
)
JAVA = Need(
    f"Java {java.OLDEST} or newer",
    "Spark runs on it",
    ("openjdk-17-jre-headless", "openjdk-21-jre-headless"),
    lambda environment, root: java.find_java(environment, folders=_below(root, java.FOLDERS)),
)
SERVER = Need(
    "a PostgreSQL server",
    "serves a shop's database, and those of the tests",
    ("postgresql",),
    lambda environment, root: postgres.find_postgres(environment, folders=_below(root, postgres.FOLDERS)),
)
DRIVER = Need(
    "the JDBC driver of PostgreSQL",
    "Spark reads databases by it",
    ("libpostgresql-jdbc-java",),
    lambda environment, root: postgres.find_driver(path=_below(root, postgres.DRIVER)),
)
_WITH_TESTS = {"packages", "test", "test-fast", "test-long"}
_WITH_SHOP = {"run", "up"}


def needs(targets: Iterable[str], environment: Mapping[str, str]) -> list[Need]:
    """Return what the *targets* of the Makefile need; those that serve a shop need what that one reads."""
    targets = set(targets)
    if targets & _WITH_TESTS:
        return [VENV, JAVA, SERVER, DRIVER]
    if not targets & _WITH_SHOP:
        reads_postgres = "shop" in targets and environment.get("FROM", "").startswith("jdbc:postgresql:")
        return [VENV, JAVA, *[DRIVER] * reads_postgres]
    shops = Path(environment.get("REFIT_SHOPS") or _REPOSITORY / "shops")
    shop, data = shops / (environment.get("REFIT_SHOP") or "simulated"), environment.get("REFIT_DATA", "")
    own_driver = not environment.get("REFIT_SPARK_JARS") and needs_driver(shop, data)
    return [VENV, JAVA, *[SERVER] * has_own_database(shop, data), *[DRIVER] * own_driver]


def main(targets: Sequence[str], *, root: Path = Path("/")) -> int:
    """Bring what *targets* need and the folders of *root* do not have; return 0 once all is there."""
    try:
        load_env_file()
        wanted = needs(targets, os.environ)
        missing = [need for need in wanted if not need.is_there(os.environ, root)]
        if missing:
            _bring(missing, f"make {' '.join(targets) or 'packages'}", root)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _bring(missing: Sequence[Need], command: str, root: Path) -> None:
    purposes = _and([f"{need.what} ({need.why})" for need in missing])
    by_hand = " ".join(["sudo", *_UPDATE, "&&", "sudo", *_INSTALL, *_packages(missing)])
    if shutil.which("apt-get") is None:
        raise ConfigurationError(
            f"{command} needs {purposes}, and this machine has no apt-get; install with its own package client what "
            f"Debian calls {_and(_packages(missing))}, then run {command} again"
        )
    leave = _leave()
    if leave is None:
        raise ConfigurationError(
            f"{command} needs {purposes}, and only root may install that; run {by_hand}, then {command} again"
        )
    print(f"{command} needs {purposes}: installing from the distribution", flush=True)
    _call([*leave, *_UPDATE], command)
    _call([*leave, *_INSTALL, *_packages(missing)], command)  # named anew: only now it is known what there is
    if still := [need for need in missing if not need.is_there(os.environ, root)]:
        raise ConfigurationError(
            f"apt-get has installed {_and(_packages(still))}, and {command} still does not find "
            f"{_and([need.what for need in still])}; look above at what apt-get said, then run {command} again"
        )


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _packages(missing: Sequence[Need]) -> list[str]:
    """Return a package for each need: the first that the lists of this machine know, or the first of all."""
    return [next(filter(_is_known, need.packages), need.packages[0]) for need in missing]


def _is_known(package: str) -> bool:
    if shutil.which("apt-cache") is None:
        return False
    asked = subprocess.run(["apt-cache", "show", package], capture_output=True, timeout=_ANSWER_SECONDS, check=False)
    return asked.returncode == 0 and bool(asked.stdout.strip())


def _leave() -> list[str] | None:
    """Return the words in front of a command that only root may run, or None when nobody lets us run it."""
    unasked = ["env", _NONINTERACTIVE]
    if os.geteuid() == 0:
        return unasked
    by_sudo = ["sudo", "-n", *unasked]
    if shutil.which("sudo") is None:
        return None
    tried = subprocess.run(
        [*by_sudo, "apt-get", "--version"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_ANSWER_SECONDS,
        check=False,
    )
    return by_sudo if tried.returncode == 0 else None


def _call(words: Sequence[str], command: str) -> None:
    code = subprocess.run(words, stdin=subprocess.DEVNULL, check=False).returncode
    if code:
        raise ConfigurationError(
            f"{' '.join(words)} failed with exit code {code}, see above why; mend that and run {command} again"
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
