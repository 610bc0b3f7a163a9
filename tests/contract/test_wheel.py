"""The wheel and the sdist, installed where nothing else is: a reader of lists needs boto3 and pyarrow only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from support.published import CREATED, go_live

from pipelines.settings import REPOSITORY
from refit.adapters.s3 import S3ObjectStore

pytestmark = pytest.mark.release
ADDRESS = "s3://refit/wheel"
NEEDED = {"boto3", "botocore", "jmespath", "pyarrow", "python-dateutil", "refit", "s3transfer", "six", "urllib3"}
READER = """
import json, sys
import refit
address, endpoint, folder = sys.argv[1:]
lists = refit.read_live(address, endpoint=endpoint)
copied = refit.copy_live(address, folder, endpoint=endpoint)
print(json.dumps({
    "people": lists["user_id"].to_pylist(),
    "one": refit.read_person(address, "b", endpoint=endpoint)["recommendations"][0]["item_id"],
    "nobody": refit.read_person(address, "nobody", endpoint=endpoint),
    "where": refit.__file__,
}))
"""


def run(*command: str | Path, **more: str) -> str:
    """Run *command* in an environment without the checkout and return what it printed."""
    clean = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    done = subprocess.run(
        [*map(str, command)], env={**clean, **more}, cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a wheel and an sdist that were built from the files that git tracks."""
    folder = tmp_path_factory.mktemp("built")
    tree = folder / "tree"
    tree.mkdir()
    listed = run(
        "git",
        "-C",
        REPOSITORY,
        "ls-files",
        "-co",
        "--exclude-standard",
        "-z",
        "src",
        "pipelines",
        "pyproject.toml",
        "README.md",
        "LICENSE",
    )
    for name in filter(None, listed.split("\0")):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes((REPOSITORY / name).read_bytes())
    run(sys.executable, "-m", "build", "--outdir", folder / "dist", tree)
    return folder / "dist"


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the Python of an environment that holds the wheel and what it asks for, and nothing else."""
    folder = tmp_path_factory.mktemp("empty")
    run(sys.executable, "-m", "venv", folder)
    run(folder / "bin" / "pip", "install", "-q", next(built.glob("*.whl")))
    return folder / "bin" / "python"


def test_wheel_and_sdist_hold_the_packages_and_the_licence(built: Path) -> None:
    wheel = set(zipfile.ZipFile(next(built.glob("*.whl"))).namelist())
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        sdist = {name.partition("/")[2] for name in archive.getnames()}
    ours = {"refit/py.typed", "refit/__init__.py", "refit/adapters/s3.py", "pipelines/score_users.py"}
    assert ours - wheel == set()
    assert {"LICENSE", "README.md", "src/refit/py.typed", "pipelines/score_users.py"} - sdist == set()
    assert any(name.endswith("licenses/LICENSE") for name in wheel)
    assert {name.split("/")[0] for name in wheel if ".dist-info" not in name} == {"refit", "pipelines"}


def test_the_wheel_asks_for_nothing_that_a_reader_does_not_need(installed: Path) -> None:
    listed = json.loads(run(installed, "-m", "pip", "list", "--format", "json"))
    assert {package["name"].lower() for package in listed} - {"pip", "setuptools"} == NEEDED


def test_an_empty_environment_reads_the_live_lists(
    installed: Path, s3_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: Mapping[str, str] = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    store = S3ObjectStore.connect(ADDRESS, endpoint=s3_endpoint)
    go_live(store, CREATED, [["a", "b"], ["c"]], logical_run="wheel")
    said = json.loads(run(installed, "-c", READER, ADDRESS, s3_endpoint, tmp_path / "copy", **keys))
    assert said["people"] == ["a", "b", "c"]
    assert said["one"] == "b-1"
    assert said["nobody"] is None
    assert str(REPOSITORY) not in said["where"]
    assert list((tmp_path / "copy" / "current").glob("*.parquet"))


def test_the_command_says_what_it_needs(installed: Path) -> None:
    """Without the libraries of the steps the command ends with one sentence."""
    command = installed.with_name("refit")
    done = subprocess.run([command, "--help"], capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 1
    assert done.stderr == "refit: pydantic is not installed; the steps need it: pip install 'refit[steps]'\n"
