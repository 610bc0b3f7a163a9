"""`infra/.env`, read with the standard library alone, since it is also read before the environment of Refit exists."""

from __future__ import annotations

import os
from pathlib import Path

from refit.errors import ConfigurationError

ENV_FILE = Path(__file__).resolve().parents[1] / ".env"
"""Optional file of NAME=value lines; what the caller's environment says wins."""


def load_env_file(path: Path = ENV_FILE) -> None:
    """Put the lines of *path*, if there is such a file, under the environment of this process."""
    if not path.is_file():
        return
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        text = line.strip().removeprefix("export ")
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            raise ConfigurationError(f"{path}:{number}: expected NAME=value, found {line!r}")
        os.environ.setdefault(name.strip(), value.strip().strip("\"'"))
