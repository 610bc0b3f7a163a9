"""MLflow: runs, models as plain data, and registered models; the only file that knows it."""

from __future__ import annotations

import hashlib
import posixpath
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import mlflow
from botocore.exceptions import BotoCoreError
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.environment_variables import MLFLOW_ALLOW_PICKLE_DESERIALIZATION, MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT
from mlflow.exceptions import MlflowException, RestException

from refit.adapters.mlflow_identity import acts_as
from refit.errors import NotFoundError, RefitError, TransientError
from refit.interfaces import ModelVersion

CHAMPION = "champion"
KIND = {"mlflow.experimentKind": "custom_model_development"}
"""Tag that makes MLflow show an experiment as model training, not with the pages for language models."""

_ABSENT = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"}
"""MLflow answers a missing alias with the second of these."""


_REFUSED = {"PERMISSION_DENIED", "UNAUTHENTICATED"}

_NAME = re.compile(r"[\w. :/-]{1,250}")
"""Names that MLflow accepts for parameters and metrics, if they are also normalised paths."""
_PARENT = "mlflow.parentRunId"
"""Tag with the id of a run's parent run."""
_PARAMS_AT_ONCE, _METRICS_AT_ONCE = 100, 1000
"""Largest number of each per MLflow request."""


class MlflowUnavailableError(TransientError):
    """The MLflow server did not answer."""


class MlflowRefusedError(RefitError):
    """The MLflow server denies this user the operation."""


@contextmanager
def _answered(address: str) -> Iterator[None]:
    try:
        yield
    except RestException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise NotFoundError(f"MLflow at {address}: {str(error)[:200]}") from error
        if error.error_code in _ABSENT:
            raise _not_taken(address, error) from error
        raise
    except BotoCoreError as error:
        raise MlflowUnavailableError(
            f"the files of MLflow at {address} cannot be reached: {str(error)[:200]}; is the object store up?"
        ) from error
    except MlflowException as error:
        if error.error_code in _ABSENT:
            raise _not_taken(address, error) from error
        if error.error_code in _REFUSED:
            raise MlflowRefusedError(
                f"MLflow at {address} does not let user {acts_as() or 'nobody'} do this: {str(error)[:200]}; "
                "docs/security.md tells which user may do what"
            ) from error
        raise MlflowUnavailableError(f"MLflow at {address} does not answer: {str(error)[:200]}; is it up?") from error


def _not_taken(address: str, error: MlflowException) -> MlflowRefusedError:
    return MlflowRefusedError(
        f"MLflow at {address} does not take what was sent: {str(error)[:200]}; compare its version with the one that "
        "Refit names in its requirements"
    )


