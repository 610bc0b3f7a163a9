"""Scoring with Spark: everybody once, in files whose digests are right, whatever the number of files."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession

from refit.adapters.folder import FolderObjectStore
from refit.config import Lists
from refit.digests import sha256
from refit.factors import ItemFactors
from refit.items import allowed_positions
from refit.lists import SCHEMA, sum_counts
from refit.scoring import Batch, everybody, score

PEOPLE = 24
ITEMS = 10
HISTORIES = "user_id string, items array<string>, confidences array<double>, bought array<boolean>"


@pytest.fixture(scope="module")
def model() -> ItemFactors:
    generator = np.random.default_rng(12)
    return ItemFactors(
        items=pa.array([f"i{n}" for n in range(ITEMS)]),
        factors=np.abs(generator.normal(size=(ITEMS, 3))).astype(np.float32),
        people=np.arange(ITEMS, 0, -1),
        alpha=1.0,
        regularisation=0.1,
        facts={},
    )


@pytest.fixture(scope="module")
def histories(spark: SparkSession) -> DataFrame:
    """Person n has bought item n % 10 and looked at the next one; the last three have no history."""
    rows: list[tuple[str, list[str], list[float], list[bool]]] = [
        (f"u{n:02d}", [f"i{n % ITEMS}", f"i{(n + 1) % ITEMS}"], [2.0, 1.0 + n / 10], [True, False])
        for n in range(PEOPLE - 3)
    ]
    rows += [(f"u{n}", [], [], []) for n in range(PEOPLE - 3, PEOPLE)]
    return spark.createDataFrame(rows, HISTORIES)


POLICY = Lists(k=4, reasons=2)


def run(histories: DataFrame, model: ItemFactors, folder: Path, parts: int) -> list[dict[str, Any]]:
    allowed = np.ones(ITEMS, dtype=np.bool_)
    allowed[9] = False
    batch = Batch("batches/run_date=2026-01-05/batch=a", 7, "2026-01-05")
    return score(histories, model, allowed, POLICY, batch, open_store=partial(FolderObjectStore, folder), parts=parts)


def lists(records: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    store = FolderObjectStore(folder)
    rows: list[dict[str, Any]] = []
    for record in records:
        found = store.get(record["key"])
        assert found is not None
        rows += pq.read_table(io.BytesIO(found.content)).to_pylist()
    return sorted(rows, key=lambda row: str(row["user_id"]))


@pytest.fixture(scope="module")
def scored(
    histories: DataFrame, model: ItemFactors, tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[dict[str, Any]], Path]:
    folder = tmp_path_factory.mktemp("scored")
    return run(histories, model, folder, 3), folder


def test_everybody_has_exactly_one_row(scored: tuple[list[dict[str, Any]], Path]) -> None:
    rows = lists(*scored)
    assert [row["user_id"] for row in rows] == [f"u{n:02d}" for n in range(PEOPLE)]
    assert {(row["model_version"], row["run_date"]) for row in rows} == {(7, "2026-01-05")}


def test_the_commit_records_say_what_lies_there(scored: tuple[list[dict[str, Any]], Path]) -> None:
    """Key, rows, bytes and SHA-256 of each file; no other file lies there."""
    records, folder = scored
    store = FolderObjectStore(folder)
    assert sorted(record["key"] for record in records) == store.keys("batches/")
    for record in records:
        found = store.get(record["key"])
        assert found is not None
        table = pq.read_table(io.BytesIO(found.content))
        assert table.schema.equals(SCHEMA)
        assert (record["rows"], record["bytes"], record["sha256"]) == (
            len(table),
            len(found.content),
            sha256(found.content),
        )


def test_nobody_is_shown_what_was_bought_or_withdrawn(scored: tuple[list[dict[str, Any]], Path]) -> None:
    for number, row in enumerate(lists(*scored)):
        shown = [entry["item_id"] for entry in row["recommendations"]]
        assert len(shown) == len(set(shown)) == 4
        assert "i9" not in shown
        if number < PEOPLE - 3:
            assert f"i{number % ITEMS}" not in shown
            assert {entry["source"] for entry in row["recommendations"]} == {"factors"}
        else:
            assert shown == ["i0", "i1", "i2", "i3"]
            assert {entry["source"] for entry in row["recommendations"]} == {"popularity"}


def test_the_counts_are_those_of_the_rows(scored: tuple[list[dict[str, Any]], Path]) -> None:
    records, _ = scored
    rows = lists(*scored)
    total = sum_counts([record["counts"] for record in records])
    different = {entry["item_id"] for row in rows for entry in row["recommendations"]}
    assert total == {
        "people": PEOPLE,
        "filled": PEOPLE,
        "by_popularity": 3,
        "shown": len(different),
        "items": ITEMS,
        **dict.fromkeys(["empty", "repeats", "bought", "withdrawn", "disordered"], 0),
    }


@pytest.mark.parametrize("parts", [1, 7])
def test_the_lists_do_not_depend_on_the_number_of_files(
    histories: DataFrame,
    model: ItemFactors,
    scored: tuple[list[dict[str, Any]], Path],
    tmp_path: Path,
    parts: int,
) -> None:
    """Nor on how the histories were spread; files without people are not written."""
    records = run(histories.repartition(5), model, tmp_path, parts)
    assert 1 <= len(records) <= parts
    assert lists(records, tmp_path) == lists(*scored)


def test_with_a_table_of_people_exactly_these_are_served(spark: SparkSession, histories: DataFrame) -> None:
    """Somebody new has an empty history; somebody who is not in the table is left out."""
    people = spark.createDataFrame([("u00",), ("u00",), ("new",)], "user_id string")
    found = {row["user_id"]: row for row in everybody(histories, people).collect()}
    assert set(found) == {"u00", "new"}
    assert found["u00"]["items"] == ["i0", "i1"]
    assert (found["new"]["items"], found["new"]["confidences"], found["new"]["bought"]) == ([], [], [])
    assert everybody(histories, people).schema.simpleString() == histories.schema.simpleString()


def test_without_a_table_of_people_all_with_a_history_are_served(histories: DataFrame) -> None:
    assert everybody(histories, None).count() == PEOPLE


def test_only_what_is_listed_and_available_may_be_shown(spark: SparkSession, model: ItemFactors) -> None:
    """An item listed at the very moment is not yet there, and one that left the catalogue is withdrawn."""
    as_of = datetime(2026, 1, 5, tzinfo=UTC)
    before, after = datetime(2026, 1, 4, 23, 59, tzinfo=UTC), datetime(2026, 1, 6, tzinfo=UTC)
    catalogue = spark.createDataFrame(
        [
            ("i0", True, None),
            ("i1", True, before),
            ("i2", True, as_of),
            ("i3", True, after),
            ("i4", False, before),
            ("i5", None, before),
            ("unknown to the model", True, before),
        ],
        "item_id string, available boolean, listed_at timestamp",
    )
    assert np.flatnonzero(allowed_positions(model, catalogue, as_of)).tolist() == [0, 1]
