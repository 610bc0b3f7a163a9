"""
The packages of the distribution that Refit needs beside Python: `python -m infra.packages`.

Installs what is missing if it may, otherwise says by which command. Only the standard library is used, so that it runs
before the environment of Refit exists.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping

from infra.java import find_java
from infra.postgres import find_driver, find_postgres
from refit.errors import ConfigurationError

_INSTALL = ("apt-get", "install", "-y", "--no-install-recommends")


def missing(environment: Mapping[str, str]) -> list[str]:
    """Return the Debian packages without which something of Refit does not run; none if all is there."""
    needed: dict[str, Callable[[], object]] = {
        "openjdk-17-jre-headless": lambda: find_java(environment),
        "postgresql": lambda: find_postgres(environment),
        "libpostgresql-jdbc-java": find_driver,
    }
    return [package for package, find in needed.items() if not _is_there(find)]


def _is_there(find: Callable[[], object]) -> bool:
    try:
        find()
    except ConfigurationError:
        return False
    return True


def main() -> int:
    """Install what is missing; return 0 once all is there."""
    packages = missing(os.environ)
    if not packages:
        return 0
    command = [*_INSTALL, *packages]
    if shutil.which("apt-get") is None:
        print(f"install {', '.join(packages)} (the names on Debian) with the package client here", file=sys.stderr)
        return 1
    if os.geteuid() != 0:
        print(f"sudo apt-get update && sudo {' '.join(command)}", file=sys.stderr)
        return 1
    print(f"installing {', '.join(packages)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for step in (["apt-get", "update", "-q"], command):
        if (code := subprocess.run(step, env=environment, check=False).returncode) != 0:
            print(
                f"{' '.join(step)} failed with exit code {code}; mend that and run make packages again", file=sys.stderr
            )
            return 1
    if still := missing(os.environ):
        print(f"{', '.join(still)} cannot be used although apt-get installed them", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
