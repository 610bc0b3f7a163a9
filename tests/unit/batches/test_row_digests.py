"""Digests of rows: equal for equal lists in whatever files, different as soon as one value is."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refit.batches.row_digests import sum_of_rows
from refit.batches.schema import SCHEMA
from refit.digests import digest_of_sums

MODULUS = 2**256


def entry(item: str, score: float, *reasons: tuple[str, float], source: str = "factors") -> dict[str, Any]:
    given = [{"item_id": name, "contribution": value} for name, value in reasons]
    return {"item_id": item, "score": score, "source": source, "reasons": given}


def person(name: str, *entries: dict[str, Any], short: str | None = None) -> dict[str, Any]:
    return {
        "user_id": name,
        "recommendations": list(entries),
        "model_version": 3,
        "run_date": "2026-01-05",
        "short": short,
    }


def batch(*people: dict[str, Any]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(people), schema=SCHEMA)


ANN = person("ann", entry("tea", 0.5, ("mug", 0.25), ("pot", 0.125)), entry("mug", 0.25), short="2 of 3")
BEN = person("ben", entry("pot", 1.0, ("tea", 0.5)), entry("tea", 0.5, source="popularity"))
CEM = person("cem")


def test_order_and_files_do_not_matter() -> None:
    whole = sum_of_rows(batch(ANN, BEN, CEM))
    assert sum_of_rows(batch(CEM, ANN, BEN)) == whole
    assert sum(sum_of_rows(batch(one)) for one in (ANN, BEN, CEM)) % MODULUS == whole
    rows = batch(ANN, BEN, CEM)
    assert (sum_of_rows(rows.slice(0, 1)) + sum_of_rows(rows.slice(1))) % MODULUS == whole
    assert sum_of_rows(batch()) == 0


def test_texts_may_be_stored_in_dictionaries() -> None:
    rows = batch(ANN, BEN, CEM)
    entries = rows.column("recommendations")
    flat = entries.flatten()
    fields = [flat.field(name) for name in ("item_id", "score", "source", "reasons")]
    coded = pa.StructArray.from_arrays(
        [fields[0].dictionary_encode(), fields[1], fields[2].dictionary_encode(), fields[3]],
        names=["item_id", "score", "source", "reasons"],
    )
    columns = [
        rows.column("user_id"),
        pa.ListArray.from_arrays(entries.offsets, coded),
        rows.column("model_version"),
        rows.column("run_date").dictionary_encode(),
        rows.column("short"),
    ]
    assert sum_of_rows(pa.RecordBatch.from_arrays(columns, names=SCHEMA.names)) == sum_of_rows(rows)


def changed(change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    other = copy.deepcopy(ANN)
    change(other)
    return other


def move_reason(row: dict[str, Any]) -> None:
    row["recommendations"][1]["reasons"].append(row["recommendations"][0]["reasons"].pop())


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row.update(user_id="anna"),
        lambda row: row.update(model_version=4),
        lambda row: row.update(run_date="2026-01-06"),
        lambda row: row.update(short=None),
        lambda row: row.update(short=""),
        lambda row: row["recommendations"].reverse(),
        lambda row: row["recommendations"].pop(),
        lambda row: row["recommendations"][0].update(item_id="teb"),
        lambda row: row["recommendations"][0].update(score=0.5000001),
        lambda row: row["recommendations"][0].update(source="new"),
        lambda row: row["recommendations"][0]["reasons"][0].update(item_id="cup"),
        lambda row: row["recommendations"][0]["reasons"][1].update(contribution=0.0),
        lambda row: row["recommendations"][0]["reasons"].reverse(),
        move_reason,
    ],
)
def test_any_other_value_is_another_digest(change: Callable[[dict[str, Any]], None]) -> None:
    assert sum_of_rows(batch(changed(change))) != sum_of_rows(batch(ANN))


def test_a_value_that_wanders_to_another_person_is_another_digest() -> None:
    """The items of all lists together are the same."""
    one = batch(person("ann", entry("tea", 1.0)), person("ben", entry("mug", 1.0)))
    other = batch(person("ann", entry("mug", 1.0)), person("ben", entry("tea", 1.0)))
    assert sum_of_rows(one) != sum_of_rows(other)


@given(people=st.permutations(["ann", "ben", "cem", "dia", "eve"]), cuts=st.lists(st.integers(0, 5), max_size=3))
def test_a_batch_has_one_digest_however_it_is_cut(people: list[str], cuts: list[int]) -> None:
    ends = sorted({0, *cuts, len(people)})
    files = [people[start:end] for start, end in pairwise(ends)]
    sums = [f"{sum_of_rows(batch(*(person(name, entry(name, 1.0)) for name in file))):064x}" for file in files]
    in_order = [f"{sum_of_rows(batch(*(person(name, entry(name, 1.0)) for name in sorted(people)))):064x}"]
    assert digest_of_sums(5, sums) == digest_of_sums(5, in_order)
    assert digest_of_sums(4, sums) != digest_of_sums(5, sums)
