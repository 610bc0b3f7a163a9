"""Widening: the type that holds every value of two, as Spark reads Parquet files of a narrower type."""

from __future__ import annotations

from itertools import permutations

import pytest
from pyspark.sql.types import ArrayType, DataType, IntegerType, MapType, StringType, StructField, StructType

from refit.lake.schema_widening import DaySchema, IncompatibleTypesError, stored_schema, widest, widest_schema

pytestmark = pytest.mark.usefixtures("spark")
"""Without a session nothing reads types from text."""


def kind(name: str) -> DataType:
    return DataType.fromDDL(name)


@pytest.mark.parametrize(
    ("left", "right", "both"),
    [
        ("tinyint", "smallint", "smallint"),
        ("int", "bigint", "bigint"),
        ("smallint", "double", "double"),
        ("int", "float", "double"),
        ("float", "double", "double"),
        ("tinyint", "decimal(1,0)", "decimal(3,0)"),
        ("int", "decimal(5,2)", "decimal(12,2)"),
        ("bigint", "decimal(5,2)", "decimal(22,2)"),
        ("decimal(6,2)", "decimal(5,4)", "decimal(8,4)"),
        ("date", "timestamp_ntz", "timestamp_ntz"),
        ("string", "string", "string"),
        ("array<int>", "array<double>", "array<double>"),
        ("map<string,int>", "map<string,bigint>", "map<string,bigint>"),
        ("struct<a:int,b:date>", "struct<B:date,c:string,A:bigint>", "struct<a:bigint,b:date,c:string>"),
        ("bigint", "double", None),
        ("bigint", "float", None),
        ("double", "decimal(38,10)", None),
        ("decimal(38,0)", "decimal(10,10)", None),
        ("bigint", "decimal(38,30)", None),
        ("date", "timestamp", None),
        ("timestamp", "timestamp_ntz", None),
        ("string", "int", None),
        ("boolean", "int", None),
        ("array<int>", "int", None),
        ("array<int>", "array<string>", None),
        ("map<string,int>", "map<string,boolean>", None),
        ("struct<a:int>", "struct<a:string>", None),
    ],
)
def test_the_widest_of_two_types_whichever_comes_first(left: str, right: str, both: str | None) -> None:
    found = [widest(kind(left), kind(right)), widest(kind(right), kind(left))]
    names = [each.simpleString() if each else None for each in found]
    if both is None or not both.startswith("struct"):
        assert names == [both, both]
    else:
        assert names[0] == both
    assert widest(kind(left), kind(left)) == kind(left)


def schema(ddl: str) -> StructType:
    return StructType.fromDDL(ddl)


def test_the_widest_schema_does_not_depend_on_the_order_of_days() -> None:
    days = [
        DaySchema("2026-01-03", schema("a decimal(4,2), d date")),
        DaySchema("2026-01-01", schema("a int, b string")),
        DaySchema("2026-01-02", schema("B string, c float, A bigint")),
    ]
    found = {widest_schema("t", order).simpleString() for order in permutations(days)}
    assert found == {"struct<a:decimal(22,2),b:string,c:float,d:date>"}


def test_types_without_a_common_one_are_told_with_column_and_both_days() -> None:
    days = [
        DaySchema("2026-01-03", schema("a double")),
        DaySchema("2026-01-02", schema("A bigint")),
        DaySchema("2026-01-01", schema("a int")),
    ]
    with pytest.raises(
        IncompatibleTypesError,
        match=r"^column 'a' of t is bigint on 2026-01-02 and double on 2026-01-03, and no type holds both without "
        r"loss; nothing was changed; cast it to one type in sources/t\.sql and land again every day that has another$",
    ):
        widest_schema("t", days)


def test_files_are_read_as_they_are_and_what_they_lack_as_it_is_elsewhere() -> None:
    wide = schema("a bigint, b string, s struct<x:double,y:string>, l array<bigint>, m map<string,bigint>")
    own = schema("A int, s struct<X:int>, l array<int>, m map<string,int>")
    read = stored_schema(wide, own).simpleString()
    assert read == "struct<a:int,b:string,s:struct<x:int,y:string>,l:array<int>,m:map<string,int>>"


def test_whether_files_may_have_nulls_is_no_part_of_their_type() -> None:
    """Days that differ only in that are read at once, without a cast that Spark would refuse."""
    strict = StructType(
        [
            StructField("a", IntegerType(), nullable=False),
            StructField("l", ArrayType(StringType(), containsNull=False)),
            StructField("s", StructType([StructField("x", StringType(), nullable=False)])),
            StructField("m", MapType(StringType(), IntegerType(), valueContainsNull=False)),
        ]
    )
    loose = schema("a int, l array<string>, s struct<x:string>, m map<string,int>")
    for days in ((strict, loose), (loose, strict), (strict, strict)):
        wide = widest_schema("t", [DaySchema(str(number), each) for number, each in enumerate(days)])
        assert wide == stored_schema(wide, strict) == stored_schema(wide, loose) == loose
