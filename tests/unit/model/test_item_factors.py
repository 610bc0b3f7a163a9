"""Models as plain files: what goes in comes out, and what was damaged is refused with a sentence."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from refit.digests import canonical_json, digest_of_files
from refit.errors import ModelDamagedError
from refit.model.item_factors import ITEMS_FILE, MODEL_FILE, ItemFactors, verified

Files = dict[str, bytes]


@pytest.fixture
def model() -> ItemFactors:
    return ItemFactors(
        items=pa.array(["Bücher 10", "a", "b", "日本"]),
        factors=np.arange(12, dtype=np.float32).reshape(4, 3) / 7,
        people=np.array([3, 9, 1, 9]),
        alpha=2.0,
        regularisation=0.05,
        facts={"cutoff": "2026-01-05T00:00:00+00:00", "pairs": 22},
    )


def test_a_model_comes_back_as_it_was(model: ItemFactors) -> None:
    """Bit for bit, with ids beyond ASCII, and writing it again gives the same bytes."""
    files = model.to_files()
    again = ItemFactors.from_files(files)

    assert again.items.to_pylist() == model.items.to_pylist()
    assert again.factors.dtype == np.float32
    np.testing.assert_array_equal(again.factors, model.factors)
    assert again.people.tolist() == [3, 9, 1, 9]
    assert (again.alpha, again.regularisation, again.rank) == (2.0, 0.05, 3)
    assert again.facts == model.facts
    assert again.to_files() == files


def test_popularity_goes_by_people_and_ties_by_the_order_of_ids(model: ItemFactors) -> None:
    assert model.by_popularity.tolist() == [1, 3, 0, 2]


def test_positions_of_known_unknown_and_missing_ids(model: ItemFactors) -> None:
    asked = pa.array(["日本", "never sold", None, "Bücher 10", "B"])
    assert model.positions(asked).tolist() == [3, -1, -1, 0, -1]


def test_the_gram_matrix_is_computed_in_double_precision(model: ItemFactors) -> None:
    rows = [[float(value) for value in row] for row in model.factors]
    expected = [[sum(row[i] * row[j] for row in rows) for j in range(3)] for i in range(3)]
    np.testing.assert_allclose(model.gram, expected, rtol=1e-15)


def _with_description(files: Files, **changes: object) -> Files:
    return {**files, MODEL_FILE: canonical_json({**json.loads(files[MODEL_FILE]), **changes})}


def _with_nan(files: Files, value: float) -> Files:
    table = pq.read_table(io.BytesIO(files[ITEMS_FILE]))
    flat = table["factors"].combine_chunks().flatten().to_numpy().copy()
    flat[5] = value
    column = pa.FixedSizeListArray.from_arrays(pa.array(flat), 3)
    sink = io.BytesIO()
    pq.write_table(table.set_column(2, "factors", column), sink)
    return {**files, ITEMS_FILE: sink.getvalue()}


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda f: {MODEL_FILE: f[MODEL_FILE]}, "the model lacks items.parquet; register it again"),
        (lambda f: {ITEMS_FILE: f[ITEMS_FILE]}, "the model lacks model.json; register it again"),
        (
            lambda f: _with_description(f, format="refit-item-factors/9"),
            "the model has format 'refit-item-factors/9', this Refit reads refit-item-factors/2",
        ),
        (
            lambda f: _with_nan(f, float("nan")),
            "the model promises 4 x 3 finite factors and holds 4 x 3, 1 of them NaN; register it again",
        ),
        (
            lambda f: _with_nan(f, float("inf")),
            "the model promises 4 x 3 finite factors and holds 4 x 3, 0 of them NaN; register it again",
        ),
        (
            lambda f: _with_description(f, items=5),
            "the model promises 5 x 3 finite factors and holds 4 x 3, 0 of them NaN; register it again",
        ),
        (
            lambda f: _with_description(f, rank=4),
            "the model promises 4 x 4 finite factors and holds 4 x 3, 0 of them NaN; register it again",
        ),
    ],
    ids=["no items", "no description", "other format", "NaN", "infinite", "fewer items", "other rank"],
)
def test_a_damaged_model_is_refused(model: ItemFactors, damage: Callable[[Files], Files], sentence: str) -> None:
    with pytest.raises(ModelDamagedError) as refusal:
        ItemFactors.from_files(damage(model.to_files()))
    assert str(refusal.value) == sentence


@pytest.mark.parametrize("name", [ITEMS_FILE, MODEL_FILE])
def test_one_changed_byte_anywhere_is_noticed(model: ItemFactors, name: str) -> None:
    """Even where the file would still be readable."""
    files = model.to_files()
    digest = digest_of_files(files)
    for place in range(0, len(files[name]), max(1, len(files[name]) // 20)):
        changed = bytearray(files[name])
        changed[place] ^= 1
        with pytest.raises(ModelDamagedError, match=r"changed after the judgement, so it is not used$"):
            verified({**files, name: bytes(changed)}, digest, "champion version 3")


@pytest.mark.parametrize("other", [{"extra.bin": b""}, {MODEL_FILE: b""}])
def test_a_file_more_or_less_is_noticed(model: ItemFactors, other: Files) -> None:
    files = model.to_files()
    with pytest.raises(ModelDamagedError, match=r"^champion version 3 has digest "):
        verified({**files, **other}, digest_of_files(files), "champion version 3")


def test_untouched_files_are_verified(model: ItemFactors) -> None:
    files = model.to_files()
    assert verified(files, digest_of_files(files), "challenger").items.equals(model.items)


@pytest.mark.parametrize("damage", [{ITEMS_FILE: b"no parquet"}, {MODEL_FILE: b"no json"}, {MODEL_FILE: b"{}"}])
def test_unreadable_files_are_a_damaged_model(model: ItemFactors, damage: Files) -> None:
    with pytest.raises(ModelDamagedError, match=r"^the model (cannot be read: |has format None, )"):
        ItemFactors.from_files({**model.to_files(), **damage})
