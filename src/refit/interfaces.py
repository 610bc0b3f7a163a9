"""Interfaces of steps to the outside world, implemented by `refit.adapters` and `refit.testing`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pyarrow import Table
    from pyspark.sql import DataFrame
    from scipy.sparse import csr_array

    from refit.config import Als, Range


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """One registered version: the location of its files and its tags."""

    name: str
    version: int
    model_id: str
    run_id: str
    digest: str
    cutoff: str
    """Training cutoff (ISO 8601): the model has seen no data at or after it."""
    tags: Mapping[str, str] = field(default_factory=dict)


class ModelRegistry(Protocol):
    """Registered models of one shop: challengers that training writes, champions that only promotion writes."""

    def champion(self) -> ModelVersion | None:
        """Return the version that the alias names, or None if there is no alias."""

    def champion_version(self, version: int) -> ModelVersion:
        """Return one version of the champions' model; NotFoundError if there is none."""

    def challenger(self, version: int) -> ModelVersion:
        """Return one challenger; NotFoundError if there is none."""

    def register(self, *, model_id: str, run_id: str, tags: Mapping[str, str]) -> ModelVersion:
        """Register a model as challenger, or return its existing version with its own tags."""

    def tag(self, challenger: ModelVersion, tags: Mapping[str, str]) -> ModelVersion:
        """Add tags to a challenger and return the updated version."""

    def copy(self, challenger: ModelVersion) -> ModelVersion:
        """Copy the challenger with its tags to the champions, or return the existing copy. Moves no alias."""

    def point(self, version: int) -> None:
        """Point the alias at a version of the champions' model; NotFoundError if there is none."""

    def notes(self) -> Mapping[str, str]:
        """Return the tags of the champions' registered model; empty if it does not exist."""

    def note(self, name: str, value: str) -> None:
        """Set one tag of the champions' registered model."""


class Tracker(Protocol):
    """Runs with their parameters, metrics and files, and models as plain data."""

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

    def add_to_run(self, run_id: str, *, metrics: Mapping[str, float], files: Mapping[str, bytes]) -> None:
        """Add metrics and files to a run that exists."""

    def log_model(self, run_id: str, files: Mapping[str, bytes], *, params: Mapping[str, Any]) -> str:
        """Store *files* as one model of the run and return the model's id."""

    def model_files(self, model_id: str) -> dict[str, bytes]:
        """Return name -> bytes for every file of a model; NotFoundError if there is no such model."""

    def run_address(self, run_id: str) -> str:
        """Return the URL of the run's page."""

    def file_address(self, run_id: str, name: str) -> str:
        """Return the URL of one file of a run, without the page around it."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """The outcome of one rule of a suite."""

    suite: str
    """Name of the suite, which is the name of its table."""
    name: str
    """Name of the rule in the suite."""
    column: str | None
    severity: str
    passed: bool
    unexpected: int
    """Rows that break the rule; 0 for rules about the whole table."""
    rows: int
    observed: str
    """Short description of the observed values."""
    why: str
    """Why the rule exists, from the suite."""
    allowed: int = 0
    """Rows that may break the rule, if it applies to a share of rows only."""


class Validator(Protocol):
    """Checks a frame against a suite."""

    def require_known(self, suite: Mapping[str, Any]) -> None:
        """Raise ConfigurationError if *suite* has an unknown expectation type or lacks an argument."""

    def validate(self, frame: DataFrame, suite: Mapping[str, Any]) -> tuple[Check, ...]:
        """Return one check per expectation of *suite*, in its order; raise if a rule cannot run."""


class DriftReporter(Protocol):
    """Makes a second opinion on drift from samples, for information only."""

    def report(self, reference: Table, current: Table, *, numbers: Sequence[str], categories: Sequence[str]) -> bytes:
        """Return one self-contained HTML page; both tables have the columns *numbers* and *categories*."""


class Factoriser(Protocol):
    """A library that factorises a matrix in the memory of this machine."""

    def factorise(
        self, confidences: csr_array, settings: Als, *, watch: Callable[[float], None] | None = None
    ) -> NDArray[np.float32]:
        """
        Return the item factors, items x rank, of the people x items matrix *confidences* of r > 0.

        Both sides are regularised by lambda * n ** frequency_exponent, and a pair has confidence 1 + alpha * r. Equal
        inputs give equal bytes. *watch* is called after each iteration with the objective relative to that of zero
        factors; smaller is better.
        """


class Proposer(Protocol):
    """Chooses settings to try; results depend on the arguments alone."""

    def propose(
        self,
        space: Mapping[str, Range],
        seen: Sequence[tuple[Mapping[str, Any], float]],
        *,
        sampler: str,
        number: int,
        seed: int,
    ) -> dict[str, Any]:
        """Return a value for each name of *space*, given the earlier values and scores *seen* (higher is better)."""

    def is_hopeless(self, scores: Sequence[float], others: Sequence[Sequence[float]]) -> bool:
        """Return whether a trial with *scores* on the folds so far should be pruned, given the scores of *others*."""
