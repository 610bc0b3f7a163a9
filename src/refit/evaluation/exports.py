"""Judged lists for a judge outside: whoever doubts a metric computes it again."""

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
"""The export among the files of the challenger's run."""


def export_lists(judged: Judged, holdout: DataFrame) -> bytes:
    """
    Return every judged list as Parquet, one row per person in the order of ids.

    Columns: user_id; relevant, the ids that the person came to want and that every model was asked about; wanted, how
    many there are with those that no model knows (null where nobody counted); and one column per model, `list:NAME`,
    with the ids of its list, best first, of the longest judged length. The cuts of shorter lists are their beginnings.
    """
    users = holdout.sparkSession.createDataFrame(
        [(user,) for user in judged.users.to_pylist()], f"{Columns.USER} string"
    )
    asked = holdout.select(Columns.USER, Columns.RELEVANT).join(F.broadcast(users), Columns.USER).toArrow()
    order = pc.index_in(judged.users, value_set=asked[Columns.USER].combine_chunks())
    table = pa.table(
        {
            Columns.USER: judged.users,
            Columns.RELEVANT: asked[Columns.RELEVANT].combine_chunks().take(order),
            "wanted": pa.nulls(judged.people, pa.int64()) if judged.wanted is None else pa.array(judged.wanted),
            **{f"list:{model}": _lists(lists, judged.items) for model, lists in judged.lists.items()},
        }
    )
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _lists(positions: NDArray[np.int32], items: pa.Array) -> pa.ListArray:
    """Return the ids at *positions*, people x longest; a place without an item, -1, is left out."""
    filled = positions >= 0
    starts = np.concatenate([[0], np.cumsum(filled.sum(axis=1))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(starts), items.take(pa.array(positions[filled])))
