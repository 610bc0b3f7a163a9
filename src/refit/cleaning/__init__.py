"""
Cleaning: what is left out of a day, or mended in it.

Every row of the intake gets a fate, so that nothing vanishes uncounted. All kinds work within one day of the shop,
and so a year landed at once and day by day comes out the same.
"""

from __future__ import annotations

from refit.cleaning.cancellations import without_cancelled
from refit.cleaning.pipeline import KEPT, QUARANTINED, clean

__all__ = ["KEPT", "QUARANTINED", "clean", "without_cancelled"]
