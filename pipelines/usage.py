"""Builds the output of `python -m pipelines STEP --help`: the step and each of its parameters."""

from __future__ import annotations

import inspect
import shlex
import sys
import textwrap
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic.fields import FieldInfo

_WIDTH = 100
_KINDS = {
    datetime: "date or instant",
    int: "whole number",
    bool: "true or false",
    dict: "JSON object",
    str: "text",
}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a step, as described to a person."""

    name: str
    kind: str
    """Accepted values, in words."""
    given: str
    """`required`, `optional`, or the default; the description says what omitting an optional one means."""
    description: str
    example: str
    """An example value for the command line."""


def parameters_of(step: Callable[..., Any]) -> list[Parameter]:
    """
    Return the parameters of *step* in their order.

    Raises:
        TypeError: the type of a parameter has no `pydantic.Field` with a description and an example.
    """
    hints = typing.get_type_hints(step, include_extras=True)
    return [_parameter(name, given, hints[name]) for name, given in inspect.signature(step).parameters.items()]


def usage(name: str, step: Callable[..., Any]) -> str:
    """Return the usage line with the parameters of the *step* called *name*."""
    words = [
        f"{key}=..." if given.default is inspect.Parameter.empty else f"[{key}=...]"
        for key, given in inspect.signature(step).parameters.items()
    ]
    return f"usage: python -m pipelines {name} {' '.join(words)}".rstrip()


def help_of(name: str, step: Callable[..., Any]) -> str:
    """Return the help text of the *step* called *name*."""
    lines = [usage(name, step), "", inspect.cleandoc(sys.modules[step.__module__].__doc__ or "")]
    for one in parameters_of(step):
        lines += ["", f"{one.name}: {one.kind}, {one.given}"]
        lines += textwrap.wrap(one.description, _WIDTH, initial_indent="    ", subsequent_indent="    ")
        lines.append(f"    Example: {one.name}={shlex.quote(one.example)}")
    return "\n".join([*lines, "", "--out FILE writes the receipt to a file instead of printing it."])


def takes_text(hint: Any) -> bool:
    """Return whether a parameter of the type *hint* takes any text, even text that looks like JSON."""
    return _bare(hint) is str


def _parameter(name: str, given: inspect.Parameter, hint: Any) -> Parameter:
    for field in getattr(hint, "__metadata__", ()):
        if isinstance(field, FieldInfo) and field.description and field.examples:
            return Parameter(name, _kind(hint), _given(given.default), field.description, field.examples[0])
    raise TypeError(f"the type of {name} says neither what it means nor gives an example")


def _given(default: Any) -> str:
    if default is inspect.Parameter.empty:
        return "required"
    if default is None or default == "":
        return "optional"
    return f"default: {str(default).lower() if isinstance(default, bool) else default}"


def _kind(hint: Any) -> str:
    bare = _bare(hint)
    if typing.get_origin(bare) in (typing.Union, types.UnionType):
        return " or ".join(_kind(part) for part in typing.get_args(bare) if part is not type(None))
    if typing.get_origin(bare) is Literal:
        return " or ".join(typing.get_args(bare))
    return _KINDS[typing.get_origin(bare) or bare]


def _bare(hint: Any) -> Any:
    return typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint
