"""Pairs where they lie: whoever reads them, the model is the same, and Spark is opened only where it must be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession

from refit.adapters.folder import FolderObjectStore
from refit.adapters.implicit import ImplicitLibrary
from refit.adapters.s3 import S3ObjectStore
from refit.config import Als, Blend, ClosedForm, Confidence, ModelSettings, Neighbours, RepeatWeight
from refit.errors import NotEnoughDataError, NotFoundError
from refit.lake.lake import Lake
from refit.training import StoredPairs, collect_pairs, train
from refit.training.matrices import numbered

FOLDER = "training_sets/x/pairs"


def settings(kind: str, **als: object) -> ModelSettings:
    return ModelSettings(
        kind=kind,
        als=Als(**{"rank": 4, "iterations": 3, "alpha": 10.0, "seed": 3, **als}),
        neighbours=Neighbours(neighbours=10),
        closed_form=ClosedForm(regularisation=2.0, links=15),
        habit=RepeatWeight(),
        blend=Blend(),
        confidence=Confidence(),
        weights={"purchase": 1.0},
    )


def unopened() -> SparkSession:
    raise AssertionError("Spark was opened")


@pytest.fixture(scope="module")
def written(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a lake with the pairs of 80 people and 30 items in three files, one pair in ten teaching nothing."""
    root = tmp_path_factory.mktemp("lake")
    generator = np.random.default_rng(7)
    rows = [
        (
            f"k1:größe {person:03d}",
            f"i{item:02d}",
            float(generator.choice([0.0, 0.5, 1.0, 3.0], p=[0.1, 0.3, 0.3, 0.3])),
        )
        for person in range(80)
        for item in generator.permutation(30)[: 5 + person % 7]
    ]
    rows.append(("k1:nobody", "i99", 0.0))
    frame = spark.createDataFrame(
        [(*row, True) for row in rows], "user_id string, item_id string, confidence double, bought boolean"
    )
    frame.repartition(3, "user_id").write.parquet(str(root / FOLDER))
    return root


@pytest.fixture(params=["folder", "s3"])
def stored(request: pytest.FixtureRequest, written: Path) -> Iterator[StoredPairs]:
    """Give the pairs in a folder and on a real S3 server."""
    if request.param == "folder":
        yield StoredPairs(Lake(str(written), "catalog.json", FolderObjectStore(written)), FOLDER, unopened)
        return
    address = f"s3://refit/{uuid4().hex}"
    store = S3ObjectStore.connect(address, endpoint=request.getfixturevalue("s3_endpoint"))
    for path in sorted((written / FOLDER).iterdir()):
        if not path.name.startswith("."):
            store.create(f"{FOLDER}/{path.name}", path.read_bytes())
    yield StoredPairs(Lake(address, "catalog.json", store), FOLDER, unopened)


@pytest.mark.parametrize("kind", ["als", "closed_form", "blend"])
def test_a_model_has_the_same_bytes_whoever_reads_the_pairs(
    spark: SparkSession, written: Path, stored: StoredPairs, kind: str
) -> None:
    facts = {"pairs": 700, "people": 80, "items": 30}
    chosen = settings(kind)
    by_spark, here = (
        train(pairs, chosen, facts, factoriser=ImplicitLibrary(1), checkpoints="unused")
        for pairs in (spark.read.parquet(str(written / FOLDER)), stored)
    )
    assert here.to_files() == by_spark.to_files()
    assert "i99" not in here.items.to_pylist()


def test_what_must_be_spread_is_read_by_spark(spark: SparkSession, written: Path) -> None:
    """MLlib is asked, and has read the pairs, when it says that 30 items do not support a rank of 31."""
    lake = Lake(str(written), "catalog.json", FolderObjectStore(written))
    opened = []

    def open_spark() -> SparkSession:
        opened.append(spark)
        return spark

    pairs = StoredPairs(lake, FOLDER, open_spark)
    assert sorted(pairs.frame().collect()) == sorted(spark.read.parquet(str(written / FOLDER)).collect())
    opened.clear()
    chosen = settings("als", engine="mllib", rank=31)
    with pytest.raises(NotEnoughDataError, match=r"31 is larger than 80 people and 30 items support"):
        train(pairs, chosen, {}, factoriser=ImplicitLibrary(1), checkpoints=str(written / "checkpoints"))
    assert opened


def test_ids_are_kept_once_and_not_once_a_pair(stored: StoredPairs) -> None:
    table = stored.table()
    assert table.column_names == ["user_id", "item_id", "confidence"]
    assert all(pa.types.is_dictionary(table[name].type) for name in ("user_id", "item_id"))
    assert len(table) == sum(5 + person % 7 for person in range(80)) + 1
    assert collect_pairs(stored).items.to_pylist() == sorted(f"i{n:02d}" for n in range(30))


def test_pairs_that_are_gone_are_one_sentence(tmp_path: Path) -> None:
    lost = StoredPairs(Lake(str(tmp_path), "catalog.json", FolderObjectStore(tmp_path)), FOLDER, unopened)
    with pytest.raises(NotFoundError, match="holds no Parquet file; run rebuild_training_set for this set"):
        collect_pairs(lost)


@pytest.mark.parametrize("coded", [False, True], ids=["texts", "codes"])
def test_ids_are_numbered_in_their_order_however_they_are_cut(coded: bool) -> None:
    """The second chunk has another dictionary, and one id is left out with its row."""
    chunks = [pa.array(["mug", "tea"]), pa.array(["zen", "mug"])]
    ids = pa.chunked_array([chunk.dictionary_encode() if coded else chunk for chunk in chunks])
    names, places = numbered(ids)
    assert (names.to_pylist(), places.tolist()) == (["mug", "tea", "zen"], [0, 1, 2, 0])
    names, places = numbered(ids.filter(pa.array([True, False, True, True])))
    assert (names.to_pylist(), places.tolist()) == (["mug", "zen"], [0, 1, 0])
    names, places = numbered(ids.slice(0, 0))
    assert (len(names), len(places)) == (0, 0)
