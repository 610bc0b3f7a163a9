"""Verdicts: what a gate decided, every number it looked at, and the reasons in sentences."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One number that a gate compared with a limit."""

    name: str
    value: float | None
    """None when it could not be measured; a missing number never passes."""
    limit: float | None
    n: int
    """Sample size behind the value."""
    passed: bool


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The decision of one gate."""

    gate: str
    decision: str
    measures: tuple[Measure, ...]
    reasons: tuple[str, ...]

    def as_record(self) -> dict[str, Any]:
        """Return the verdict as plain JSON values."""
        record = asdict(self)
        record["measures"] = list(record["measures"])
        record["reasons"] = list(record["reasons"])
        return record
