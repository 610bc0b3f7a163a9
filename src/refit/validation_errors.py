"""Explains what is wrong with a value in a file and what to write instead, in place of pydantic's messages."""

from __future__ import annotations

import difflib
import json
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

_MUST = {
    "bool": "must be true or false",
    "date": "must be a day written YYYY-MM-DD, without quotes",
    "dict": "must be a table, written { name = value } or under a heading of its own",
    "finite": "must be a finite number",
    "float": "must be a number",
    "int": "must be a whole number",
    "list": "must be a list, written in square brackets",
    "model": "must be a table, written { name = value } or under a heading of its own",
    "string": "must be text in quotes",
    "tuple": "must be a list, written in square brackets",
}
"""First word of the error type -> requirement on the value."""
_ALTERNATIVES = ("int", "float", "str", "bool")
"""Names that pydantic adds to a path if a value may have several types."""
_NOT_WRITTEN = {"name", "folder"}
"""Fields of a shop that are not in its file."""
_LONGEST = 80
"""Number of characters quoted from a given value."""


def must_be(problem: Mapping[str, Any]) -> str:
    """Return the requirement behind *problem*, an error as pydantic lists it: `must be a whole number`."""
    kind, context = str(problem["type"]), problem.get("ctx") or {}
    match kind:
        case "missing" | "value_error.missing":
            return "is missing"
        case "extra_forbidden" | "value_error.extra":
            return "is not known"
        case "greater_than_equal":
            return f"must be {context['ge']:g} or more"
        case "greater_than":
            return f"must be more than {context['gt']:g}"
        case "less_than_equal":
            return f"must be {context['le']:g} or less"
        case "less_than":
            return f"must be less than {context['lt']:g}"
        case "literal_error":
            return f"must be {context['expected']}"
        case "string_too_short":
            return f"must have {context['min_length']} or more characters"
        case "string_too_long":
            return f"must have {context['max_length']} or fewer characters"
        case "string_pattern_mismatch":
            return f"must match the pattern {context['pattern']}"
        case "value_error":
            return str(context["error"])
    asked = _MUST.get(kind.split("_")[0])
    return asked or str(problem["msg"])[:1].lower() + str(problem["msg"])[1:]


def with_given(problem: Mapping[str, Any]) -> str:
    """Return `= 0 must be 1 or more`, with the given value if it helps; never a possible secret."""
    kind, given = str(problem["type"]), problem.get("input")
    if kind in ("missing", "extra_forbidden", "value_error") or isinstance(given, Mapping | BaseModel):
        return must_be(problem) if kind != "value_error" else f"cannot be used: {must_be(problem)}"
    shown = as_toml(given)
    return f"= {shown if len(shown) <= _LONGEST else shown[:_LONGEST] + ' ...'} {must_be(problem)}"


