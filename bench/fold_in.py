"""Folded-in vectors against `ALSModel.userFactors`: the largest relative difference over all people."""

from __future__ import annotations

import time

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F

from bench.harness.places import session
from refit.columns import Columns
from refit.config import Als
from refit.ranking.flat_histories import Histories
from refit.ranking.fold_in import fold_in_people
from refit.training.mllib_als import fit, number_ids, to_item_factors

_PEOPLE, _ITEMS, _PAIRS = 3_000, 1_000, 120_000


def measure() -> None:
    """Print one line per rank."""
    spark = session("bench fold_in")
    # Skewed like a shop: the square of a uniform number prefers small ids.
    pairs = (
        spark.range(_PAIRS)
        .select(
            F.format_string("u%05d", (F.pow(F.rand(1), 2) * _PEOPLE).cast("int")).alias(Columns.USER),
            F.format_string("i%05d", (F.pow(F.rand(2), 2) * _ITEMS).cast("int")).alias(Columns.ITEM),
            (F.rand(3) * 5 + 0.1).alias("value"),
        )
        .groupBy(Columns.USER, Columns.ITEM)
        .agg(F.sum("value").alias(Columns.CONFIDENCE))
        .persist()
    )
    for rank in (16, 32, 64):
        settings = Als(rank=rank, iterations=5, regularisation=0.1, alpha=2.0, seed=1)
        numbered, items = number_ids(pairs)
        numbered.persist()
        model = fit(numbered, settings)
        ours = to_item_factors(model, numbered, items, settings, {})
        people = numbered.groupBy("user").agg(
            F.collect_list("item").alias("items"), F.collect_list(Columns.CONFIDENCE).alias("confidences")
        )
        table = people.join(model.userFactors, F.col("user") == F.col("id")).toArrow().combine_chunks()
        assert_same_order(ours.items, items.orderBy("item").toArrow()[Columns.ITEM])
        theirs = np.array(table["features"].to_pylist())
        past = table["items"].combine_chunks()
        histories = Histories(
            user_ids=table["user"].combine_chunks(),
            offsets=np.concatenate([[0], np.cumsum(past.value_lengths().to_numpy())]),
            positions=past.flatten().to_numpy().astype(np.int64),
            confidences=table["confidences"].combine_chunks().flatten().to_numpy().astype(np.float64),
            bought=np.zeros(len(past.flatten()), dtype=np.bool_),
        )
        began = time.process_time()
        vectors = fold_in_people(ours, histories).vectors
        seconds = time.process_time() - began
        worst = float((np.abs(vectors - theirs).max(axis=1) / np.abs(theirs).max(axis=1)).max())
        print(
            f"rank {rank:>3}: {len(table):,} people, largest relative difference {worst:.1e}, "
            f"{seconds / len(table) * 1e6:.0f} us per person"
        )
        numbered.unpersist()
    spark.stop()


def assert_same_order(ours: pa.Array, theirs: pa.ChunkedArray) -> None:
    """Stop when positions in the model are not MLlib's item numbers; every comparison would be meaningless."""
    if ours.to_pylist() != theirs.to_pylist():
        raise RuntimeError("items are numbered differently in the model and in the fit")
