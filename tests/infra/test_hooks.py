"""The hook that `make hooks` installs stops a commit that lint would refuse."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("content", "stopped"),
    [('NAME = "refit"\n', False), ("NAME = 'refit'\n", True), ("import os\n", True)],
    ids=["as it should be", "not formatted", "an import that nobody uses"],
)
def test_a_commit_is_looked_at(tmp_path: Path, content: str, stopped: bool) -> None:
    def git(*words: str) -> int:
        author = ["-c", "user.name=dana", "-c", "user.email=dana@example.org"]
        return subprocess.run(["git", *author, *words], cwd=tmp_path, capture_output=True, check=False).returncode

    assert git("init") == 0
    assert git("config", "core.hooksPath", str(ROOT / "infra" / "hooks")) == 0
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    (tmp_path / "ruff.toml").write_text('lint.select = ["F"]\n', encoding="utf-8")
    (tmp_path / "name.py").write_text(content, encoding="utf-8")
    assert git("add", "name.py") == 0
    assert (git("commit", "-m", "a name") != 0) is stopped
