"""Hashes of rows and order-independent sums of them; rows that differ in one value have different hashes."""

from __future__ import annotations

from collections.abc import Iterator

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, DataType, StructType

from refit.digests import digest_of

_BITS = 21
"""Bits per part: a 64-bit hash is summed in three parts, and the sum of a part fits a long for up to 2^41 rows."""
WEIGHTS = tuple(2 ** (position * _BITS) for position in range(3))
"""Weight of each part of a hash, lowest first."""


def content_digest(rows: int, total: int | None, schema: StructType) -> str:
    """Return the digest of a set of rows from their count, their `hash_sum` and their columns."""
    return digest_of({"rows": rows, "sum": str(total or 0), "columns": sorted(schema.names)})


def row_hash(schema: StructType) -> Column:
    """
    Return a 64-bit hash of a row with the columns of *schema* in any order; none of them may be a map.

    Spark's hash functions skip nulls and array ends, so these are hashed as marks after the values. A row without nulls
    and with at most one array has no marks, so its hash is the same as before marks were introduced.
    """
    return row_hashes(schema)[0]


def row_hashes(schema: StructType) -> tuple[Column, Column]:
    """Return two independent hashes of a row: the 64 bits of `row_hash`, and 32 bits."""
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
    """Return the number with the given *parts*, or sums of parts, as a decimal."""
    low, middle, high = (
        part.cast("decimal(38,0)") * F.lit(weight).cast("decimal(13,0)")
        for part, weight in zip(parts, WEIGHTS, strict=True)
    )
    return low + middle + high


def _marks(value: Column, kind: DataType, name: Column, sizes: bool) -> Iterator[Column]:
    """Yield marks for the nulls in *value*, called *name*, and with *sizes* for the lengths of its arrays."""
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
            lambda entry, position: F.struct(
                *_marks(entry, kind.elementType, F.concat(name, F.lit("."), position.cast("string")), sizes)
            ),
        )


def _arrays(kind: DataType) -> int:
    """Return the number of arrays in *kind*, including nested ones."""
    if isinstance(kind, StructType):
        return sum(_arrays(field.dataType) for field in kind.fields)
    return 1 + _arrays(kind.elementType) if isinstance(kind, ArrayType) else 0
