"""Part files: lists as Parquet, in row groups that can be read individually."""

from __future__ import annotations

import base64
import io
import zlib
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from refit.batches.row_digests import sum_of_rows
from refit.digests import sha256

_ENDING = 8
"""Number of bytes after the footer: its length and PAR1."""
_ENTRY = "recommendations.list.element"
_REASON = f"{_ENTRY}.reasons.list.element"
_REPEATING = ["run_date", "short", f"{_ENTRY}.item_id", f"{_ENTRY}.source", f"{_REASON}.item_id"]
_SCORES = [f"{_ENTRY}.score", f"{_REASON}.contribution"]


class PartFile:
    """Writes one part file, row group by row group, sorted by user_id."""

    def __init__(self) -> None:
        self._sink = io.BytesIO()
        self._writer: pq.ParquetWriter | None = None
        self._people: list[tuple[str, str]] = []
        self._sum = 0
        self.rows = 0

    def write_group(self, rows: pa.RecordBatch) -> None:
        """Write *rows*, which continue the order of the rows before, as one row group."""
        if self._writer is None:
            self._writer = pq.ParquetWriter(
                self._sink,
                rows.schema,
                compression="zstd",
                compression_level=1,
                # Ids repeat often, so dictionaries pay; scores do not repeat, but their first bytes are similar.
                use_dictionary=_REPEATING,
                use_byte_stream_split=_SCORES,
                write_statistics=["user_id"],
                store_schema=False,
            )
        self._writer.write_batch(rows, row_group_size=len(rows))
        self._people.append((rows["user_id"][0].as_py(), rows["user_id"][-1].as_py()))
        self._sum += sum_of_rows(rows)
        self.rows += len(rows)

    def close(self) -> tuple[bytes, dict[str, Any]]:
        """
        Return the file and its record: rows, bytes, sha256, content, groups and footer.

        The content is the hexadecimal sum of the rows' digests: equal for equal rows, whatever the files.

        A group has the ids of its first and last person, and the offset, number and SHA-256 of its bytes; the footer is
        Base64 of the zlib-compressed end of the file. They allow reading one group with one range request.
        """
        if self._writer is not None:
            self._writer.close()
        content = self._sink.getvalue()
        described = pq.read_metadata(pa.BufferReader(content))
        groups = []
        for number, (first, last) in enumerate(self._people):
            start, size = _range(described.row_group(number))
            digest = sha256(content[start : start + size])
            groups.append({"first": first, "last": last, "offset": start, "bytes": size, "sha256": digest})
        length = int.from_bytes(content[-_ENDING:-4], "little") + _ENDING
        return content, {
            "rows": self.rows,
            "bytes": len(content),
            "sha256": sha256(content),
            "content": f"{self._sum % 2**256:064x}",
            "groups": groups,
            "footer": base64.b64encode(zlib.compress(content[-length:])).decode("ascii"),
        }


def _range(group: Any) -> tuple[int, int]:
    columns = [group.column(number) for number in range(group.num_columns)]
    starts = [min(one.data_page_offset, one.dictionary_page_offset or one.data_page_offset) for one in columns]
    ends = [start + one.total_compressed_size for start, one in zip(starts, columns, strict=True)]
    return min(starts), max(ends) - min(starts)
