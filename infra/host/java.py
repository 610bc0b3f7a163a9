"""
Find a Java that Spark can run on, before anything slow begins.

Only the standard library is used, so that `infra.host.packages` can ask before the environment of Refit exists.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from refit.errors import ConfigurationError

OLDEST = 17
"""Spark 4 does not start on an older Java."""
FOLDERS = Path("/usr/lib/jvm")
"""Where Debian and its relatives install Java."""
_ANSWER_SECONDS = 20
_VERSION = re.compile(r'version "(?:1\.)?(\d+)[^"]*"')


@dataclass(frozen=True)
class Java:
    """One usable Java installation."""

    home: Path
    version: int


def find_java(environment: Mapping[str, str], *, folders: Path = FOLDERS) -> Java:
    """
    Return the first usable Java of JAVA_HOME, of PATH and of *folders*, in this order.

    Raises:
        ConfigurationError: none of them is at least Java 17; the message says how to install one.
    """
    refused: list[str] = []
    for home in _candidates(environment, folders):
        version = _version(home)
        if version is None:
            continue
        if version >= OLDEST:
            return Java(home, version)
        refused.append(f"Java {version} at {home}")
    found = f"found only {', '.join(refused)}" if refused else "found none"
    raise ConfigurationError(
        f"Spark needs Java {OLDEST} or newer and {found}; make packages installs one "
        "(Debian, Ubuntu: apt install openjdk-17-jre-headless), or set JAVA_HOME to it"
    )


def _candidates(environment: Mapping[str, str], folders: Path) -> Iterator[Path]:
    if named := environment.get("JAVA_HOME"):
        yield Path(named)
    if on_path := shutil.which("java", path=environment.get("PATH", "")):
        yield Path(on_path).resolve().parent.parent
    # The oldest that suffices is what Spark is tested on; folders of one version differ only by name.
    installed = {path.resolve() for path in folders.glob("*") if (path / "bin" / "java").exists()}
    yield from sorted(installed, key=lambda path: (_number(path.name), path.name))


def _number(name: str) -> int:
    digits = re.search(r"(?:java-|jdk-|jre-|-)(?:1\.)?(\d+)", name)
    return int(digits.group(1)) if digits else sys.maxsize


def _version(home: Path) -> int | None:
    java = home / "bin" / "java"
    try:
        answer = subprocess.run(
            [str(java), "-version"], capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(answer.stderr + answer.stdout)
    return int(match.group(1)) if match and answer.returncode == 0 else None
