"""A few examples of quarantined and removed events, found in bounded memory."""

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
    Return up to three events for each day and reason among the rows that were not kept.

    *written* has the columns `event_date`, `fate` and `broken`. A hash chooses the rows, so the choice is the same on
    every machine; only the smallest and largest hashes of each group are shuffled, however many rows fail.
    """
    out = written.where(F.col(Columns.FATE) != KEPT)
    reason = F.when(F.col(Columns.FATE) == QUARANTINED, F.element_at(Columns.BROKEN, 1)).otherwise(F.col(Columns.FATE))
    own = sorted(set(written.columns) - {Columns.EVENT_DATE, Columns.FATE, Columns.CHANGED, Columns.ITEM_KNOWN})
    row = F.to_json(F.struct(*own))
    # The hash skips nulls, so rows that differ only in where nulls are share a hash; the text breaks the tie.
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
