"""What steps ask of the outside world, in our words; `refit.adapters` and `refit.testing` both answer."""

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
    """One registered version: where its files are and everything that was said about it."""

    name: str
    version: int
    model_id: str
    run_id: str
    digest: str
    cutoff: str
    """Training cutoff (ISO 8601): nothing at or after it was seen."""
    tags: Mapping[str, str] = field(default_factory=dict)


class ModelRegistry(Protocol):
    """Registered models of one shop: challengers that training writes, champions that only promotion writes."""

    def champion(self) -> ModelVersion | None:
        """Return the version that the alias names, or None where there is no alias."""

    def champion_version(self, version: int) -> ModelVersion:
        """Return one version of the champions' model, alias or not; NotFoundError when there is none."""

    def challenger(self, version: int) -> ModelVersion:
        """Return one challenger; NotFoundError when there is none."""

    def register(self, *, model_id: str, run_id: str, tags: Mapping[str, str]) -> ModelVersion:
        """Register a model as challenger; the same model again returns the version that exists, with its own tags."""

    def tag(self, challenger: ModelVersion, tags: Mapping[str, str]) -> ModelVersion:
        """Add tags to a challenger and return it as it is now."""

    def copy(self, challenger: ModelVersion) -> ModelVersion:
        """Copy the challenger to the champions, with its tags; again returns the copy that exists. Moves no alias."""

    def point(self, version: int) -> None:
        """Point the alias at a version of the champions' model; NotFoundError when there is none."""

    def notes(self) -> Mapping[str, str]:
        """Return the tags of the champions' model as a whole; none where there is no such model."""

    def note(self, name: str, value: str) -> None:
        """Set one tag of the champions' model as a whole."""


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
        """Return name and bytes of every file of a model; NotFoundError when there is none."""

    def run_address(self, run_id: str) -> str:
        """Return the page of a run, for people."""

    def file_address(self, run_id: str, name: str) -> str:
        """Return where a browser gets one file of a run and nothing around it."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """The outcome of one rule of a suite."""

    suite: str
    """Name of the suite, that of the table it is about."""
    name: str
    """As the suite calls the rule."""
    column: str | None
    severity: str
    passed: bool
    unexpected: int
    """Rows that broke the rule; 0 for rules about the whole table."""
    rows: int
    observed: str
    """What was seen, in a few words."""
    why: str
    """Why the rule stands, from the suite."""
    allowed: int = 0
    """Rows that might break the rule, where it asks for a share of them only."""


class Validator(Protocol):
    """Checks a frame against a suite."""

    def require_known(self, suite: Mapping[str, Any]) -> None:
        """Raise ConfigurationError when *suite* has an expectation type that does not exist or misses an argument."""

    def validate(self, frame: DataFrame, suite: Mapping[str, Any]) -> tuple[Check, ...]:
        """Return one check per expectation of *suite*, in its order; a rule that cannot run raises."""


class DriftReporter(Protocol):
    """Draws a second opinion on drift from samples, for people; it decides nothing."""

    def report(self, reference: Table, current: Table, *, numbers: Sequence[str], categories: Sequence[str]) -> bytes:
        """Return one HTML page that needs nothing outside it; both tables have the columns that are named."""


class Factoriser(Protocol):
    """A library that factorises a matrix in the memory of this machine."""

    def factorise(
        self, confidences: csr_array, settings: Als, *, watch: Callable[[float], None] | None = None
    ) -> NDArray[np.float32]:
        """
        Return the item factors, items x rank, of the people x items matrix *confidences* of r > 0.

        Both sides are regularised by lambda * n ** frequency_exponent, and a pair counts 1 + alpha * r. The same matrix
        and settings give the same bytes. *watch* is told after each iteration what is left of the objective: 1 is that
        of factors of 0, and smaller is better.
        """


class Proposer(Protocol):
    """Chooses settings to try; every answer depends on its arguments alone."""

    def propose(
        self,
        space: Mapping[str, Range],
        seen: Sequence[tuple[Mapping[str, Any], float]],
        *,
        sampler: str,
        number: int,
        seed: int,
    ) -> dict[str, Any]:
        """Return a value for each name of *space* after *seen*, values with what they were worth (more is better)."""

    def is_hopeless(self, scores: Sequence[float], others: Sequence[Sequence[float]]) -> bool:
        """Return whether a trial with *scores* on the folds so far should be given up, as the *others* went on."""
