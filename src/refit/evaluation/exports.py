"""Exports judged lists, so that anyone can recompute the metrics."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from refit.columns import Columns
from refit.evaluation.holdout_lists import Judged

LISTS_FILE = "judged_lists.parquet"
"""File name of the export in the challenger's run."""


def export_lists(judged: Judged, holdout: DataFrame) -> bytes:
    """
    Return every judged list as Parquet, one row per person in the order of ids.

    Columns: user_id; relevant, the ids of the person's holdout items; wanted, their number including items that no
    model knows (null if not counted); and one column per model, `list:NAME`, with the ids of its list, best first, at
    the longest judged length. Shorter lists are prefixes.
    """
    users = holdout.sparkSession.createDataFrame(
        [(user,) for user in judged.users.to_pylist()], f"{Columns.USER} string"
    )
    relevant = holdout.select(Columns.USER, Columns.RELEVANT).join(F.broadcast(users), Columns.USER).toArrow()
    order = pc.index_in(judged.users, value_set=relevant[Columns.USER].combine_chunks())
    table = pa.table(
        {
            Columns.USER: judged.users,
            Columns.RELEVANT: relevant[Columns.RELEVANT].combine_chunks().take(order),
            "wanted": pa.nulls(judged.people, pa.int64()) if judged.wanted is None else pa.array(judged.wanted),
            **{f"list:{model}": _lists(lists, judged.items) for model, lists in judged.lists.items()},
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _lists(positions: NDArray[np.int32], items: pa.Array) -> pa.ListArray:
    """Return the ids at *positions*, people x longest; -1 (no item) is left out."""
    filled = positions >= 0
    offsets = np.concatenate([[0], np.cumsum(filled.sum(axis=1))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), items.take(pa.array(positions[filled])))
