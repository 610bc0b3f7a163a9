"""
What is publicly known against the locked packages, asked by pip-audit.

pip-audit takes a source that knows nothing for one that has nothing to say. So it is first asked about a version whose
weakness has been published for years: a source that does not know that one is no source.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.errors import StackError

KNOWN_WEAK = "jinja2==2.10"
"""Its sandbox can be left (CVE-2019-10906); every source of advisories has known it since 2019."""
_SECONDS = 1_800

Ask = Callable[[Sequence[str]], "Answer"]


class NoAdvisoriesError(StackError):
    """No source of advisories could be asked; nothing is known about the packages, neither good nor bad."""


@dataclass(frozen=True)
class Answer:
    """How pip-audit ended."""

    code: int
    """0: nothing known, 1: something known or something went wrong."""
    out: str
    err: str


@dataclass(frozen=True)
class Weakness:
    """One published weakness of one locked package."""

    package: str
    version: str
    advisory: str
    mended_in: tuple[str, ...]

    def __str__(self) -> str:
        mended = f"mended in {', '.join(self.mended_in)}" if self.mended_in else "not mended in any version"
        return f"{self.package} {self.version}: {self.advisory}, {mended}"


def pip_audit(words: Sequence[str]) -> Answer:
    """Run pip-audit in a process of its own."""
    command = [sys.executable, "-m", "pip_audit", "--strict", "--disable-pip", "--no-deps", "--format", "json"]
    done = subprocess.run(
        [*command, "--desc", "off", "--progress-spinner", "off", *words],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def known_weaknesses(lock: Path, *, service: str = "pypi", ask: Ask = pip_audit) -> tuple[list[Weakness], int]:
    """
    Return what *service* knows against the packages of *lock*, and how many packages it was asked about.

    Raises:
        NoAdvisoriesError: the service does not answer, has no advisories, or skips a package.
    """
    with tempfile.TemporaryDirectory(prefix="refit-audit-") as folder:
        probe = Path(folder) / "probe.txt"
        probe.write_text(KNOWN_WEAK + "\n", encoding="utf-8")
        found, _ = _read(ask(["--vulnerability-service", service, "--requirement", str(probe)]), service)
    if not found:
        raise NoAdvisoriesError(
            f"service {service} answers but knows nothing against {KNOWN_WEAK}, so it has no advisories; "
            "the packages were not audited; audit where the advisories of PyPI or OSV can be reached"
        )
    return _read(ask(["--vulnerability-service", service, "--requirement", str(lock)]), service)


def _read(answer: Answer, service: str) -> tuple[list[Weakness], int]:
    try:
        packages = json.loads(answer.out)["dependencies"]
        skipped = [package for package in packages if "skip_reason" in package]
    except (ValueError, KeyError, TypeError) as error:
        lines = [line for line in answer.err.splitlines() if line.strip() and "WARNING" not in line]
        raise NoAdvisoriesError(
            f"service {service} cannot be asked ({lines[-1][:200] if lines else f'exit code {answer.code}'}); "
            "the packages were not audited; audit where the advisories of PyPI or OSV can be reached"
        ) from error
    if skipped:
        raise NoAdvisoriesError(
            f"service {service} knows nothing of {len(skipped)} packages, first {skipped[0]['name']} "
            f"({skipped[0]['skip_reason']}); the audit is not complete"
        )
    found = [
        Weakness(package["name"], package["version"], known["id"], tuple(known.get("fix_versions", ())))
        for package in packages
        for known in package["vulns"]
    ]
    return found, len(packages)
