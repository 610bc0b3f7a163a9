"""Code versions: which code trained a model."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from refit.digests import digest_of_files

_SECONDS = 10


def code_version(package: str, commit: str, folders: Mapping[str, Path]) -> str:
    """
    Return one line that identifies the code: package version and commit where known, and a digest of all sources.

    The digest detects what version and commit do not: a patched installed package, or uncommitted changes.
    """
    files = {
        f"{name}/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for name, folder in folders.items()
        for path in sorted(folder.rglob("*.py"))
    }
    named = {"refit": package, "commit": commit, "sources": digest_of_files(files)[:16]}
    return ", ".join(f"{what} {which}" for what, which in named.items() if which)


def installed_version() -> str:
    """Return the version of the installed package; empty where Refit runs from a checkout."""
    try:
        return version("refit")
    except PackageNotFoundError:
        return ""


def git_commit(folder: Path) -> str:
    """Return the commit checked out in *folder*, with `-dirty` when files differ; empty where there is none."""
    if not (folder / ".git").exists():
        return ""
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
