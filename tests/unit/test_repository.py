"""The house rules that no linter knows: which modules there are, how long they are, and what no file says."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from pipelines.__main__ import STEPS
from pipelines.settings import REPOSITORY

REFIT = REPOSITORY / "src" / "refit"
PIPELINES = REPOSITORY / "pipelines"
STEP_FILES = sorted(path for path in PIPELINES.glob("*.py") if path.read_text().startswith('"""\nStep: '))
NO_CONTRACT = {"adapters", "testing"}
"""Parts of refit that may know the outside world."""

CONTRACTS = {
    contract["name"]: contract
    for contract in tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
}


def modules(folder: Path) -> set[str]:
    """Return the modules and packages directly in *folder*."""
    files = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    return files - {"__init__", "__main__"}


def tracked() -> list[Path]:
    """Return every file of the repository, also those that are new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    paths = [REPOSITORY / name for name in listed.stdout.decode().split("\0") if name]
    return sorted(path for path in paths if path.is_file())


def test_the_import_rules_name_every_module_of_refit() -> None:
    named = CONTRACTS["know-how does not know the outside world"]["source_modules"]
    assert set(named) == {f"refit.{name}" for name in modules(REFIT) - NO_CONTRACT}
    assert len(named) == len(set(named))


@pytest.mark.parametrize(
    ("contract", "key"),
    [
        ("steps do not call other steps", "modules"),
        ("steps get collaborators from wiring, never an adapter directly", "source_modules"),
    ],
)
def test_the_import_rules_name_every_step(contract: str, key: str) -> None:
    assert set(CONTRACTS[contract][key]) == {f"pipelines.{name}" for name in STEPS}


def test_every_file_that_says_it_is_a_step_can_be_run_by_name() -> None:
    assert {path.stem for path in STEP_FILES} == set(STEPS)
    assert len(STEPS) == len(set(STEPS))
    mentions = {path.stem for path in PIPELINES.glob("*.py") if re.search(r"^Step: ", path.read_text(), re.M)}
    assert mentions == set(STEPS)


def _limits() -> list[tuple[Path, int]]:
    steps = [(path, 180) for path in STEP_FILES]
    others = [(path, 400) for path in [*REFIT.rglob("*.py"), *PIPELINES.glob("*.py")] if path not in STEP_FILES]
    dags = [(path, 200) for path in (REPOSITORY / "dags").glob("*.py")]
    return sorted([*steps, *others, *dags])


@pytest.mark.parametrize(
    ("path", "most"), [pytest.param(*limit, id=str(limit[0].relative_to(REPOSITORY))) for limit in _limits()]
)
def test_no_file_is_longer_than_one_can_keep_in_mind(path: Path, most: int) -> None:
    """Ceilings, not targets: a longer file holds two concepts; one that is cut to fit a number is worse than long."""
    assert len(path.read_text().splitlines()) <= most


@pytest.mark.parametrize("path", STEP_FILES, ids=lambda path: path.stem)
def test_a_step_says_what_it_reads_and_writes_and_whether_it_may_run_again(path: Path) -> None:
    lines = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()
    starts = [line.split(":")[0] for line in lines if line and not line.startswith(" ")]
    assert starts == ["Step", "Reads", "Writes", "Re-run"]
    assert all(re.match(r"(Step|Reads|Writes|Re-run): +\S", line) for line in lines if line and line[0] != " ")


@pytest.mark.parametrize("path", STEP_FILES, ids=lambda path: path.stem)
def test_a_step_has_the_parts_of_a_step_in_their_order(path: Path) -> None:
    """A receipt, `run` and `main`; a step without collaborators may do with `main` alone."""
    body = ast.parse(path.read_text()).body
    defined = [node.name for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    public = [name for name in defined if not name.startswith("_")]
    assert public in (["Receipt", "run", "main"], ["main"])


EXAMPLES = [
    ".".join(path.relative_to(REPOSITORY / "src").with_suffix("").parts)
    for path in sorted(REFIT.rglob("*.py"))
    if re.search(r"^\s+>>> ", path.read_text(), re.M)
]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_examples_in_docstrings_are_right(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(name), verbose=False)
    assert outcome.attempted > 0
    assert outcome.failed == 0


MACHINE = [
    *[re.escape("/".join(["", folder, ""])).encode() for folder in ("work", "root", "home", "Users")],
    *[re.escape(".".join(host)).encode() for host in (("files", "pythonhosted", "org"), ("pypi", "org"))],
    *[re.escape(".".join(host)).encode() for host in (("repo1", "maven", "org"), ("registry", "npmjs", "org"))],
    rb"(?<![a-z.])(?:index|mirror|proxy|artifactory|nexus)\.[a-z0-9-]+\.[a-z]{2,}",
]
"""Spelt so that this file does not find itself."""


def test_no_file_names_a_machine_or_a_package_host() -> None:
    """A checkout works in any folder and with any index that the machine is configured for."""
    pattern = re.compile(rb"(?<![\w.])(?:" + rb"|".join(MACHINE) + rb")")
    found = {}
    for path in tracked():
        match = pattern.search(path.read_bytes())
        if match:
            found[str(path.relative_to(REPOSITORY))] = match.group(0)
    assert found == {}


def test_a_test_lies_beside_the_room_that_it_tries() -> None:
    """`tests/unit/ROOM/` mirrors `src/refit/ROOM/`; `pipelines/` and `bench/` have folders of their own."""
    rooms = {path.name for path in REFIT.iterdir() if path.is_dir()} | {"pipelines", "bench"}
    unit = REPOSITORY / "tests" / "unit"
    assert {path.relative_to(unit).parts[0] for path in unit.rglob("test_*.py") if path.parent != unit} <= rooms
