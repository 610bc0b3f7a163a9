"""Whether the installed files are those of the packages that they came with."""

from __future__ import annotations

import base64
import csv
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution
from pathlib import Path

from infra.supply_chain.locks import Locked, plain

_CHUNK = 1 << 20


@dataclass(frozen=True)
class Checked:
    """What was found in one folder of packages."""

    packages: int
    files: int
    """Files whose hash was compared."""
    wrong: tuple[str, ...]
    """One sentence for each file that is missing or is not the one of its package."""


def check_installed(folder: Path) -> Checked:
    """
    Compare every file of every package in *folder* with the hash that the package's own record gives.

    Of two packages that own one path the one that was installed last wins without a word; here the other one is named.
    Files without a hash are the records themselves and what Python compiles.
    """
    packages, files, wrong = installed(folder), 0, []
    for package in packages:
        # Read here, because newer Pythons leave out files that are missing.
        record = package.read_text("RECORD")
        if record is None:
            wrong.append(f"{_name(package)}: has no record of its files")
            continue
        for path, expected, _ in csv.reader(record.splitlines()):
            if not expected:
                continue
            files += 1
            if gap := _gap(folder / path, *expected.split("=", 1)):
                wrong.append(f"{_name(package)}: {path} {gap}")
    return Checked(len(packages), files, tuple(wrong))


def installed(folder: Path) -> list[Distribution]:
    """Return the packages in *folder*, each once, by name; other finders in this process would find them again."""
    found = [Distribution.at(path) for path in folder.glob("*.dist-info")]
    return sorted(found, key=lambda package: plain(package.metadata["Name"]))


def unlocked(folder: Path, locked: Iterable[Locked]) -> list[str]:
    """Return one sentence for each package in *folder* that the lock files do not name in that version."""
    versions: dict[str, list[str]] = {}
    for package in locked:
        versions.setdefault(plain(package.name), []).append(package.version)
    return [
        f"{_name(package)}: the lock files name {' or '.join(named) or 'no such package'}"
        for package in installed(folder)
        if package.version not in (named := versions.get(plain(package.metadata["Name"]), []))
    ]


def _name(package: Distribution) -> str:
    return f"{package.metadata['Name']} {package.version}"


def _gap(path: Path, algorithm: str, expected: str) -> str | None:
    try:
        with path.open("rb") as file:
            digest = hashlib.new(algorithm)
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    found = base64.urlsafe_b64encode(digest.digest()).rstrip(b"=").decode()
    return None if found == expected else "is not the file of this package"