class MlflowTracker:
    """Runs of one experiment, with files in its own S3 folder."""

    def __init__(self, address: str, experiment: str, artifacts: str) -> None:
        self._address = address
        self._name = experiment
        self._artifacts = artifacts
        # Model downloads have no address parameter and would fall back to a database in the current folder.
        mlflow.set_tracking_uri(address)
        MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.set(True)
        # Models are plain data; MLflow's default would execute code from a file.
        MLFLOW_ALLOW_PICKLE_DESERIALIZATION.set(False)
        self._client = MlflowClient(tracking_uri=address, registry_uri=address)

    def log_run(
        self,
        name: str,
        *,
        params: Mapping[str, Any],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        files: Mapping[str, bytes],
        parent: str = "",
    ) -> str:
        """Write one finished run, shown below the run *parent* if that is given, and return its id."""
        with _answered(self._address):
            below = {_PARENT: parent} if parent else {}
            run = self._client.create_run(self._marked_experiment(), run_name=name, tags={**tags, **below})
            run_id = str(run.info.run_id)
            for some in _in_parts(params, _PARAMS_AT_ONCE):
                self._client.log_batch(run_id, params=[Param(_name(key), str(value)) for key, value in some])
            self.add_to_run(run_id, metrics=metrics, files=files)
            self._client.set_terminated(run_id, "FINISHED")
            return run_id

    def add_to_run(self, run_id: str, *, metrics: Mapping[str, float], files: Mapping[str, bytes]) -> None:
        """Add metrics and files to a run that exists."""
        # The only clock here is MLflow's own: it orders chart points and selects no data.
        now = int(time.time() * 1000)
        with _answered(self._address):
            for some in _in_parts(metrics, _METRICS_AT_ONCE):
                self._client.log_batch(run_id, metrics=[Metric(_name(key), value, now, 0) for key, value in some])
            if files:
                with _as_folder(files) as folder:
                    self._client.log_artifacts(run_id, str(folder))

    def log_model(self, run_id: str, files: Mapping[str, bytes], *, params: Mapping[str, Any]) -> str:
        """Store *files* as one model of the run and return the model's id."""
        with _answered(self._address):
            model = self._client.create_logged_model(
                self._experiment(),
                name="item-factors",
                source_run_id=run_id,
                model_type="refit-item-factors",
                params={_name(key): str(value) for key, value in params.items()},
            )
            with _as_folder(files) as folder:
                self._client.log_model_artifacts(model.model_id, str(folder))
            self._client.finalize_logged_model(model.model_id, "READY")
            return str(model.model_id)

    def model_files(self, model_id: str) -> dict[str, bytes]:
        """Return name -> bytes for every file of a model; NotFoundError if there is no such model."""
        with _answered(self._address), tempfile.TemporaryDirectory(prefix="refit-model-") as folder:
            try:
                self._client.get_logged_model(model_id)
                place = Path(mlflow.artifacts.download_artifacts(f"models:/{model_id}", dst_path=folder))
            except MlflowException as error:
                if error.error_code in _ABSENT:
                    raise NotFoundError(f"MLflow at {self._address} has no model {model_id}; train again") from error
                raise
            return {
                path.relative_to(place).as_posix(): path.read_bytes() for path in place.rglob("*") if path.is_file()
            }

    def run_address(self, run_id: str) -> str:
        """Return the URL of the run's page."""
        with _answered(self._address):
            return f"{self._address}/#/experiments/{self._experiment()}/runs/{run_id}"

    def file_address(self, run_id: str, name: str) -> str:
        """Return the URL of one file of a run; MLflow sends it as a download, so that no page is executed there."""
        return f"{self._address}/get-artifact?{urlencode({'path': name, 'run_uuid': run_id})}"

    def _marked_experiment(self) -> str:
        """Return the experiment, adding the tag to one that was made without it."""
        found = self._client.get_experiment_by_name(self._name)
        if found is None:
            return self._experiment()
        for key, value in KIND.items():
            # Keep what a person has set there.
            if key not in found.tags:
                self._client.set_experiment_tag(found.experiment_id, key, value)
        return str(found.experiment_id)

    def _experiment(self) -> str:
        found = self._client.get_experiment_by_name(self._name)
        if found is not None:
            return str(found.experiment_id)
        try:
            # With an explicit location clients write to S3 directly instead of through the server.
            return str(self._client.create_experiment(self._name, artifact_location=self._artifacts, tags=KIND))
        except RestException:
            # Of two concurrent first runs the other one has made it.
            return str(self._client.get_experiment_by_name(self._name).experiment_id)


