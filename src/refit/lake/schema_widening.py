"""
Widening: the type that holds every value of two types without loss, and the schema that holds several schemas.

The rules are those by which Spark reads Parquet files of a narrower type: integers grow to longer integers, to a double
(up to 32 bits) or to a decimal with room for all their digits; float to double; a decimal to one with as many digits
before and after the point as either; a date to a timestamp without zone. Nothing else has a common type: a bigint is
not exact as a double, and no number is a string.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pyspark.sql import types as T

from refit.errors import DataRefusedError

_INTEGERS: dict[type[T.DataType], int] = {T.ByteType: 3, T.ShortType: 5, T.IntegerType: 10, T.LongType: 20}
"""Integer types, narrowest first, with the decimal digits that Spark allows for each."""
_FRACTIONS = (T.FloatType, T.DoubleType)
_MOST_DIGITS = 38


class IncompatibleTypesError(DataRefusedError):
    """Days of a table give a column types that have no common type."""


@dataclass(frozen=True)
class DaySchema:
    """The columns of a landed table on one of its days."""

    day: str
    schema: T.StructType


def widest(left: T.DataType, right: T.DataType) -> T.DataType | None:
    """Return the narrowest type that holds every value of both, or None if there is none; symmetric."""
    if type(left) is type(right) and not isinstance(left, T.DecimalType):
        return _widest_nested(left, right)
    pair = sorted((left, right), key=_rank)
    narrow, wide = pair[0], pair[1]
    if isinstance(wide, T.DecimalType):
        return _widest_decimal(narrow, wide)
    if type(narrow) in _INTEGERS and type(wide) in _INTEGERS:
        return wide
    if type(narrow) in _INTEGERS and isinstance(wide, _FRACTIONS):
        return T.DoubleType() if _INTEGERS[type(narrow)] <= _INTEGERS[T.IntegerType] else None
    if isinstance(narrow, T.FloatType) and isinstance(wide, T.DoubleType):
        return wide
    return wide if isinstance(narrow, T.DateType) and isinstance(wide, T.TimestampNTZType) else None


def widest_schema(table: str, days: Iterable[DaySchema]) -> T.StructType:
    """
    Return the columns of all *days*, each in its widest type, in the order in which they first appear.

    Names are compared without case, as in Spark SQL.

    Raises:
        IncompatibleTypesError: a column has types without a common type.
    """
    known: dict[str, tuple[T.StructField, str]] = {}
    for each in sorted(days, key=lambda day: day.day):
        for field in each.schema.fields:
            name = field.name.lower()
            if name not in known:
                known[name] = (T.StructField(field.name, nullable(field.dataType)), each.day)
                continue
            before, day = known[name]
            kind = widest(before.dataType, field.dataType)
            if kind is None:
                raise IncompatibleTypesError(
                    f"column {before.name!r} of {table} is {before.dataType.simpleString()} on {day} and "
                    f"{field.dataType.simpleString()} on {each.day}, and no type holds both without loss; nothing was "
                    f"changed; cast it to one type in sources/{table}.sql and land again every day that has another"
                )
            known[name] = (T.StructField(before.name, kind), day if kind == before.dataType else each.day)
    return T.StructType([field for field, _ in known.values()])


def stored_type(wide: T.DataType, own: T.DataType) -> T.DataType:
    """Return *wide* with the narrower types of files of type *own*, and with the fields that these lack."""
    if isinstance(wide, T.StructType) and isinstance(own, T.StructType):
        return stored_schema(wide, own)
    if isinstance(wide, T.ArrayType) and isinstance(own, T.ArrayType):
        return T.ArrayType(stored_type(wide.elementType, own.elementType))
    if isinstance(wide, T.MapType) and isinstance(own, T.MapType):
        return T.MapType(stored_type(wide.keyType, own.keyType), stored_type(wide.valueType, own.valueType))
    return nullable(own)


def nullable(kind: T.DataType) -> T.DataType:
    """Return *kind* with every part nullable: whether a file has nulls is not part of its type."""
    if isinstance(kind, T.ArrayType):
        return T.ArrayType(nullable(kind.elementType))
    if isinstance(kind, T.MapType):
        return T.MapType(nullable(kind.keyType), nullable(kind.valueType))
    if isinstance(kind, T.StructType):
        return T.StructType([T.StructField(field.name, nullable(field.dataType)) for field in kind.fields])
    return kind


def stored_schema(wide: T.StructType, own: T.StructType) -> T.StructType:
    """Return `stored_type` of whole rows."""
    narrow = {field.name.lower(): field.dataType for field in own.fields}
    return T.StructType(
        [
            T.StructField(
                field.name,
                stored_type(field.dataType, narrow[field.name.lower()])
                if field.name.lower() in narrow
                else field.dataType,
            )
            for field in wide.fields
        ]
    )


def _widest_nested(left: T.DataType, right: T.DataType) -> T.DataType | None:
    if isinstance(left, T.ArrayType) and isinstance(right, T.ArrayType):
        entry = widest(left.elementType, right.elementType)
        return T.ArrayType(entry) if entry else None
    if isinstance(left, T.MapType) and isinstance(right, T.MapType):
        key, value = widest(left.keyType, right.keyType), widest(left.valueType, right.valueType)
        return T.MapType(key, value) if key and value else None
    if isinstance(left, T.StructType) and isinstance(right, T.StructType):
        return _widest_struct(left, right)
    return left if left.simpleString() == right.simpleString() else None


def _widest_struct(left: T.StructType, right: T.StructType) -> T.StructType | None:
    kinds = {field.name.lower(): (field.name, field.dataType) for field in left.fields}
    for field in right.fields:
        name, before = kinds.get(field.name.lower(), (field.name, field.dataType))
        kind = widest(before, field.dataType)
        if kind is None:
            return None
        kinds[name.lower()] = (name, kind)
    return T.StructType([T.StructField(name, kind) for name, kind in kinds.values()])


def _widest_decimal(other: T.DataType, decimal: T.DecimalType) -> T.DecimalType | None:
    if isinstance(other, T.DecimalType):
        before, after = other.precision - other.scale, other.scale
    elif type(other) in _INTEGERS:
        before, after = _INTEGERS[type(other)], 0
    else:
        return None
    before, after = max(before, decimal.precision - decimal.scale), max(after, decimal.scale)
    return T.DecimalType(before + after, after) if before + after <= _MOST_DIGITS else None


def _rank(kind: T.DataType) -> int:
    order = (*_INTEGERS, *_FRACTIONS, T.DateType, T.TimestampNTZType)
    if isinstance(kind, T.DecimalType):
        return len(order) + 1
    return order.index(type(kind)) if type(kind) in order else len(order)
