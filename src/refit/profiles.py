"""
Profiles: how a period was distributed, day by day or by weekday, small enough to travel with a model.

Numbers are counted in bins whose edges are quantiles of the reference, so that comparing new days with it needs one
pass over them and none over the old ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyspark.ml.feature import Bucketizer
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from refit.errors import ModelDamagedError
from refit.features import DAY, WEEKDAY, place_in

FORMAT = "refit-profile/2"
_QUANTILES = 1_000
_ACCURACY = 10_000
"""Relative accuracy of Spark's quantiles; ten times more costs twice the time and changes nothing."""
_MONDAY = 3
"""1970-01-01 was a Thursday."""

MISSING = -1
"""Bin of null and NaN."""
OUTSIDE = 0
"""Bin of every category that the reference does not name; `names[n]` is bin n + 1."""

_TOGETHER = 4_096
"""Features are counted together as long as there are no more combinations of their bins than this."""

Counts = Mapping[int, int]
"""Bin -> rows."""
DailyCounts = Mapping[int, Mapping[str, Counts]]
"""Day since 1970-01-01 -> feature -> bin -> rows. A day without rows is not there."""
Pack = dict[str, int]
"""Feature -> how many bins it has, that of the missing included; 0 for one that is alone and has no end."""


@dataclass(frozen=True)
class Ruler:
    """What features are measured by."""

    edges: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Quantiles of each numeric feature, ascending; each is a bin of its own, and so is what lies between two."""
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Categories of each categorical feature that are counted apart, the most frequent first."""

    def bins(self, feature: str) -> int:
        """Return how many bins *feature* has, without the one for what is missing."""
        return 2 * len(self.edges[feature]) + 1 if feature in self.edges else len(self.names[feature]) + 1

    def __contains__(self, feature: str) -> bool:
        """Return whether *feature* has edges or names."""
        return feature in self.edges or feature in self.names

    def label(self, feature: str, place: int) -> str:
        """Return the name of a category's bin."""
        return {MISSING: "missing", OUTSIDE: "other"}.get(place) or self.names[feature][place - 1]


