"""Checks the numbers of a batch against the limits of the list gate, each with a sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from refit.verdicts import Measure

if TYPE_CHECKING:
    from refit.config import ListGate


@dataclass
class GateChecks:
    """What was asked so far, and what is to be said of it."""

    limits: ListGate
    measures: list[Measure] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def none(self, name: str, value: float | None, n: int, wrong: str) -> None:
        """Ask for none of something."""
        self._add(name, value, 0, n, value == 0, f"exactly 0 is asked (n {n:,}): {wrong}")

    def least(self, name: str, value: float | None, setting: str, n: int, wrong: str) -> None:
        """Ask for no less than a setting says; a number that is not known never passes."""
        limit = getattr(self.limits, setting)
        asked = f"at least {describe_number(limit)} is asked (n {n:,}, lists.gate.{setting}): {wrong}"
        self._add(name, value, limit, n, value is not None and value >= limit, asked)

    def most(self, name: str, value: float | None, setting: str, n: int, wrong: str) -> None:
        """Ask for no more than a setting says; a number that is not known never passes."""
        limit = getattr(self.limits, setting)
        asked = f"at most {describe_number(limit)} is asked (n {n:,}, lists.gate.{setting}): {wrong}"
        self._add(name, value, limit, n, value is not None and value <= limit, asked)

    def within(self, name: str, value: float, low: float | None, high: float | None, n: int, since: str) -> None:
        """Ask for a number that is no less than *low* and no more than *high*, which the batch before gave."""
        sides = [
            f"{side} {describe_number(edge)}"
            for side, edge in (("at least", low), ("at most", high))
            if edge is not None
        ]
        passed = (low is None or value >= low) and (high is None or value <= high)
        limit = low if high is None or (low is not None and value < low) else high
        self._add(name, value, limit, n, passed, f"{' and '.join(sides)} is asked (n {n:,}{since}")

    def spare(self, name: str, why: str) -> None:
        """Note that there is nothing to measure."""
        self.measures.append(Measure(name=name, value=None, limit=None, n=0, passed=True, note=f"{name}: {why}"))

    def _add(self, name: str, value: float | None, limit: float | None, n: int, passed: bool, asked: str) -> None:
        sentence = f"{name} is {describe_number(value)}, {asked}"
        self.measures.append(Measure(name=name, value=value, limit=limit, n=n, passed=passed, note=sentence))
        if not passed:
            self.refusals.append(sentence)


def describe_number(number: float | None) -> str:
    """
    Return a number as sentences have it.

    >>> [describe_number(number) for number in (1234567, 0.90909090, 0.0, None)]
    ['1,234,567', '0.9091', '0', 'unknown']
    """
    if number is None:
        return "unknown"
    return f"{number:,.0f}" if number == int(number) else f"{number:,.{4 if abs(number) < 1 else 6}g}"
