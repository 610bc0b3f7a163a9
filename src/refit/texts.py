"""Texts that people write: configuration, suites and SQL."""

from __future__ import annotations

from pathlib import Path

from refit.errors import ConfigurationError


def read_text(path: Path) -> str:
    """Return the text of the file at *path*; ConfigurationError, with the line, if it is not UTF-8."""
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"line {line} of {path} is not UTF-8; save the file as UTF-8") from error
