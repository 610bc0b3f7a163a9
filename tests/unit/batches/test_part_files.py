"""Part files: row groups that can be read alone, from the record and one range of bytes."""

from __future__ import annotations

import base64
import io
import zlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from refit.batches.index import find_person, make_index, read_row
from refit.batches.part_files import PartFile
from refit.batches.schema import SCHEMA
from refit.candidates.candidate_set import CandidateSet
from refit.digests import sha256
from refit.lists.generate import make_lists, to_batch
from refit.model.item_factors import ItemFactors
from refit.ranking.flat_histories import Histories
from refit.ranking.ranker import Ranker

PEOPLE = [["ann", "ben"], ["cem", "dia", "joë"], ["éva"]]


def rows_of(names: list[str]) -> pa.RecordBatch:
    """Return the lists of people who all bought item 3."""
    model = ItemFactors(
        items=pa.array([f"i{n}" for n in range(9)]),
        factors=np.random.default_rng(7).normal(size=(9, 2)).astype(np.float32),
        people=np.arange(9),
        alpha=1.0,
        regularisation=0.1,
        facts={},
    )
    ones = np.ones(len(names))
    histories = Histories(pa.array(names), np.arange(len(names) + 1), (3 * ones).astype(np.int64), ones, ones > 0)
    candidate_set = CandidateSet.plain(model.items)
    return to_batch(candidate_set, list(make_lists(Ranker(model, candidate_set), histories, 4, 2)), 7, "2026-01-05")


@pytest.fixture(scope="module")
def written() -> tuple[bytes, dict[str, Any]]:
    part = PartFile()
    for names in PEOPLE:
        part.write_group(rows_of(names))
    return part.close()


def test_the_file_holds_all_rows_in_the_schema_of_lists(written: tuple[bytes, dict[str, Any]]) -> None:
    """Texts that were dictionaries on the way come back as texts."""
    content, record = written
    table = pq.read_table(io.BytesIO(content))
    assert table.schema.equals(SCHEMA)
    assert table.to_pylist() == [row for names in PEOPLE for row in rows_of(names).to_pylist()]
    assert (record["rows"], record["bytes"], record["sha256"]) == (6, len(content), sha256(content))


def test_the_record_says_where_each_group_lies(written: tuple[bytes, dict[str, Any]]) -> None:
    """Ranges follow each other between the first bytes of the file and the footer, and are what they claim to be."""
    content, record = written
    assert [(group["first"], group["last"]) for group in record["groups"]] == [
        ("ann", "ben"),
        ("cem", "joë"),
        ("éva", "éva"),
    ]
    footer = zlib.decompress(base64.b64decode(record["footer"]))
    end = 4
    for group in record["groups"]:
        assert group["offset"] == end
        end += group["bytes"]
        assert sha256(content[group["offset"] : end]) == group["sha256"]
    assert content == content[:end] + footer


@pytest.mark.parametrize("name", [name for names in PEOPLE for name in names])
def test_one_person_is_read_from_one_range(written: tuple[bytes, dict[str, Any]], name: str) -> None:
    content, record = written
    index, places = make_index({"parts": [{"key": "part", **record}]}, "batch")
    place = find_person(index, name, lambda key, start, length: places[start : start + length])
    assert place is not None
    row = read_row(place, content[place.offset : place.offset + place.bytes], name)
    assert row == rows_of([name]).to_pylist()[0]
