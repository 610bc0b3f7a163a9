"""
`make shop`: the step `draft_shop` with the Java and the driver of this machine, and its receipt for a person.

The step itself is `python -m pipelines draft_shop name=... source=...`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

from infra.host.class_archive import class_archive
from infra.host.java import find_java
from infra.host.postgres import find_driver
from infra.stack.env_file import load_env_file
from infra.stack.services import FAST_START
from pipelines.process import NOISE
from pipelines.settings import REPOSITORY
from refit.errors import ConfigurationError

_USAGE = (
    "make shop needs NAME=, what the shop will be called, and FROM=, a folder or "
    "'jdbc:postgresql://host/database#table'; for example make shop NAME=corner FROM=data"
)


def environment(source: str) -> dict[str, str]:
    """Return the environment in which the step can read *source*."""
    found = {
        "JAVA_HOME": str(find_java(os.environ).home),
        "REFIT_SPARK_JAVA_OPTIONS": FAST_START,
        "REFIT_SPARK_CLASS_ARCHIVE": class_archive(),
        **os.environ,
    }
    if source.startswith("jdbc:postgresql:") and not found.get("REFIT_SPARK_JARS"):
        found["REFIT_SPARK_JARS"] = str(find_driver())
    return found


def tell(receipt: dict[str, Any]) -> str:
    """Return what a person wants to know of the *receipt* of `draft_shop`; the last line is the next command."""
    lines = [f"wrote {', '.join(receipt['files'])} in {receipt['folder']}"]
    lines.append(f"{receipt['events']:,} events from {receipt['first_day']} to {receipt['last_day']} can be landed")
    lines.append("questions, which stand in the files as well:")
    for question in receipt["questions"]:
        lines += textwrap.wrap(question, 110, initial_indent="  - ", subsequent_indent="    ")
    return "\n".join([*lines, f"next: {receipt['next']}"])


def _run(command: list[str], environment: dict[str, str]) -> int:
    """Run *command*, pass on what it says but for the noise of the JVM, and return its exit code."""
    process = subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, bufsize=1
    )
    for line in process.stderr or ():
        if not line.startswith(NOISE):
            print(line, end="", file=sys.stderr, flush=True)
    return process.wait()


def main(arguments: list[str]) -> int:
    """Draft the shop that *arguments* (name, source, zone) describe."""
    name, source, zone = (*arguments, "", "", "")[:3]
    try:
        if not name or not source:
            raise ConfigurationError(_USAGE)
        load_env_file()
        with tempfile.TemporaryDirectory(prefix="refit-draft-") as folder:
            out = Path(folder) / "receipt.json"
            words = [f"name={name}", f"source={source}", *([f"time_zone={zone}"] if zone else [])]
            command = [sys.executable, "-m", "pipelines", "draft_shop", *words, "--out", str(out)]
            code = _run(command, environment(source))
            if code == 0:
                print(tell(json.loads(out.read_text(encoding="utf-8"))))
            return code
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
