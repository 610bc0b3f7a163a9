"""
The pointer: one small object that names the batch to read, its past moves, and what restricts the next move.

`live.json` names the lists to read now, `dates/run_date=D.json` those for one date. Both have the same format and are
moved by the same code, by compare-and-swap only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypedDict

from refit.digests import canonical_json
from refit.errors import DamagedBatchError

LIVE = "live.json"
FORMAT = "refit-live/2"
REMEMBERED = 50
"""Number of moves kept; a publication whose answer was lost must be retried before as many others happen."""

Fence = tuple[str, str, str]
"""Run date, order, logical run; a batch goes live only if its fence is above every earlier live fence."""
NO_FENCE: Fence = ("", "", "")


class Move(TypedDict, total=False):
    """One entry of a pointer's history, flat as in the document."""

    generation: int
    kind: str
    """`publish` or `rollback`."""
    logical_run: str
    batch: str
    run_date: str
    manifest: str
    manifest_sha256: str
    index: str
    index_sha256: str
    model: Mapping[str, Any]
    fence: list[str]
    as_of: str
    good_until: str
    at: str
    by: str
    reason: str
    collected: bool
    """True once the batch's files may have been deleted; no pointer may return to it."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A judged batch, as a pointer names it."""

    batch: str
    run_date: str
    as_of: str
    good_until: str
    manifest: str
    """Key of the manifest."""
    manifest_sha256: str
    index: str
    """Key of the index."""
    index_sha256: str
    model: Mapping[str, Any]
    """name, version, digest and cutoff of the champion that made it."""

    @property
    def prefix(self) -> str:
        """Prefix of the batch."""
        return self.manifest.rpartition("/")[0]


_TARGET = tuple(Target.__dataclass_fields__)


@dataclass(frozen=True, kw_only=True)
class Pointer:
    """The contents of a pointer."""

    generation: int
    """Increases by one with each move."""
    target: Target | None
    """None if the lists of the date were collected, or none was ever published for it."""
    made_from: Mapping[str, Any] = field(default_factory=dict)
    """Inputs of the batch."""
    horizon: str
    """Batches created before this stamp may be deleted at any time and can no longer go live."""
    highest: Fence
    """The highest fence ever published here; a rollback keeps it."""
    current: Fence
    """The fence of the current target."""
    history: tuple[Move, ...]
    """Newest first."""

    def published_by(self, logical_run: str) -> Move | None:
        """Return the move by which *logical_run* published here, or None."""
        return self._made("publish", logical_run)

    def rolled_back_by(self, logical_run: str) -> Move | None:
        """Return the move by which *logical_run* rolled back here, or None."""
        return self._made("rollback", logical_run)

    def to_json(self) -> bytes:
        """Return the pointer as a JSON document."""
        named = vars(self.target) if self.target else {}
        return canonical_json(
            {
                "format": FORMAT,
                "generation": self.generation,
                **named,
                "made_from": self.made_from,
                "horizon": self.horizon,
                "highest": self.highest,
                "current": self.current,
                "history": self.history[:REMEMBERED],
            }
        )

    def _made(self, kind: str, logical_run: str) -> Move | None:
        for move in self.history:
            if move["logical_run"] == logical_run and move["kind"] == kind:
                return move
        return None


def date_pointer(run_date: str) -> str:
    """
    Return the key of the pointer of one date.

    >>> date_pointer("2026-01-05")
    'dates/run_date=2026-01-05.json'
    """
    return f"dates/run_date={run_date}.json"


def target_of(document: Mapping[str, Any]) -> Target:
    """Return the batch named by a move or by a whole pointer document."""
    return Target(**{name: document[name] for name in _TARGET})


def read_pointer(content: bytes, address: str) -> Pointer:
    """
    Parse the pointer document *content*, found at *address*.

    Raises:
        DamagedBatchError: *content* is not a pointer, or has another format.
    """
    try:
        document = json.loads(content)
        if document["format"] != FORMAT:
            raise DamagedBatchError(
                f"{address} has format {document['format']!r}, {FORMAT!r} is expected; read it with the Refit that "
                "wrote it, or move it away and publish again"
            )
        return Pointer(
            generation=int(document["generation"]),
            target=target_of(document) if "batch" in document else None,
            made_from=document["made_from"],
            horizon=document["horizon"],
            highest=_fence(document["highest"]),
            current=_fence(document["current"]),
            history=tuple(document["history"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedBatchError(f"{address} is no pointer: {error!r}; move it away and publish again") from error


def _fence(values: Any) -> Fence:
    run_date, order, logical_run = values
    return (run_date, order, logical_run)
