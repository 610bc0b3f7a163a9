"""In-memory collaborators and data with known answers, for tests and experiments."""

from __future__ import annotations

from refit.testing.checkerboard import Checkerboard
from refit.testing.object_store import FakeObjectStore
from refit.testing.planted import planted
from refit.testing.tracking import FakeRegistry, FakeRun, FakeTracker, crown

__all__ = ["Checkerboard", "FakeObjectStore", "FakeRegistry", "FakeRun", "FakeTracker", "crown", "planted"]
