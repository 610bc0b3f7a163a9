"""Checks batch statistics against the limits of the list gate; each check has a sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from refit.verdicts import Measure

if TYPE_CHECKING:
    from refit.config import ListGate


@dataclass
class GateChecks:
    """Results of the checks made so far."""

    limits: ListGate
    measures: list[Measure] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def none(self, name: str, value: float | None, n: int, wrong: str) -> None:
        """Require exactly 0."""
        self._add(name, value, 0, n, value == 0, f"exactly 0 is asked (n {n:,}): {wrong}")

    def least(self, name: str, value: float | None, setting: str, n: int, wrong: str) -> None:
        """Require at least the limit in *setting*; an unknown number never passes."""
        limit = getattr(self.limits, setting)
        requirement = f"at least {describe_number(limit)} is asked (n {n:,}, lists.gate.{setting}): {wrong}"
        self._add(name, value, limit, n, value is not None and value >= limit, requirement)

    def most(self, name: str, value: float | None, setting: str, n: int, wrong: str) -> None:
        """Require at most the limit in *setting*; an unknown number never passes."""
        limit = getattr(self.limits, setting)
        requirement = f"at most {describe_number(limit)} is asked (n {n:,}, lists.gate.{setting}): {wrong}"
        self._add(name, value, limit, n, value is not None and value <= limit, requirement)

    def within(self, name: str, value: float, low: float | None, high: float | None, n: int, since: str) -> None:
        """Require a number between *low* and *high*, which are derived from the previous batch."""
        sides = [
            f"{side} {describe_number(bound)}"
            for side, bound in (("at least", low), ("at most", high))
            if bound is not None
        ]
        passed = (low is None or value >= low) and (high is None or value <= high)
        limit = low if high is None or (low is not None and value < low) else high
        self._add(name, value, limit, n, passed, f"{' and '.join(sides)} is asked (n {n:,}{since}")

    def spare(self, name: str, why: str) -> None:
        """Record a passed check without a measurement, and *why* there is none."""
        self.measures.append(Measure(name=name, value=None, limit=None, n=0, passed=True, note=f"{name}: {why}"))

    def _add(self, name: str, value: float | None, limit: float | None, n: int, passed: bool, requirement: str) -> None:
        sentence = f"{name} is {describe_number(value)}, {requirement}"
        self.measures.append(Measure(name=name, value=value, limit=limit, n=n, passed=passed, note=sentence))
        if not passed:
            self.refusals.append(sentence)


def describe_number(number: float | None) -> str:
    """
    Return a number formatted for a sentence.

    >>> [describe_number(number) for number in (1234567, 0.90909090, 0.0, None)]
    ['1,234,567', '0.9091', '0', 'unknown']
    """
    if number is None:
        return "unknown"
    return f"{number:,.0f}" if number == int(number) else f"{number:,.{4 if abs(number) < 1 else 6}g}"