class MlflowRegistry:
    """Two registered models: training writes the first, only promotion writes the second."""

    def __init__(self, address: str, challengers: str, champions: str) -> None:
        self._address = address
        self._challengers = challengers
        self._champions = champions
        self._client = MlflowClient(tracking_uri=address, registry_uri=address)

    def champion(self) -> ModelVersion | None:
        """Return the version that the alias names, or None if there is no alias."""
        with _answered(self._address):
            try:
                return _version(self._client.get_model_version_by_alias(self._champions, CHAMPION))
            except MlflowException as error:
                if error.error_code in _ABSENT:
                    return None
                raise

    def champion_version(self, version: int) -> ModelVersion:
        """Return one version of the champions' model; NotFoundError if there is none."""
        return self._get(self._champions, version)

    def challenger(self, version: int) -> ModelVersion:
        """Return one challenger; NotFoundError if there is none."""
        return self._get(self._challengers, version)

    def register(self, *, model_id: str, run_id: str, tags: Mapping[str, str]) -> ModelVersion:
        """Register a model as challenger, or return its existing version."""
        with _answered(self._address):
            return self._copy(self._challengers, model_id, run_id, tags)

    def tag(self, challenger: ModelVersion, tags: Mapping[str, str]) -> ModelVersion:
        """Add tags to a challenger and return the updated version."""
        with _answered(self._address):
            for key, value in tags.items():
                self._client.set_model_version_tag(challenger.name, str(challenger.version), key, value)
        return self.challenger(challenger.version)

    def copy(self, challenger: ModelVersion) -> ModelVersion:
        """Copy the challenger with its tags to the champions, or return the existing copy. Moves no alias."""
        with _answered(self._address):
            tags = {**challenger.tags, "challenger": str(challenger.version)}
            return self._copy(self._champions, challenger.model_id, challenger.run_id, tags)

    def point(self, version: int) -> None:
        """Point the alias at a version of the champions' model; NotFoundError if there is none."""
        with _answered(self._address):
            current = self.champion()
            if current is None or current.version != version:
                self.champion_version(version)
                self._client.set_registered_model_alias(self._champions, CHAMPION, str(version))

    def notes(self) -> Mapping[str, str]:
        """Return the tags of the champions' registered model; empty if it does not exist."""
        with _answered(self._address):
            try:
                return dict(self._client.get_registered_model(self._champions).tags)
            except MlflowException as error:
                if error.error_code in _ABSENT:
                    return {}
                raise

    def note(self, name: str, value: str) -> None:
        """Set one tag of the champions' registered model."""
        with _answered(self._address):
            self._client.set_registered_model_tag(self._champions, name, value)

    def _make(self, name: str) -> None:
        try:
            # Look first: a user who may not create registered models may use an existing one.
            self._client.get_registered_model(name)
        except RestException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            try:
                self._client.create_registered_model(name)
            except RestException as made:
                if made.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise

    def _get(self, name: str, version: int) -> ModelVersion:
        with _answered(self._address):
            try:
                return _version(self._client.get_model_version(name, str(version)))
            except MlflowException as error:
                if error.error_code in _ABSENT:
                    raise NotFoundError(f"there is no version {version} of {name}") from error
                raise

    def _copy(self, name: str, model_id: str, run_id: str, tags: Mapping[str, str]) -> ModelVersion:
        self._make(name)
        for known in self._client.search_model_versions(f"name = '{name}'"):
            if known.tags.get("model_id") == model_id:
                return _version(known)
        wanted = {**tags, "model_id": model_id, "run_id": run_id}
        return _version(
            self._client.create_model_version(
                name, f"models:/{model_id}", run_id=run_id, tags=wanted, model_id=model_id
            )
        )


def _name(wanted: str) -> str:
    """
    Return *wanted* as a valid MLflow name: names contain event types and columns of a shop, which may be any text.

    Invalid characters become `_`, and a few characters of a digest keep different names distinct.
    """
    if _NAME.fullmatch(wanted) and posixpath.normpath(wanted) == wanted and not wanted.startswith((".", "/")):
        return wanted
    readable = re.sub(r"[^\w. :-]", "_", wanted)[:200].strip(".")
    return f"{readable}-{hashlib.sha256(wanted.encode()).hexdigest()[:8]}"


def _in_parts(values: Mapping[str, Any], most: int) -> Iterator[list[tuple[str, Any]]]:
    """Yield the entries of *values* in their order, at most *most* at once."""
    entries = list(values.items())
    for start in range(0, len(entries), most):
        yield entries[start : start + most]


def _version(found: Any) -> ModelVersion:
    tags = dict(found.tags)
    return ModelVersion(
        name=str(found.name),
        version=int(found.version),
        model_id=tags.get("model_id", ""),
        run_id=tags.get("run_id", ""),
        digest=tags.get("digest", ""),
        cutoff=tags.get("cutoff", ""),
        tags=tags,
    )


@contextmanager
def _as_folder(files: Mapping[str, bytes]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="refit-files-") as folder:
        for name, content in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        yield Path(folder)
