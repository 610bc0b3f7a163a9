"""Scoring with Spark: everybody once, in files whose digests are right, whatever the number of files."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from refit.adapters.folder import FolderObjectStore
from refit.batches.schema import SCHEMA
from refit.candidates.candidate_set import EVERYBODY, CandidateSet, Popular
from refit.config import Lists
from refit.digests import digest_of_sums, sha256
from refit.errors import ModelDamagedError, NotEnoughDataError
from refit.evaluation.gini import gini
from refit.lists.gate import sum_counts
from refit.lists.scoring import Batch, score
from refit.model.item_factors import ItemFactors

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
    candidate_set = CandidateSet.plain(model.items, allowed)
    return score(
        histories, model, candidate_set, POLICY, batch, open_store=partial(FolderObjectStore, folder), parts=parts
    )


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
    places = Counter(entry["item_id"] for row in rows for entry in row["recommendations"])
    assert {name: number for name, number in total.items() if number} == {
        "received": PEOPLE,
        "people": PEOPLE,
        "filled": PEOPLE,
        "by_popularity": 3,
        "places": 4 * PEOPLE,
        "shown": len(places),
        "items": ITEMS,
        "allowed": ITEMS - 1,
        "top_share": max(places.values()) / (4 * PEOPLE),
        "gini": gini(np.array([places[f"i{item}"] for item in range(ITEMS - 1)])),
    }


def test_people_without_consent_are_counted_where_lists_are_made(
    histories: DataFrame, model: ItemFactors, tmp_path: Path
) -> None:
    """The flag comes from the users table, so a landing that forgot to leave somebody out is noticed."""
    people = histories.withColumn("consent", F.expr("user_id not in ('u03', 'u22')"))
    records = run(people, model, tmp_path, 2)
    assert sum_counts([record["counts"] for record in records])["without_consent"] == 2


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
    assert content(records) == content(scored[0])


def content(records: list[dict[str, Any]]) -> str:
    return digest_of_sums(PEOPLE, [record["content"] for record in records])


def test_parts_are_ranges_of_people(scored: tuple[list[dict[str, Any]], Path]) -> None:
    """Sorted within and between parts, so that one person can be in one row group only."""
    groups = [group for record in scored[0] for group in record["groups"]]
    assert groups == sorted(groups, key=lambda group: str(group["first"]))
    assert all(group["first"] <= group["last"] for group in groups)
    assert all(one["last"] < other["first"] for one, other in pairwise(groups))


def test_a_shelf_of_another_model_is_refused(histories: DataFrame, model: ItemFactors, tmp_path: Path) -> None:
    candidate_set = CandidateSet.plain(pa.array(["other", "items"]))
    batch = Batch("batches/run_date=2026-01-05/batch=a", 7, "2026-01-05")
    with pytest.raises(
        ModelDamagedError, match="the candidate set of 2 items was made for another model than this one of 10"
    ):
        score(histories, model, candidate_set, POLICY, batch, open_store=partial(FolderObjectStore, tmp_path), parts=1)
    assert list(tmp_path.iterdir()) == []


def test_nobody_to_make_lists_for_is_said(histories: DataFrame, model: ItemFactors, tmp_path: Path) -> None:
    with pytest.raises(NotEnoughDataError, match="there is nobody to make lists for"):
        run(histories.where("false"), model, tmp_path, 2)


def test_segments_reach_the_lists(histories: DataFrame, model: ItemFactors, tmp_path: Path) -> None:
    """Two people without a history; in France i5 is popular, everywhere else i6."""
    people = histories.where("user_id >= 'u22'").withColumn("segment", F.expr("if(user_id = 'u22', 'FR', null)"))
    popular = {
        "FR": Popular(np.array([5]), np.array([0.5], dtype=np.float32)),
        EVERYBODY: Popular(np.array([6]), np.array([0.25], dtype=np.float32)),
    }
    candidate_set = replace(CandidateSet.plain(model.items), popular=popular)
    batch = Batch("batches/run_date=2026-01-05/batch=a", 7, "2026-01-05")
    store = partial(FolderObjectStore, tmp_path)
    records = score(people, model, candidate_set, Lists(k=1), batch, open_store=store, parts=1)
    assert [
        (row["user_id"], entry["item_id"], entry["score"], entry["source"])
        for row in lists(records, tmp_path)
        for entry in row["recommendations"]
    ] == [("u22", "i5", 0.5, "popularity:FR"), ("u23", "i6", 0.25, "popularity")]
