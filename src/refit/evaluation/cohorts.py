"""Cohorts: groups of judged people in which a model must not lose what it wins elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from refit.columns import Columns
from refit.errors import ConfigurationError

FIRST_SEEN_DAYS = "first_seen_days"
"""Days between a person's first event and the cutoff."""

Masks = Mapping[str, NDArray[np.bool_]]


def traits(interactions: DataFrame, users: DataFrame | None, columns: Sequence[str], *, cutoff: datetime) -> DataFrame:
    """
    Return one row per person with an event before *cutoff*: user_id, first_seen_days, and *columns* as text.

    A column comes from *users*, or else from the person's latest event before *cutoff*. A person without a value has
    null.

    Raises:
        ConfigurationError: neither table has a column of that name.
    """
    ours = [name for name in columns if users is not None and name in users.columns]
    theirs = [name for name in columns if name not in ours]
    unknown = [name for name in theirs if name not in interactions.columns]
    if unknown:
        raise ConfigurationError(
            f"evaluation.cohorts names {', '.join(unknown)}, which neither the users table nor the interactions have; "
            "correct it in shop.toml or add the column to sources/users.sql"
        )
    before = interactions.where(F.col(Columns.EVENT_TIME) < F.lit(cutoff))
    age = F.unix_micros(F.lit(cutoff)) - F.unix_micros(F.min(Columns.EVENT_TIME))
    seen = before.groupBy(Columns.USER).agg(
        (age / 86_400e6).alias(FIRST_SEEN_DAYS), *[_latest(name).alias(name) for name in theirs]
    )
    if users is None or not ours:
        return seen
    known = users.groupBy(Columns.USER).agg(*[F.max(F.col(f"`{name}`").cast("string")).alias(name) for name in ours])
    return seen.join(known, Columns.USER, "left").select(Columns.USER, FIRST_SEEN_DAYS, *[f"`{n}`" for n in columns])


def _latest(name: str) -> Column:
    value = F.col(f"`{name}`").cast("string")
    # Of events at one instant the larger value counts, so that the order of rows does not matter.
    dated = F.struct(F.col(Columns.EVENT_TIME).alias("at"), value.alias("value"))
    return F.max(F.when(value.isNotNull(), dated)).getField("value")


@dataclass(frozen=True, eq=False)
class Described:
    """Attributes of the judged people, in their order."""

    activity: NDArray[np.int64]
    """Number of items that each person's history teaches."""
    first_seen_days: NDArray[np.float64] | None = None
    """NaN if unknown."""
    segments: Mapping[str, pa.Array] | None = None
    """Column -> value of each person as text; null if there is none."""


def cohorts(people: Described, *, new_days: int, most_values: int) -> Masks:
    """
    Return cohort name -> mask of its people.

    New and returning: first seen at most, or more than, *new_days* before the cutoff. Light and heavy: activity at
    most, or above, the median. Each of the *most_values* most frequent values of a segment column is a cohort, such as
    `country=France`; everybody else is in `country=other`. Empty cohorts are left out, and so are columns in which
    everybody has the same value.

    >>> found = cohorts(Described(np.array([1, 2, 9])), new_days=28, most_values=8)
    >>> {name: mask.tolist() for name, mask in found.items()}
    {'light': [True, True, False], 'heavy': [False, False, True]}
    """
    found: dict[str, NDArray[np.bool_]] = {}
    if people.first_seen_days is not None:
        new = people.first_seen_days <= new_days
        found |= {"new": new, "returning": people.first_seen_days > new_days}
    if len(people.activity):
        heavy = people.activity > np.median(people.activity)
        found |= {"light": ~heavy, "heavy": heavy}
    for column, values in (people.segments or {}).items():
        found |= _segments(column, values, most_values)
    return {name: mask for name, mask in found.items() if mask.any() and not mask.all()}


def _segments(column: str, values: pa.Array, most_values: int) -> dict[str, NDArray[np.bool_]]:
    encoded = values.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    names = encoded.dictionary.to_pylist()
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    # Sort by size, then by name, so that the order of people does not matter.
    order = sorted(range(len(names)), key=lambda code: (-counts[code], names[code]))[:most_values]
    found = {f"{column}={names[code]}": codes == code for code in order}
    return found | {f"{column}=other": ~np.isin(codes, order)}
