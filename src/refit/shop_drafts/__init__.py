"""
Drafts a first shop.toml and mappings for undescribed data: inspect, guess, measure the guess, write.

`tables` finds the tables, `times` and `roles` guess what each column means, `mappings` writes the guess as SQL,
`measures` runs that SQL and counts what landing would see, and `rendering` writes the files, with a question wherever
a guess may be wrong.
"""

from __future__ import annotations

from refit.shop_drafts.drafting import Draft, draft_shop
from refit.shop_drafts.tables import Table, tables_of_database, tables_of_folder

__all__ = ["Draft", "Table", "draft_shop", "tables_of_database", "tables_of_folder"]
