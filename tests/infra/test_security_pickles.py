"""No pickle is ever loaded: not by this code, not from what lies where a model should, and not by MLflow."""

from __future__ import annotations

import ast
import base64
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.host.java import Java
from infra.stack.services import environment
from infra.stack.settings import StackSettings
from pipelines.settings import REPOSITORY
from refit.adapters.mlflow import MlflowTracker
from refit.digests import digest_of_files
from refit.errors import ModelDamagedError
from refit.interfaces import ModelVersion
from refit.model.item_factors import ITEMS_FILE, MODEL_FILE, ItemFactors, load_verified
from refit.testing import FakeTracker

_LOADERS = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve", "torch"}
_CALLS = {"read_pickle", "load_model", "load_context", "set_auto_load"}
"""Functions of pandas and MLflow, and the switch of Arrow, by which a file becomes code."""


class Bomb:
    """An object that, when it is unpickled, makes a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "the-bomb-went-off"


@pytest.fixture
def bomb(marker: Path) -> bytes:
    """Give the pickle, after showing that it goes off when it is loaded."""
    content = pickle.dumps(Bomb(marker))
    pickle.loads(content)
    marker.rmdir()
    return content


@pytest.fixture
def factors() -> ItemFactors:
    return ItemFactors(
        items=pa.array(["a", "b"]),
        factors=np.ones((2, 3), dtype=np.float32),
        people=np.array([1, 2]),
        alpha=1.0,
        regularisation=0.1,
        facts={},
    )


def _code() -> Iterator[tuple[str, ast.AST]]:
    for folder in ("src", "pipelines", "dags", "infra"):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                yield str(path.relative_to(REPOSITORY)), node


def _loads(node: ast.AST) -> str | None:
    """Return what in *node* could load a pickle."""
    names: list[str] = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        names = [node.module or ""]
    for name in names:
        if name.split(".")[0] in _LOADERS or name.startswith("mlflow.pyfunc"):
            return name
    if isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in _CALLS:
            return str(called)
        if any(word.arg == "allow_pickle" and not _is_false(word.value) for word in node.keywords):
            return "allow_pickle"
    return None


def _is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


def test_no_code_of_the_project_can_load_a_pickle() -> None:
    seen = list(_code())
    assert len({path for path, _ in seen}) > 100
    assert [(path, found) for path, node in seen if (found := _loads(node))] == []


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "import mlflow.pyfunc",
        "np.load(path, allow_pickle=True)",
        "pd.read_pickle(path)",
        "mlflow.sklearn.load_model(uri)",
    ],
)
def test_the_search_finds_each_way(line: str) -> None:
    assert any(_loads(node) for node in ast.walk(ast.parse(line)))


def _version(tracker: FakeTracker, files: dict[str, bytes]) -> ModelVersion:
    """Register *files* as somebody would who may write models: under the digest of the very bytes."""
    run_id = tracker.log_run("train", params={}, metrics={}, tags={}, files={})
    model_id = tracker.log_model(run_id, files, params={})
    return ModelVersion(
        name="cafe", version=1, model_id=model_id, run_id=run_id, digest=digest_of_files(files), cutoff="", tags={}
    )


def test_a_pickle_in_the_place_of_a_model_is_refused_unread(bomb: bytes, marker: Path) -> None:
    """Even where the digest fits: whoever may register could have planted it."""
    tracker = FakeTracker()
    description = b'{"format": "refit-item-factors/2", "links_power": null}'
    for files in (
        {"MLmodel": b"flavors: {}", "python_model.pkl": bomb},
        {ITEMS_FILE: bomb, MODEL_FILE: bomb},
        {ITEMS_FILE: bomb, MODEL_FILE: description},
    ):
        with pytest.raises(ModelDamagedError, match="register it again"):
            load_verified(tracker, _version(tracker, files))
    assert not marker.exists()


def test_a_pickle_inside_a_parquet_file_stays_bytes(
    bomb: bytes, marker: Path, tmp_path: Path, factors: ItemFactors
) -> None:
    """Arrow has a type whose description is a pickle; older versions loaded it when the file was opened."""
    good = factors.to_files()
    table = pq.read_table(pa.BufferReader(good[ITEMS_FILE]))
    disguise = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": bomb}
    schema = pa.schema([field.with_metadata(disguise) for field in table.schema])
    pq.write_table(pa.Table.from_arrays(table.columns, schema=schema), tmp_path / ITEMS_FILE)
    content = (tmp_path / ITEMS_FILE).read_bytes()
    assert bomb in base64.b64decode(pq.read_metadata(tmp_path / ITEMS_FILE).metadata[b"ARROW:schema"])
    read = ItemFactors.from_files({**good, ITEMS_FILE: content})
    assert read.items.to_pylist() == factors.items.to_pylist()
    assert not marker.exists()


def test_mlflow_itself_refuses_a_model_that_is_a_pickle(
    bomb: bytes, marker: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the setting that the stack gives every process, and after a step has opened MLflow; else it goes off."""
    import mlflow.pyfunc

    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "python_model.pkl").write_bytes(bomb)
    (folder / "MLmodel").write_text(
        "flavors:\n  python_function:\n    loader_module: mlflow.pyfunc.model\n    python_version: 3.11.0\n"
        "    python_model: python_model.pkl\n    cloudpickle_version: 3.0.0\n",
        encoding="utf-8",
    )
    own = environment(
        StackSettings(shop="cafe", state=tmp_path),
        dict.fromkeys(("REFIT_AIRFLOW_PORT", "REFIT_MLFLOW_PORT", "REFIT_S3_PORT"), 1),
        Java(tmp_path, 17),
    )
    name = "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"
    monkeypatch.setenv(name, own[name])
    with pytest.raises(mlflow.MlflowException, match=name):
        mlflow.pyfunc.load_model(str(folder))
    assert not marker.exists()

    monkeypatch.setenv(name, "true")
    MlflowTracker("http://127.0.0.1:9", "refit-cafe", "s3://refit/mlflow/cafe")
    with pytest.raises(mlflow.MlflowException, match=name):
        mlflow.pyfunc.load_model(str(folder))
    assert not marker.exists()

    monkeypatch.setenv(name, "true")
    with pytest.raises(Exception, match="NoneType"):
        mlflow.pyfunc.load_model(str(folder))
    assert marker.exists()
