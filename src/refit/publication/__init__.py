"""
Publication: an immutable batch, a manifest of its files, an index of its people, and pointers that are swapped.

Readers follow a pointer to the manifest to the files, so they see the whole old batch or the whole new one. A reader of
one person follows the pointer to the index and from there to a few bytes of one file. `docs/publication.md` describes
the protocol and the reason for each of its rules.
"""

from __future__ import annotations

from refit.batches.pointer import LIVE, date_pointer
from refit.publication.commit import Attempt, new_attempt, read_commit, write_commit
from refit.publication.garbage import Collected
from refit.publication.operations import collect, point_back, publish, require_point_back, write_manifest
from refit.publication.pointer_protocol import PointerOutcome
from refit.publication.publish_batch import Published
from refit.publication.read import read_live_batch, read_live_person, read_manifest
from refit.storage.store_clock import order, stamp

__all__ = [
    "LIVE",
    "Attempt",
    "Collected",
    "PointerOutcome",
    "Published",
    "collect",
    "date_pointer",
    "new_attempt",
    "order",
    "point_back",
    "publish",
    "read_commit",
    "read_live_batch",
    "read_live_person",
    "read_manifest",
    "require_point_back",
    "stamp",
    "write_commit",
    "write_manifest",
]
