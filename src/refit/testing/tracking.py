"""Runs, models and a registry in memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from refit.errors import NotFoundError
from refit.governance.audit_log import AuditLog
from refit.governance.champion_state import PROMOTION
from refit.governance.champions import reconcile_alias
from refit.interfaces import ModelRegistry, ModelVersion


@dataclass(kw_only=True)
class FakeRun:
    """The records of one run; parameters are text, as in MLflow."""

    name: str
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    files: dict[str, bytes]
    parent: str = ""
    """Id of the parent run."""


class FakeTracker:
    """Keeps runs and models in dictionaries."""

    def __init__(self) -> None:
        self.runs: dict[str, FakeRun] = {}
        self.models: dict[str, dict[str, bytes]] = {}
        """Model id -> name -> bytes; a test may damage them."""

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
        run_id = f"run-{len(self.runs) + 1}"
        self.runs[run_id] = FakeRun(
            name=name,
            params={key: str(value) for key, value in params.items()},
            metrics=dict(metrics),
            tags=dict(tags),
            files=dict(files),
            parent=parent,
        )
        return run_id

    def add_to_run(self, run_id: str, *, metrics: Mapping[str, float], files: Mapping[str, bytes]) -> None:
        """Add metrics and files to a run that exists."""
        run = self._run(run_id)
        run.metrics.update(metrics)
        run.files.update(files)

    def log_model(self, run_id: str, files: Mapping[str, bytes], *, params: Mapping[str, Any]) -> str:
        """Store *files* as one model of the run and return the model's id."""
        self._run(run_id)
        model_id = f"m-{len(self.models) + 1}"
        self.models[model_id] = dict(files)
        return model_id

    def model_files(self, model_id: str) -> dict[str, bytes]:
        """Return name -> bytes for every file of a model; NotFoundError if there is no such model."""
        if model_id not in self.models:
            raise NotFoundError(f"there is no model {model_id}; train again")
        return dict(self.models[model_id])

    def run_address(self, run_id: str) -> str:
        """Return the URL of the run's page."""
        return f"memory://fake/runs/{run_id}"

    def file_address(self, run_id: str, name: str) -> str:
        """Return the URL of one file of a run."""
        return f"memory://fake/runs/{run_id}/files/{name}"

    def _run(self, run_id: str) -> FakeRun:
        if run_id not in self.runs:
            raise NotFoundError(f"there is no run {run_id}")
        return self.runs[run_id]


@dataclass(eq=False)
class FakeRegistry:
    """Keeps challengers and champions in lists; version n is entry n - 1, None once deleted."""

    challengers: str = "shop-challengers"
    champions: str = "shop"
    versions: dict[str, list[ModelVersion | None]] = field(default_factory=dict)
    """Registered model -> its versions."""
    model_tags: dict[str, str] = field(default_factory=dict)
    """Tags of the champions' registered model; a test may set them like a person in MLflow."""
    _alias: int | None = None

    def champion(self) -> ModelVersion | None:
        """Return the version that the alias names, or None if there is no alias."""
        return None if self._alias is None else self._version(self.champions, self._alias)

    def champion_version(self, version: int) -> ModelVersion:
        """Return one version of the champions' model; NotFoundError if there is none."""
        return self._version(self.champions, version)

    def challenger(self, version: int) -> ModelVersion:
        """Return one challenger; NotFoundError if there is none."""
        return self._version(self.challengers, version)

    def register(self, *, model_id: str, run_id: str, tags: Mapping[str, str]) -> ModelVersion:
        """Register a model as challenger, or return its existing version with its own tags."""
        return self._copy(self.challengers, model_id, run_id, tags)

    def tag(self, challenger: ModelVersion, tags: Mapping[str, str]) -> ModelVersion:
        """Add tags to a challenger and return the updated version."""
        known = self.challenger(challenger.version)
        tagged = _tagged(known, {**known.tags, **tags})
        self.versions[self.challengers][known.version - 1] = tagged
        return tagged

    def copy(self, challenger: ModelVersion) -> ModelVersion:
        """Copy the challenger with its tags to the champions, or return the existing copy. Moves no alias."""
        tags = {**challenger.tags, "challenger": str(challenger.version)}
        return self._copy(self.champions, challenger.model_id, challenger.run_id, tags)

    def point(self, version: int) -> None:
        """Point the alias at a version of the champions' model; NotFoundError if there is none."""
        self._alias = self.champion_version(version).version

    def notes(self) -> Mapping[str, str]:
        """Return the tags of the champions' registered model; empty if it does not exist."""
        return dict(self.model_tags)

    def note(self, name: str, value: str) -> None:
        """Set one tag of the champions' registered model."""
        self.model_tags[name] = value

    def delete(self, version: int) -> None:
        """Delete a version of the champions' model like an administrator; as in MLflow, its alias is deleted too."""
        self.versions[self.champions][self.champion_version(version).version - 1] = None
        if self._alias == version:
            self._alias = None

    def _copy(self, name: str, model_id: str, run_id: str, tags: Mapping[str, str]) -> ModelVersion:
        known = self.versions.setdefault(name, [])
        for version in known:
            if version is not None and version.model_id == model_id:
                return version
        blank = ModelVersion(name=name, version=len(known) + 1, model_id=model_id, run_id=run_id, digest="", cutoff="")
        made = _tagged(blank, {**tags, "model_id": model_id, "run_id": run_id})
        known.append(made)
        return made

    def _version(self, name: str, version: int) -> ModelVersion:
        known = self.versions.get(name, [])
        found = known[version - 1] if 1 <= version <= len(known) else None
        if found is None:
            raise NotFoundError(f"there is no version {version} of {name}")
        return found


def _tagged(version: ModelVersion, tags: Mapping[str, str]) -> ModelVersion:
    return replace(version, tags=dict(tags), digest=tags.get("digest", ""), cutoff=tags.get("cutoff", ""))


def crown(registry: ModelRegistry, challenger: ModelVersion, log: AuditLog | None = None) -> ModelVersion:
    """
    Make *challenger* the champion without an approval, and return the champion; with *log* it is recorded too.

    For tests that only need a champion; a shop gets one by `promote_model`.
    """
    champion = registry.copy(challenger)
    if log is None:
        registry.point(champion.version)
        return champion
    facts = {
        "version": champion.version,
        "challenger": str(challenger.version),
        "model_id": champion.model_id,
        "digest": champion.digest,
        "cutoff": champion.cutoff,
    }
    at = "2026-01-01T00:00:00+00:00"
    log.append(log.newest(), PROMOTION, at=at, by="lee", reason="looks right", facts=facts)
    reconcile_alias(registry, log)
    return champion
