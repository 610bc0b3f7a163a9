"""A few examples of what was set apart and left out, found without holding more than those in memory."""

from __future__ import annotations

import json
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from refit.cleaning import KEPT, QUARANTINED
from refit.columns import Columns
from refit.landing.day_ledger import Example


def examples_of(written: DataFrame) -> list[Example]:
    """
    Return up to three events for each day and reason of the rows that did not stay.

    *written* has the columns `event_date`, `fate` and `broken`. The choice is by a hash, so it is the same on every
    machine; only the smallest and largest of each group travel, however many rows fail.
    """
    out = written.where(F.col(Columns.FATE) != KEPT)
    reason = F.when(F.col(Columns.FATE) == QUARANTINED, F.element_at(Columns.BROKEN, 1)).otherwise(F.col(Columns.FATE))
    own = sorted(set(written.columns) - {Columns.EVENT_DATE, Columns.FATE, Columns.CHANGED, Columns.ITEM_KNOWN})
    row = F.to_json(F.struct(*own))
    # The hash functions pass over nulls: rows that differ only in where they are have one hash, and the text decides.
    hashed, backwards = F.struct(F.xxhash64(*own), row), F.struct(F.reverse(F.xxhash64(*own).cast("string")), row)
    chosen = (
        out.groupBy(Columns.EVENT_DATE, reason.alias("reason"))
        .agg(F.min_by(row, hashed), F.max_by(row, hashed), F.min_by(row, backwards))
        .orderBy(Columns.EVENT_DATE, "reason")
    )
    found = []
    for day, why, *rows in chosen.collect():
        for text in dict.fromkeys(rows):
            found.append(Example(day=day.isoformat(), reason=why, row=_values(json.loads(text))))
    return found


def _values(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != Columns.BROKEN}