def as_toml(value: Any) -> str:
    """
    Return *value* as TOML writes it.

    >>> as_toml({"purchase": 1.0}), as_toml(("sunday",)), as_toml(True)
    ('{ purchase = 1.0 }', '["sunday"]', 'true')
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(name)} = {as_toml(part)}" for name, part in value.items()) + " }"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, date):
        return value.isoformat()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else json.dumps(name)


def sentence(error: ValidationError, model: type[BaseModel]) -> str:
    """
    Return one sentence about the first error in the file of a *model*, with the locations of all others.

    It names the table and the key, the given value, what is allowed and, for a missing value, an example.
    """
    problems = _one_each(error)
    first = _Location.of(problems[0]["loc"], model).sentence(problems[0])
    others = sorted({_Location.of(problem["loc"], model).shown for problem in problems[1:]})
    return f"{first}; then mend {', '.join(others)}" if others else first


def _one_each(error: ValidationError) -> list[Mapping[str, Any]]:
    """Return the problems of *error*: for alternatives of one value only the last, with missing values at the end."""
    found: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    for problem in error.errors():
        where = problem["loc"]
        found[where[:-1] if where and where[-1] in _ALTERNATIVES else where] = problem
    # A misspelt name comes before the name that is missing because of it.
    return sorted(found.values(), key=lambda problem: problem["type"] == "missing")


@dataclass(frozen=True)
class _Location:
    """The location of an error in a file."""

    table: str
    """Heading above it; empty: the top of the file."""
    key: str = ""
    """Name of the value or the table below that heading; empty: the table itself."""
    holder: type[BaseModel] | None = None
    """Model of the table."""
    field: FieldInfo | None = None
    """Field definition of the key."""
    is_table: bool = False

    @classmethod
    def of(cls, where: Sequence[int | str], model: type[BaseModel]) -> _Location:
        """Return the location of the path *where* in the file of a *model*."""
        tables: list[str] = []
        steps = [str(step) for step in where if step not in _ALTERNATIVES]
        while steps:
            name, field = steps[0], model.model_fields.get(steps[0])
            part = _part(field.annotation) if field else None
            if field is None or part is None:
                inner = steps[1:] if field and _origin(field) is dict else []
                return cls(".".join(tables), ".".join([name, *inner]), model, field)
            named, listed = _origin(field) is dict, _origin(field) is tuple
            if len(steps) == 1:
                return cls(".".join(tables), name, model, field, is_table=not listed)
            if named and len(steps) == 2:
                return cls(".".join([*tables, name]), steps[1], None, None, is_table=True)
            tables += steps[:2] if named else [name]
            steps, model = steps[2:] if named or listed else steps[1:], part
        return cls(".".join(tables))

    @property
    def shown(self) -> str:
        """The location as a person finds it."""
        if self.is_table or not self.key:
            return f"[{'.'.join(filter(None, [self.table, self.key]))}]" if self.table or self.key else "the shop"
        return f"[{self.table}] {self.key}" if self.table else self.key

    def sentence(self, problem: Mapping[str, Any]) -> str:
        """Return what is wrong here and what to write."""
        if problem["type"] == "extra_forbidden":
            return self._unknown()
        if problem["type"] == "missing":
            return self._missing()
        example = None if problem["type"] == "value_error" or "." in self.key else _example(self.field)
        shown = "" if example is None else f"; for example {self.key} = {as_toml(example)}"
        return f"{self.shown} {with_given(problem)}{shown}"

    def _missing(self) -> str:
        part = _part(self.field.annotation) if self.field else None
        if part is None or not self.is_table:
            named, below = (f"[{self.table}]", f"below [{self.table}]") if self.table else ("it", "at its top")
            return (
                f"{named} has no {self.key}; write {below}, for example, {self.key} = {as_toml(_example(self.field))}"
            )
        inside = " and ".join(
            f"{name} = {as_toml(_example(field))}" for name, field in part.model_fields.items() if field.is_required()
        )
        if self.field and _origin(self.field) is dict:
            each = f"[{self.key}.NAME], with a NAME of your own"
            return f"it has no table {self.shown}; add {each} and, for example, {inside}"
        return f"it has no table {self.shown}; add {self.shown} with, for example, {inside}"

    def _unknown(self) -> str:
        names = sorted(set(self.holder.model_fields) - _NOT_WRITTEN) if self.holder else []
        alike = difflib.get_close_matches(self.key, names, n=1)
        meant = f"did you mean {alike[0]}?" if alike else f"known are {', '.join(names)}"
        return f"{f'[{self.table}]' if self.table else 'it'} knows no {self.key}; {meant}"


def _part(annotation: Any) -> type[BaseModel] | None:
    """Return the model of a table, an optional table, or each table in a mapping or list; None for a plain value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in typing.get_args(annotation) if (found := _part(inner))), None)


def _origin(field: FieldInfo) -> Any:
    return typing.get_origin(field.annotation)


def _example(field: FieldInfo | None) -> Any:
    """Return a value for *field*: its example, or its default unless that is empty."""
    if field is None:
        return None
    if field.examples:
        return field.examples[0]
    value = None if field.is_required() else field.get_default(call_default_factory=True, validated_data={})
    return None if isinstance(value, BaseModel) or value in ((), {}, "") else value
