"""
Step: copy the live lists, verified, into a local folder for loaders.

Reads:  the pointer, the manifest and every part file of the live batch, or of the batch of `run_date`.
Writes: one folder for the batch and the link `current` below `folder`.
Re-run: safe; a complete copy is left unchanged, and a killed one leaves nothing that a loader could see.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines import wiring
from pipelines.parameters import Folder, RunDate
from refit.publication.local_copy import copy_live
from refit.storage.object_store import ObjectStore


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step did."""

    folder: str
    """Folder with the files of the batch."""
    copied: bool
    """False if a complete copy of this batch already existed."""
    generation: int
    run_date: str
    batch: str
    files: int
    rows: int
    bytes: int


def run(folder: str, run_date: str = "", *, store: ObjectStore) -> Receipt:
    """Copy the live batch, or the current batch of *run_date*, to *folder*."""
    copied = copy_live(store, Path(folder), run_date or None)
    return Receipt(**{**asdict(copied), "folder": str(copied.folder)})


def main(folder: Folder, run_date: RunDate = "") -> dict[str, Any]:
    """Copy with the real collaborators."""
    return asdict(run(folder, run_date, store=wiring.lists()))
