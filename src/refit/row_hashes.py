"""Hashes of rows: equal rows have equal hashes in any order, and rows that differ in one value have others."""

from __future__ import annotations

from collections.abc import Iterator

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, StructType

from refit.digests import digest_of

_BITS = 21
"""A hash of 64 bits is summed in three parts; the sum of a part fits a long for up to 2^41 rows."""
WEIGHTS = tuple(2 ** (place * _BITS) for place in range(3))
"""What one is worth in each part of a hash, lowest first."""


def content_digest(rows: int, total: int | None, schema: StructType) -> str:
    """Return the digest of a set of rows from their number, their `hash_sum` and their columns."""
    return digest_of({"rows": rows, "sum": str(total or 0), "columns": sorted(schema.names)})


def row_hash(schema: StructType) -> Column:
    """
    Return a 64-bit hash of a row with the columns of *schema*, whose order is irrelevant; none of them is a map.

    Spark's hash functions pass over nulls and over the ends of arrays, so these are hashed as marks after the values. A
    row without nulls, and with at most one array, has no marks: its hash is what it was before there were any.
    """
    return row_hashes(schema)[0]


def row_hashes(schema: StructType) -> tuple[Column, Column]:
    """Return two hashes of a row that have nothing to do with each other, of 64 (that of `row_hash`) and of 32 bits."""
    fields = sorted(schema.fields, key=lambda field: field.name)
    values = [F.col(f"`{field.name}`") for field in fields]
    sizes = _arrays(schema) > 1
    marks = [
        mark
        for field, value in zip(fields, values, strict=True)
        for mark in _marks(value, field.dataType, F.lit(f"\0{field.name}"), sizes)
    ]
    return F.xxhash64(*values, *marks), F.hash(*values, *marks)


def hash_sum(schema: StructType) -> Column:
    """Return the sum of `row_hash` over rows as a decimal, exact for up to 2^41 rows."""
    # Summing parts as longs is several times faster than summing decimals.
    return joined(*[F.sum(part) for part in parts_of(row_hash(schema))])


def parts_of(number: Column) -> list[Column]:
    """Return the three parts of a bigint, lowest first: `number` is the sum of each times its WEIGHTS."""
    mask = F.lit(2**_BITS - 1).cast("bigint")
    middle = F.shiftright(number, _BITS)
    return [number.bitwiseAND(mask), middle.bitwiseAND(mask), F.shiftright(number, 2 * _BITS)]


def joined(*parts: Column) -> Column:
    """Return the number of which *parts* are the parts, or sums of parts, as a decimal."""
    low, middle, high = (
        part.cast("decimal(38,0)") * F.lit(weight).cast("decimal(13,0)")
        for part, weight in zip(parts, WEIGHTS, strict=True)
    )
    return low + middle + high


def _marks(value: Column, kind: DataType, name: Column, sizes: bool) -> Iterator[Column]:
    """Yield what tells where *value*, which is called *name*, holds nulls, and with *sizes* how long its arrays are."""
    yield F.when(value.isNull(), name)
    if isinstance(kind, StructType):
        for field in kind.fields:
            inner = F.concat(name, F.lit(f".{field.name}"))
            yield from _marks(value.getField(field.name), field.dataType, inner, sizes)
    elif isinstance(kind, ArrayType):
        if sizes:
            yield F.size(value)
        yield F.transform(
            value,
            lambda entry, place: F.struct(
                *_marks(entry, kind.elementType, F.concat(name, F.lit("."), place.cast("string")), sizes)
            ),
        )


def _arrays(kind: DataType) -> int:
    """Return how many arrays there are in *kind*, those in arrays included."""
    if isinstance(kind, StructType):
        return sum(_arrays(field.dataType) for field in kind.fields)
    return 1 + _arrays(kind.elementType) if isinstance(kind, ArrayType) else 0
