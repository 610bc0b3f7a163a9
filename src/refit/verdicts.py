"""Verdicts: the decision of a gate, its measures, and the reasons in sentences."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One number that a gate compared with a limit."""

    name: str
    value: float | None
    """None if it could not be measured; a missing value passes only if the note says why none is needed."""
    limit: float | None
    n: int
    """Sample size behind the value."""
    passed: bool
    note: str = ""
    """The measure as a sentence, from gates that give one."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The decision of one gate."""

    gate: str
    decision: str
    measures: tuple[Measure, ...]
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    """Sentences worth attention that refuse nothing."""

    def as_record(self) -> dict[str, Any]:
        """Return the verdict as plain JSON values; notes and warnings only if there are any."""
        record = asdict(self)
        record["measures"] = [
            {name: value for name, value in measure.items() if name != "note" or value}
            for measure in record["measures"]
        ]
        record["reasons"] = list(record["reasons"])
        warnings = list(record.pop("warnings"))
        return {**record, "warnings": warnings} if warnings else record
