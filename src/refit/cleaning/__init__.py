"""
Cleaning: removes or repairs events of a day.

Every raw event gets a status, so that no row vanishes uncounted. Every kind of cleaning works within one day of the
shop, so landing a year at once and day by day gives the same result.
"""

from __future__ import annotations

from refit.cleaning.cancellations import without_cancelled
from refit.cleaning.pipeline import KEPT, QUARANTINED, clean

__all__ = ["KEPT", "QUARANTINED", "clean", "without_cancelled"]
