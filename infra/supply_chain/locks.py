"""The lock file: name, version, hashes and reason of every package that may be installed."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from infra.errors import StackError

_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==([^\s;\\]+)")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_VIA = re.compile(r"# +(?:via +)?(\S.*)")
_ASKED_FOR = "-r "


@dataclass(frozen=True)
class Locked:
    """One package of the lock file."""

    name: str
    version: str
    hashes: tuple[str, ...]
    """SHA-256 of each file by which it may be installed."""
    needed_by: tuple[str, ...] = ()
    """The packages because of which it is there."""
    asked_for: bool = False
    """Whether a requirements file of the project names it."""


def read_lock(path: Path) -> list[Locked]:
    """
    Return the packages of a lock file in its order; one that differs between Python versions is there for each.

    Raises:
        StackError: a line pins no version, or a package has no hash.
    """
    locked: list[Locked] = []
    for line in path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if pin := _PIN.match(line):
            hashes = tuple(_HASH.findall(line))
            if not hashes:
                raise StackError(f"{path} has no hash for {pin[1]}; make lock writes them")
            locked.append(Locked(pin[1], pin[2], hashes))
        elif line.lstrip().startswith("#"):
            reason = _VIA.fullmatch(line.strip())
            if reason and reason[1] != "via" and locked:
                locked[-1] = _with_reason(locked[-1], reason[1])
        elif line.strip():
            raise StackError(f"{path} names something that is not pinned to one version: {line.strip()[:80]!r}")
    return locked


def _with_reason(package: Locked, reason: str) -> Locked:
    if reason.startswith(_ASKED_FOR):
        return replace(package, asked_for=True)
    return replace(package, needed_by=(*package.needed_by, reason))


def plain(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return name.lower().replace("_", "-").replace(".", "-")
