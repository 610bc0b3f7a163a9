"""The corner shop in folders that outlast a test, for files in which many tests look at the same few landings."""

from __future__ import annotations

from inspect import unwrap
from pathlib import Path

from pyspark.sql import SparkSession
from support.corner import Corner

from refit.adapters.folder import FolderObjectStore
from refit.lake.lake import Lake
from tests.unit.conftest import write_orders, write_shop


def lasting_corner(spark: SparkSession, folder: Path) -> Corner:
    """Return the corner shop of the fixture `corner`, with an empty lake, below *folder*."""
    root = folder / "lake" / "corner"
    lake = Lake(root=str(root), catalog="catalog.json", store=FolderObjectStore(root))
    # A fixture that lasts as long as a test cannot be asked for by one that lasts longer; what it wraps can be called.
    return Corner(spark, lake, unwrap(write_shop)(folder), unwrap(write_orders)(folder))
