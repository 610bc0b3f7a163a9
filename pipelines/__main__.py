"""
The command line: `python -m pipelines STEP name=value ...` runs one step, with the code that Airflow runs.

With `--help` anywhere after its name a step is not run; a description of it and its parameters is printed instead. The
receipt is printed as JSON, or written to the file named by `--out`. Exit code 0: done; 2: refused, with one sentence on
standard error that says what to do, and a retry changes nothing; 3: refused because data are missing that may still
arrive; 1: a failure that a retry may fix.
"""

from __future__ import annotations

import importlib
import inspect
import json
import logging
import os
import sys
import traceback
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipelines.usage import help_of, takes_text, usage
from refit.clocks.shop_clock import ShopClock
from refit.errors import ConfigurationError, NotThereYetError, RefitError, TransientError
from refit.failures import accident
from refit.validation_errors import must_be

STEPS = (
    "draft_shop",
    "simulate_shop",
    "land_interactions",
    "land_late_days",
    "replay_quarantine",
    "check_drift",
    "replay_drift",
    "build_training_set",
    "rebuild_training_set",
    "tune_model",
    "train_model",
    "evaluate_model",
    "refit_model",
    "register_model",
    "promote_model",
    "rollback",
    "adopt",
    "read_audit",
    "score_users",
    "publish_recommendations",
    "check_freshness",
    "copy_lists",
    "collect_garbage",
    "collect_lake",
    "lower_horizon",
    "read_person",
    "pseudonym",
)
_HELP = frozenset({"-h", "--help"})


def main(arguments: list[str]) -> int:
    """Run the step that *arguments* name and return the exit code."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    for noisy in ("py4j", "botocore", "urllib3", "great_expectations", "alembic", "mlflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    asked = not _HELP.isdisjoint(arguments)
    out = None
    if "--out" in arguments:
        position = arguments.index("--out")
        out = Path(*arguments[position + 1 : position + 2])
        arguments = arguments[:position] + arguments[position + 2 :]
    try:
        if out == Path() and not asked:
            raise ConfigurationError("--out needs a file name; the receipt is written there")
        if not arguments or arguments[0] in _HELP:
            print(_overview())
            return 0
        step = _step(arguments[0])
        if asked:
            print(help_of(arguments[0], step))
            return 0
        receipt = step(**_values(arguments[0], step, arguments[1:]))
    except RefitError as error:
        return _report(arguments, error)
    except Exception as error:
        happened = accident(error)
        if happened is None:
            raise
        traceback.print_exc()
        return _report(arguments, happened)
    text = json.dumps(receipt, indent=2, ensure_ascii=False)
    if out is None:
        print(text)
    else:
        # Readers must never see half a receipt.
        part = out.with_suffix(".part")
        part.write_text(text, encoding="utf-8")
        os.replace(part, out)
    return 0


def _report(arguments: list[str], error: RefitError) -> int:
    print(f"{arguments[0] if arguments else 'pipelines'}: {error}", file=sys.stderr)
    if isinstance(error, NotThereYetError):
        return 3
    return 1 if isinstance(error, TransientError) else 2


def _step(name: str) -> Callable[..., dict[str, Any]]:
    if name not in STEPS:
        raise ConfigurationError(f"there is no step {name!r}; the steps are {', '.join(STEPS)}")
    step: Callable[..., dict[str, Any]] = importlib.import_module(f"pipelines.{name}").main
    return step


def _values(name: str, step: Callable[..., Any], arguments: list[str]) -> dict[str, Any]:
    hints = typing.get_type_hints(step, include_extras=True)
    parameters: Mapping[str, inspect.Parameter] = inspect.signature(step).parameters
    values: dict[str, Any] = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals or key not in parameters:
            raise ConfigurationError(f"{argument!r} is no parameter; {usage(name, step)}")
        if not text and parameters[key].default is not inspect.Parameter.empty:
            continue  # an empty template of a DAG means that the parameter was not given
        adapter = TypeAdapter[Any](hints[key])
        structured = text.startswith("{") and not takes_text(hints[key])
        try:
            validate = adapter.validate_json if structured else adapter.validate_python
            values[key] = validate(text, context={"clock": _shop_clock})
        except ValidationError as error:
            raise ConfigurationError(f"{key}={text!r} cannot be used: it {_asked(error.errors()[0])}") from error
    missing = [
        key
        for key, parameter in parameters.items()
        if parameter.default is inspect.Parameter.empty and key not in values
    ]
    if missing:
        raise ConfigurationError(f"{', '.join(missing)} must be given; {usage(name, step)}")
    return values


def _asked(problem: Mapping[str, Any]) -> str:
    # `must_be` describes objects in TOML; the command line takes JSON.
    return 'must be an object of JSON, as {"name": "value"}' if problem["type"] == "dict_type" else must_be(problem)


def _shop_clock() -> ShopClock:
    """Return the clock for plain dates; a shop is needed only if one is given."""
    from pipelines import wiring  # noqa: PLC0415  --help needs none of its imports

    return wiring.shop().calendar.clock


def _overview() -> str:
    lines = ["usage: python -m pipelines STEP name=value ... [--out FILE]", "", "steps:"]
    for name in STEPS:
        module = Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")
        title = next(line for line in module.splitlines() if line.startswith("Step: ")).removeprefix("Step: ")
        lines.append(f"  {name:<26}{title}")
    lines += ["", "python -m pipelines STEP --help says what a step does and what each of its parameters means."]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
