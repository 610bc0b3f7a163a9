"""Great Expectations on Spark frames; the only file that knows it."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from copy import copy
from typing import Any

from pydantic.v1 import ValidationError
from pyspark.sql import DataFrame

from refit.errors import ConfigurationError
from refit.interfaces import Check
from refit.validation_errors import must_be


class GreatExpectations:
    """Validates with suites built from YAML on each call, so that nothing is stored beside them."""

    def require_known(self, suite: Mapping[str, Any]) -> None:
        """Raise ConfigurationError if *suite* has an unknown expectation type or lacks an argument."""
        _build(suite)

    def validate(self, frame: DataFrame, suite: Mapping[str, Any]) -> tuple[Check, ...]:
        """Return one check per expectation of *suite*, in its order; raise if a rule cannot run."""
        gx, built = _build(suite)
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False, "metric_calculations": False}
        # persist=True, the default, would cache the frame forever.
        source = context.data_sources.add_spark("spark", persist=False)
        batch = source.add_dataframe_asset("frame").add_batch_definition_whole_dataframe("whole")

        def judge(rules: Any, result_format: str) -> dict[int, dict[str, Any]]:
            definition = gx.ValidationDefinition(name=rules.name, data=batch, suite=context.suites.add(rules))
            outcome = context.validation_definitions.add(definition).run(
                batch_parameters={"dataframe": frame}, result_format=result_format
            )
            found = {result.expectation_config.meta["place"]: result.to_json_dict() for result in outcome.results}
            for position in sorted(found):
                _require_run(suite, suite["expectations"][position], found[position])
            return found

        results = judge(built, "BOOLEAN_ONLY")
        broken = [rule for rule in built.expectations if not results[rule.meta["place"]]["success"]]
        if broken:
            # Counts and examples cost a Spark job per rule, so they are computed for broken rules only.
            again = gx.ExpectationSuite(name=f"{suite['name']}, broken", expectations=[copy(rule) for rule in broken])
            results |= judge(again, "SUMMARY")
        return tuple(_check(suite, suite["expectations"][position], results[position]) for position in sorted(results))


def _build(suite: Mapping[str, Any]) -> tuple[Any, Any]:
    # The import takes seconds and logs two hundred functions.
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    import great_expectations as gx  # noqa: PLC0415

    _quiet()
    try:
        built = gx.ExpectationSuite(
            name=suite["name"],
            expectations=[
                {
                    "type": rule["type"],
                    "kwargs": rule.get("kwargs", {}),
                    "severity": rule["severity"],
                    "meta": {"place": position},
                }
                for position, rule in enumerate(suite["expectations"])
            ],
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigurationError(
            f"suite {suite['name']!r} gives an expectation the wrong arguments: "
            f"{'.'.join(str(part) for part in first['loc'])} {must_be(dict(first))}; correct them"
        ) from error
    if len(built.expectations) != len(suite["expectations"]):
        # Great Expectations drops a misspelt type with only a log line.
        known = {rule.meta["place"] for rule in built.expectations}
        lost = [rule["type"] for position, rule in enumerate(suite["expectations"]) if position not in known]
        raise ConfigurationError(
            f"suite {suite['name']!r} has expectation types that do not exist: {', '.join(lost)}; correct them"
        )
    return gx, built


def _quiet() -> None:
    """Let only errors through: some loggers set their own level and report irrelevant folders."""
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("great_expectations.")]:
        logging.getLogger(name).setLevel(logging.NOTSET)
    logging.getLogger("great_expectations").setLevel(logging.ERROR)


def _require_run(suite: Mapping[str, Any], rule: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    """Raise ConfigurationError if *rule* could not run."""
    trouble = result.get("exception_info") or {}
    raised = trouble.get("raised_exception") or any(
        isinstance(entry, Mapping) and entry.get("raised_exception") for entry in trouble.values()
    )
    if raised:
        raise ConfigurationError(
            f"rule {rule['name']} of suite {suite['name']!r} could not run on {rule.get('kwargs', {})}: "
            f"{_reason(str(trouble))}; a rule that cannot run is not passed"
        )


def _check(suite: Mapping[str, Any], rule: Mapping[str, Any], result: Mapping[str, Any]) -> Check:
    found = dict(result.get("result", {}))
    if rule["type"] == "unexpected_rows_expectation":
        found["unexpected_count"] = found.get("observed_value", 0)
    examples = [value for value in found.get("partial_unexpected_list", []) if value is not None]
    observed = found.get("observed_value", examples)
    return Check(
        suite=suite["name"],
        name=rule["name"],
        column=rule.get("kwargs", {}).get("column"),
        severity=rule["severity"],
        passed=bool(result["success"]),
        unexpected=int(found.get("unexpected_count") or 0),
        rows=int(found.get("element_count") or 0),
        allowed=_allowed(rule, int(found.get("element_count") or 0)),
        observed=str(observed)[:200],
        why=rule["why"],
    )


def _allowed(rule: Mapping[str, Any], rows: int) -> int:
    """Return how many of *rows* may break *rule*, according to its argument `mostly`."""
    return math.floor(rows * (1 - float(rule.get("kwargs", {}).get("mostly", 1.0))) + 1e-9)


def _reason(trouble: str) -> str:
    """Return why a rule could not run; an error caused by a value (SQLSTATE class 22) is reported without the value."""
    condition = re.search(r"\[([A-Z][A-Z0-9_.]+)\]", trouble)
    state = re.search(r"SQLSTATE: (\w{5})", trouble)
    if condition and state and state[1].startswith("22"):
        return f"it meets a value that it cannot take ({condition[1]})"
    return trouble[:300]
