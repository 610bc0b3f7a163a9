"""Links: a sparse items x items matrix of what each past item adds to the scores of other items."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ItemItemWeights:
    """
    Compressed sparse rows: row = past item, column = ranked item, both positions of one model.

    A past item with confidence r adds r ** power * value to the score of each of its targets. A diagonal entry is the
    repeat weight of an item, which matters in shops that recommend items bought before.
    """

    starts: NDArray[np.int64]
    """items + 1: the entries of row j are starts[j] to starts[j + 1]."""
    targets: NDArray[np.int32]
    """Ascending within a row."""
    values: NDArray[np.float32]
    power: float = 1.0
    """0: any interaction counts the same; 1: the confidence counts."""

    @property
    def items(self) -> int:
        """Number of rows and of columns."""
        return len(self.starts) - 1

    def strengths(self, confidences: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return r ** power where r > 0, and 0 elsewhere."""
        taught = confidences > 0
        return np.where(taught, np.power(np.where(taught, confidences, 1.0), self.power), 0.0)

    def to_file(self) -> bytes:
        """Return the links as Parquet; equal links give equal bytes."""
        table = pa.table(
            {
                "source": pa.array(np.repeat(np.arange(self.items, dtype=np.int32), np.diff(self.starts))),
                "target": pa.array(self.targets),
                "value": pa.array(self.values),
            }
        )
        sink = io.BytesIO()
        pq.write_table(table, sink, compression="zstd")
        return sink.getvalue()

    @classmethod
    def from_file(cls, content: bytes, *, items: int, power: float) -> ItemItemWeights:
        """Return the links stored in *content*; ValueError if they do not fit a model of *items* items."""
        table = pq.read_table(pa.BufferReader(content))
        source, target, value = (np.asarray(table[name].to_numpy()) for name in ("source", "target", "value"))
        if not np.isfinite(value).all():
            raise ValueError(f"{int((~np.isfinite(value)).sum()):,} of {len(value):,} links are not finite")
        for name, positions in (("source", source), ("target", target)):
            if len(positions) and not 0 <= positions.min() <= positions.max() < items:
                raise ValueError(f"a {name} of the links lies outside the {items:,} items of the model")
        if (np.diff(source) < 0).any():
            raise ValueError("the links are not sorted by their source")
        row_starts = np.concatenate([[0], np.cumsum(np.bincount(source, minlength=items))]).astype(np.int64)
        return cls(row_starts, target.astype(np.int32), value.astype(np.float32), power)
