"""Collaborators that live in memory and data with a known answer, for tests and for trying things out."""

from __future__ import annotations

from refit.testing.checkerboard import Checkerboard
from refit.testing.object_store import FakeObjectStore
from refit.testing.planted import planted
from refit.testing.tracking import FakeRegistry, FakeRun, FakeTracker, crown

__all__ = ["Checkerboard", "FakeObjectStore", "FakeRegistry", "FakeRun", "FakeTracker", "crown", "planted"]
