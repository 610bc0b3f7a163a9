"""Validation suites: YAML in `expectations/`; each rule has a severity and a sentence that explains it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from refit.columns import Columns
from refit.errors import ConfigurationError, DataRefusedError, DayNotThereError
from refit.interfaces import Check, Validator
from refit.texts import read_text
from refit.validation_errors import with_given

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


_NOT_PERSONAL = {Columns.ITEM, Columns.EVENT_TYPE}
"""Columns of interactions whose values may appear in a log."""
_NAMED = re.compile(r"\$\{(\w+)\}")


class Rule(BaseModel):
    """One expectation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    """Unique in the suite; quarantine, receipts and reports use this name."""
    type: Annotated[str, Field(pattern=r"^[a-z_]+$")]
    kwargs: dict[str, Any] = {}
    severity: Literal["critical", "warning"]
    why: Annotated[str, Field(min_length=10)]
    may_come: bool = False
    """Whether missing data may still arrive, so that waiting can fix a broken rule."""


class Suite(BaseModel):
    """All expectations of one table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    expectations: Annotated[tuple[Rule, ...], Field(min_length=1)]

    @field_validator("expectations")
    @classmethod
    def _names_are_unique(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        names = [rule.name for rule in rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the names {', '.join(twice)} are given twice")
        return rules


def load_suite(folder: Path, table: str) -> dict[str, Any]:
    """Return the suite of *table* as plain values; ConfigurationError when it is missing or malformed."""
    path = folder / f"{table}.yaml"
    if not path.is_file():
        raise ConfigurationError(f"there is no suite {path}; every landed table has one")
    try:
        written = yaml.safe_load(read_text(path))
        if not isinstance(written, Mapping):
            raise ConfigurationError(f"{path} holds no suite; give it a name and a list of expectations")
        return Suite.model_validate(written).model_dump()
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} is not valid YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{path}: {where or 'the suite'} {with_given(first)}; correct it") from error


def fill(suite: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return *suite* with every $PARAMETER, and every ${name} within a query about rows, replaced.

    Raises:
        ConfigurationError: a parameter is missing from *parameters*.
    """

    def given(rule: Mapping[str, Any], name: str) -> Any:
        if name not in parameters:
            raise ConfigurationError(
                f"rule {rule['name']} of suite {suite['name']!r} asks for the parameter {name!r}, "
                "which nobody gives; correct it"
            )
        return parameters[name]

    rules = []
    for rule in suite["expectations"]:
        arguments = dict(rule.get("kwargs", {}))
        for key, value in arguments.items():
            if isinstance(value, Mapping) and "$PARAMETER" in value:
                arguments[key] = given(rule, value["$PARAMETER"])
            elif key == "unexpected_rows_query":
                for name in _NAMED.findall(value):
                    arguments[key] = arguments[key].replace(f"${{{name}}}", str(given(rule, name)))
        rules.append({**rule, "kwargs": arguments})
    return {**suite, "expectations": rules}


class Inspection:
    """The checks of one landing: collects broken rules and raises for critical ones on request."""

    def __init__(self, validator: Validator, folder: Path, what: str) -> None:
        self._validator = validator
        self._folder = folder
        self._what = what
        self._critical: list[str] = []
        self._may_come = True
        self._loaded: dict[str, dict[str, Any]] = {}
        self.checks: list[Check] = []
        self.warnings: list[str] = []

    def suite(self, table: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the suite of *table* with its parameters; ConfigurationError if it is missing or malformed."""
        suite = fill(self._suite(table), parameters)
        self._validator.require_known(suite)
        return suite

    def whys(self, table: str) -> dict[str, str]:
        """Return rule name -> why the rule exists, for *table*."""
        return {rule["name"]: rule["why"] for rule in self._suite(table)["expectations"]}

    def look(
        self, table: str, frame: DataFrame, parameters: Mapping[str, Any], *, tell: Callable[[Check], str] | None = None
    ) -> tuple[Check, ...]:
        """Check *frame* against the suite of *table*; *tell* writes the sentence on a broken rule."""
        suite = fill(self._suite(table), parameters)
        may_come = {rule["name"] for rule in suite["expectations"] if rule["may_come"]}
        results = self._validator.validate(frame, suite)
        self.checks += results
        for check in results:
            if not check.passed:
                found = self._critical if check.severity == "critical" else self.warnings
                found.append(f"{table}: {(tell or _describer(table, check))(check)}")
                self._may_come &= check.severity != "critical" or check.name in may_come
        return results

    def _suite(self, table: str) -> dict[str, Any]:
        """Return the suite of *table* without its parameters; each file is parsed once."""
        if table not in self._loaded:
            self._loaded[table] = load_suite(self._folder, table)
        return self._loaded[table]

    @property
    def reasons(self) -> list[str]:
        """Sentences on the broken critical rules; empty if the landing may go on."""
        return list(self._critical)

    def refuse(self, where: str = "") -> None:
        """
        Raise an error that lists the broken critical rules, if any; *where* says where to read more.

        Raises:
            DayNotThereError: everything that is missing may still arrive.
            DataRefusedError: a rule is broken that waiting does not fix.
        """
        if self._critical:
            kind = DayNotThereError if self._may_come else DataRefusedError
            raise kind(
                f"{self._what} is refused, nothing of it became visible: {'; '.join(self._critical)}; "
                f"mend the source and land it again{f' ({where})' if where else ''}"
            )


def sentence(check: Check, *, quoting: bool = True) -> str:
    """Return one sentence on a broken rule; it quotes values of rows only if *quoting*."""
    subject = check.column or "the table"
    if check.unexpected:
        example = f", e.g. {check.observed}" if quoting and check.observed != "[]" else ""
        return (
            f"{subject}: {check.unexpected:,} of {check.rows:,} rows break {check.name} "
            f"({check.allowed:,} allowed){example} ({check.why})"
        )
    return f"{subject}: {check.name} is broken, seen {check.observed} ({check.why})"


def _describer(table: str, check: Check) -> Callable[[Check], str]:
    """Return the describer for *check*: sentences go to logs, so values from rows about people are not quoted."""
    about_people = table == "users" or (table == "interactions" and check.column not in _NOT_PERSONAL)
    return partial(sentence, quoting=not about_people)
