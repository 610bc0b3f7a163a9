"""Validation suites: YAML in `expectations/`, each rule with a severity and a sentence on why it stands."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from refit.errors import ConfigurationError, DataRefusedError
from refit.interfaces import Check, Validator

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


class Rule(BaseModel):
    """One expectation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Annotated[str, Field(pattern=r"^[a-z_]+$")]
    kwargs: dict[str, Any] = {}
    severity: Literal["critical", "warning"]
    why: Annotated[str, Field(min_length=10)]


class Suite(BaseModel):
    """All expectations of one table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    expectations: Annotated[tuple[Rule, ...], Field(min_length=1)]


def load_suite(folder: Path, table: str) -> dict[str, Any]:
    """Return the suite of *table* as plain values; ConfigurationError when it is missing or malformed."""
    path = folder / f"{table}.yaml"
    if not path.is_file():
        raise ConfigurationError(f"there is no suite {path}; every landed table has one")
    try:
        return Suite.model_validate(yaml.safe_load(path.read_text(encoding="utf-8"))).model_dump()
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not valid YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{path}: {where}: {first['msg']}; correct the suite") from error


class Inspection:
    """The checks of one landing: stops at the first broken critical rule, collects the broken warnings."""

    def __init__(self, validator: Validator, folder: Path, what: str) -> None:
        self._validator = validator
        self._folder = folder
        self._what = what
        self.checks = 0
        self.warnings: list[str] = []

    def check(self, table: str, frame: DataFrame, **parameters: Any) -> None:
        """Judge *frame* by the suite of *table*; DataRefusedError names every broken critical rule."""
        results = self._validator.validate(frame, load_suite(self._folder, table), parameters)
        self.checks += len(results)
        self.warnings += refuse_broken(f"{table} of {self._what}", results)


def refuse_broken(what: str, checks: Iterable[Check]) -> list[str]:
    """
    Return the sentences of broken warnings; raise DataRefusedError with all sentences when a critical rule is broken.
    """
    broken = [check for check in checks if not check.passed]
    warnings = [_sentence(check) for check in broken if check.severity == "warning"]
    critical = [_sentence(check) for check in broken if check.severity == "critical"]
    if critical:
        raise DataRefusedError(
            f"{what} is refused, nothing of it became visible: {'; '.join(critical)}; mend the source and land it again"
        )
    return warnings


def _sentence(check: Check) -> str:
    subject = check.column or "the table"
    if check.unexpected:
        return (
            f"{subject}: {check.unexpected:,} of {check.rows:,} rows break {check.name} (0 allowed), "
            f"e.g. {check.observed} ({check.why})"
        )
    return f"{subject}: {check.name} is broken, seen {check.observed} ({check.why})"