@dataclass(frozen=True)
class Profile:
    """The reference: what the days before a training cutoff were like."""

    ruler: Ruler
    days: Mapping[int, int]
    """Weekday (0 is Monday) -> days with events."""
    counts: Mapping[str, Mapping[int, Counts]]
    """Feature -> weekday -> bin -> rows."""
    tenure: Mapping[str, Counts]
    """`new_people`, `new_items` -> days since they were first seen -> rows."""
    history: int
    """Days of events before the reference; nobody can have been seen for the first time earlier than that."""

    def to_json(self) -> dict[str, Any]:
        """Return the profile as plain JSON values."""
        return {
            "edges": {name: list(edges) for name, edges in self.ruler.edges.items()},
            "names": {name: list(names) for name, names in self.ruler.names.items()},
            "days": _texts(self.days),
            "counts": {
                name: {str(weekday): _texts(bins) for weekday, bins in weekdays.items()}
                for name, weekdays in self.counts.items()
            },
            "tenure": {name: _texts(counts) for name, counts in self.tenure.items()},
            "history": self.history,
            "format": FORMAT,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Profile:
        """
        Return the profile that `to_json` wrote.

        Raises:
            ModelDamagedError: it is of another format.
        """
        if values.get("format") != FORMAT:
            raise ModelDamagedError(
                f"the drift profile has format {values.get('format')!r}, this Refit reads {FORMAT}; train a new model "
                "with build_training_set, train_model and promote_model"
            )
        return cls(
            ruler=Ruler(
                edges={name: tuple(edges) for name, edges in values["edges"].items()},
                names={name: tuple(names) for name, names in values["names"].items()},
            ),
            days=_numbers(values["days"]),
            counts={
                name: {int(weekday): _numbers(bins) for weekday, bins in weekdays.items()}
                for name, weekdays in values["counts"].items()
            },
            tenure={name: _numbers(counts) for name, counts in values["tenure"].items()},
            history=values["history"],
        )


@dataclass(frozen=True)
class Table:
    """Rows to be counted by `day`, and in which of their columns."""

    rows: DataFrame
    numbers: Sequence[str] = ()
    categories: Sequence[str] = ()
    codes: Sequence[str] = ()
    """Columns of small whole numbers that are bins already."""


def weekday(day: int) -> int:
    """
    Return the weekday of a day since 1970-01-01; 0 is Monday.

    >>> weekday(0), weekday(4)
    (3, 0)
    """
    return (day + _MONDAY) % 7


def quantile_edges(rows: DataFrame, numbers: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """
    Return a thousand quantiles of each of *numbers*, each value once; one Spark job.

    Null, NaN and the infinities are no edges. A column without any other value has none.
    """
    if not numbers:
        return {}
    places = [n / _QUANTILES for n in range(1, _QUANTILES)]
    finite = {name: F.when(F.abs(F.nanvl(name, F.lit(math.inf))) < math.inf, F.col(name)) for name in numbers}
    row = rows.select(
        *[F.percentile_approx(number, places, F.lit(_ACCURACY)).alias(name) for name, number in finite.items()]
    ).collect()[0]
    return {name: tuple(sorted(set(row[name] or ()))) for name in numbers}


def frequent_names(rows: DataFrame, categories: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """
    Return the most frequent values of each of *categories* (column -> how many at most), ties in their own order.

    One Spark job that collects no more than that, however many values there are.
    """
    if not categories:
        return {}
    pairs = [part for name in categories for part in (F.lit(name), F.col(name))]
    counted = (
        rows.select(F.stack(F.lit(len(categories)), *pairs).alias("feature", "name"))
        .where(F.col("name").isNotNull())
        .groupBy("feature", "name")
        .count()
    )
    order = Window.partitionBy("feature").orderBy(F.desc("count"), "name")
    most = F.create_map(*[F.lit(part) for pair in categories.items() for part in pair])[F.col("feature")]
    ranked = counted.withColumn("rank", F.row_number().over(order)).where(F.col("rank") <= most).orderBy("rank")
    found: dict[str, list[str]] = {name: [] for name in categories}
    for row in ranked.select("feature", "name").collect():
        found[row["feature"]].append(row["name"])
    return {name: tuple(names) for name, names in found.items()}


def count_days(tables: Sequence[Table], ruler: Ruler) -> dict[int, dict[str, dict[int, int]]]:
    """Return `DailyCounts` of every feature of *tables*; one Spark job that collects bins, never rows."""
    daily: dict[int, dict[str, dict[int, int]]] = {}
    packs: list[Pack] = []
    stacked: DataFrame | None = None
    for table in tables:
        mine = packed(table, ruler)
        part = _stacked(table, ruler, mine, first=len(packs))
        packs += mine
        stacked = part if stacked is None else stacked.union(part)
    if stacked is None:
        return daily
    features = [name for pack in packs for name in pack]
    counted = stacked.groupBy(DAY, "pack", "bin").count().toArrow()
    for day, pack, code, count in zip(*(column.to_pylist() for column in counted.columns), strict=True):
        bins = daily.setdefault(day, {name: {} for name in features})
        for name, place in _unpacked(code, packs[pack]):
            bins[name][place] = bins[name].get(place, 0) + count
    return daily


def packed(table: Table, ruler: Ruler) -> list[Pack]:
    """
    Return which features of *table* are counted together: their bins are the digits of one number.

    What has few bins shares a number with others, so that a row is counted three or four times and not once for each
    of its features; the table of counts stays small.
    """
    known = {name: ruler.bins(name) + 1 for name in (*table.numbers, *table.categories, *table.codes) if name in ruler}
    known |= {WEEKDAY: 8} if WEEKDAY in table.codes else {}
    packs: list[Pack] = [{name: 0} for name in table.codes if name not in known]
    for name in sorted(known, key=lambda each: (known[each], each)):
        for pack in packs:
            if 0 not in pack.values() and math.prod(pack.values()) * known[name] <= _TOGETHER:
                pack[name] = known[name]
                break
        else:
            packs.append({name: known[name]})
    return packs


def _unpacked(code: int, pack: Pack) -> Iterator[tuple[str, int]]:
    for name, size in pack.items():
        code, digit = divmod(code, size) if size else (0, code)
        yield name, digit - 1


def by_weekday(daily: DailyCounts, features: Sequence[str]) -> dict[str, dict[int, dict[int, int]]]:
    """Return feature -> weekday -> bin -> rows over all days."""
    sums: dict[str, dict[int, dict[int, int]]] = {name: {} for name in features}
    for day, counted in daily.items():
        for name in features:
            for place, count in counted.get(name, {}).items():
                bins = sums[name].setdefault(weekday(day), {})
                bins[place] = bins.get(place, 0) + count
    return sums


def cuts(edges: Sequence[float]) -> list[float]:
    """
    Return the borders between the bins of *edges*: each edge and the number right after it.

    A value that many rows share is a bin of its own then, so that distances of discrete columns are exact.
    """
    return sorted({*edges, *(math.nextafter(edge, math.inf) for edge in edges)})


def _stacked(table: Table, ruler: Ruler, packs: Sequence[Pack], *, first: int) -> DataFrame:
    """Return one row per row of *table* and pack: day, number of the pack, code; *first* is the number of the first."""
    rows = table.rows
    binned = {name: f"_bin_{name}" for name in table.numbers if ruler.edges[name]}
    if binned:
        splits = [[-math.inf, *cuts(ruler.edges[name]), math.inf] for name in binned]
        rows = Bucketizer(
            splitsArray=splits, inputCols=list(binned), outputCols=list(binned.values()), handleInvalid="keep"
        ).transform(rows)
    places: dict[str, Column] = {}
    for name in table.numbers:
        known = F.col(name).isNotNull() & ~F.isnan(name)
        places[name] = F.when(known, F.col(binned[name]).cast("int") if name in binned else F.lit(0))
    for name in table.categories:
        places[name] = place_in(ruler.names[name], F.col(name))
    for name in table.codes:
        places[name] = F.col(name).cast("int")
    pairs: list[Column] = []
    for number, pack in enumerate(packs, start=first):
        code, scale = F.lit(0), 1
        for name, size in pack.items():
            # A digit is never negative: 0 stands for what is missing.
            code = code + (F.coalesce(places[name], F.lit(MISSING)) + 1) * scale
            scale *= size
        pairs += [F.lit(number), code]
    return rows.select(DAY, F.stack(F.lit(len(packs)), *pairs).alias("pack", "bin"))


def _texts(counts: Counts) -> dict[str, int]:
    return {str(place): count for place, count in counts.items()}


def _numbers(counts: Mapping[str, int]) -> dict[int, int]:
    return {int(place): count for place, count in counts.items()}
