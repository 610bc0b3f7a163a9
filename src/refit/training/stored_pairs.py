"""The stored pairs of a training set: read into memory without Spark, or as a Spark frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession

from refit.columns import Columns
from refit.errors import NotFoundError
from refit.lake.lake import Lake

_COLUMNS = (Columns.USER, Columns.ITEM, Columns.CONFIDENCE)


@dataclass(frozen=True)
class StoredPairs:
    """A write-once folder of Parquet files with pairs (user_id, item_id, confidence and other columns)."""

    lake: Lake
    folder: str
    """Relative to the root of the lake."""
    open_spark: Callable[[], SparkSession]
    """Called only for `frame`."""

    def frame(self) -> DataFrame:
        """Return the pairs as a Spark frame."""
        return self.open_spark().read.parquet(self.lake.path(self.folder))

    def table(self) -> pa.Table:
        """
        Return the pairs in memory; ids are dictionary-encoded, so each text is held once and not once per pair.

        Raises:
            NotFoundError: the folder holds no Parquet file.
        """
        store = self.lake.store
        parts = []
        for key in store.keys(f"{self.folder}/"):
            stored = store.get(key) if key.endswith(".parquet") else None
            if stored is not None:
                source = pa.BufferReader(stored.content)
                parts.append(pq.read_table(source, columns=list(_COLUMNS), read_dictionary=[*_COLUMNS[:2]]))
        if not parts:
            raise NotFoundError(
                f"{self.lake.path(self.folder)} holds no Parquet file; run rebuild_training_set for this set"
            )
        return pa.concat_tables(parts)


def spread(pairs: DataFrame | StoredPairs) -> DataFrame:
    """Return *pairs* as a Spark frame."""
    return pairs.frame() if isinstance(pairs, StoredPairs) else pairs
