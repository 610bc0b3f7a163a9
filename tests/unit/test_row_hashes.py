"""Hashes of rows: one other value is another hash, also where the value is a null or lies in an array."""

from __future__ import annotations

from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from refit.row_hashes import WEIGHTS, hash_sum, joined, parts_of, row_hash, row_hashes


def hashes(frame: DataFrame) -> list[tuple[int, int]]:
    return [tuple(row) for row in frame.select(*row_hashes(frame.schema)).collect()]


@pytest.mark.parametrize(
    ("schema", "left", "right"),
    [
        ("a string, b string", (None, "x"), ("x", None)),
        ("a string, b string", (None, "x"), (None, None)),
        ("a bigint, b int, c string", (None, 1, None), (None, None, None)),
        ("a int, b boolean, c int", (1, None, None), (None, None, 1)),
        ("a struct<b:string,c:string>", (("x", None),), ((None, "x"),)),
        ("a struct<b:string>, b string", ((None,), "x"), (None, "x")),
        ("a array<string>", ([None, "x"],), (["x", None],)),
        ("a array<string>", ([None],), ([],)),
        ("a array<string>, b string", (None, "x"), ([], "x")),
        ("a array<struct<b:int,c:int>>", ([(1, None)],), ([(None, 1)],)),
        ("a array<string>, b array<string>", (["x"], ["y", "z"]), (["x", "y"], ["z"])),
        ("a array<array<int>>", ([[1], [2]],), ([[1, 2]],)),
        ("a array<array<int>>", ([[1, None], [2]],), ([[1], [None, 2]],)),
    ],
)
def test_rows_that_differ_only_in_where_nulls_and_ends_of_arrays_are_have_other_hashes(
    spark: SparkSession, schema: str, left: tuple[Any, ...], right: tuple[Any, ...]
) -> None:
    one, other = hashes(spark.createDataFrame([left, right], schema))
    assert one[0] != other[0]
    assert one[1] != other[1]


def test_rows_without_nulls_have_the_hashes_of_before(spark: SparkSession) -> None:
    """The names of training sets, and the digests of days that lack nothing, stay as they were."""
    frame = spark.createDataFrame([("u", 1.5, ["x", "y"])], "b string, a double, c array<string>")
    before = frame.select(F.xxhash64("a", "b", "c")).collect()
    assert frame.select(row_hash(frame.schema)).collect()[0][0] == before[0][0]


def test_the_sum_of_hashes_is_exact(spark: SparkSession) -> None:
    """Python adds up what Spark adds up in parts; among fifty hashes some are negative."""
    frame = spark.createDataFrame([(f"u{n}", n) for n in range(50)], "user_id string, n int")
    found = [row[0] for row in frame.select(row_hash(frame.schema)).collect()]
    assert min(found) < 0 < max(found)
    assert int(frame.agg(hash_sum(frame.schema)).collect()[0][0]) == sum(found)


@pytest.mark.parametrize("number", [-1, 2**63 - 1, -(2**63), 0x12345678_9ABCDEF0])
def test_a_trillion_hashes_are_summed_exactly(spark: SparkSession, number: int) -> None:
    """The sum of each part of that many equal hashes fits a long; two halves overflowed from 2^31 rows on."""
    parts = spark.range(1).select(*parts_of(F.lit(number).cast("bigint"))).collect()[0]
    assert sum(part * weight for part, weight in zip(parts, WEIGHTS, strict=True)) == number
    assert all(abs(part) * 2**40 < 2**63 for part in parts)
    sums = spark.createDataFrame([tuple(part * 2**40 for part in parts)], "a bigint, b bigint, c bigint")
    assert int(sums.select(joined(F.col("a"), F.col("b"), F.col("c"))).collect()[0][0]) == number * 2**40
