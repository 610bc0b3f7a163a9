"""Reading a shop's warehouse: named Spark sources, one SQL statement per contract table."""

from __future__ import annotations

from refit.sources.databases import refuse_secrets
from refit.sources.source_errors import explained
from refit.sources.warehouse import Warehouse

__all__ = ["Warehouse", "explained", "refuse_secrets"]
