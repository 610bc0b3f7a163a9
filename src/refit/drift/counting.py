"""Counting days: one Spark job that says how often each bin of each feature occurred on each day."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pyspark.ml.feature import Bucketizer
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from refit.drift.features import DAY, WEEKDAY, place_in
from refit.drift.profiles import MISSING, Binning, cuts

_QUANTILES = 1_000
_ACCURACY = 10_000
"""Relative accuracy of Spark's quantiles; ten times more costs twice the time and changes nothing."""
_TOGETHER = 4_096
"""Features are counted together as long as there are no more combinations of their bins than this."""

_COMPARED = 64
"""Up to so many borders are compared in generated code; more go to a function, which costs a call for each row."""

Pack = dict[str, int]
"""Feature -> how many bins it has, that of the missing included; 0 for one that is alone and has no end."""


@dataclass(frozen=True)
class Table:
    """Rows to be counted by `day`, and in which of their columns."""

    rows: DataFrame
    numbers: Sequence[str] = ()
    categories: Sequence[str] = ()
    codes: Sequence[str] = ()
    """Columns of small whole numbers that are bins already."""


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


def count_days(tables: Sequence[Table], ruler: Binning) -> dict[int, dict[str, dict[int, int]]]:
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


def packed(table: Table, ruler: Binning) -> list[Pack]:
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


def _stacked(table: Table, ruler: Binning, packs: Sequence[Pack], *, first: int) -> DataFrame:
    """Return one row per row of *table* and pack: day, number of the pack, code; *first* is the number of the first."""
    rows = table.rows
    borders = {name: cuts(ruler.edges[name]) for name in table.numbers}
    binned = {name: f"_bin_{name}" for name in table.numbers if len(borders[name]) > _COMPARED}
    if binned:
        splits = [[-math.inf, *borders[name], math.inf] for name in binned]
        rows = Bucketizer(
            splitsArray=splits, inputCols=list(binned), outputCols=list(binned.values()), handleInvalid="keep"
        ).transform(rows)
    places: dict[str, Column] = {}
    for name in table.numbers:
        known = F.col(name).isNotNull() & ~F.isnan(name)
        place = F.col(binned[name]).cast("int") if name in binned else _place(F.col(name), borders[name], 0)
        places[name] = F.when(known, place)
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


def _place(number: Column, borders: Sequence[float], first: int) -> Column:
    """Return how many of *borders*, ascending, are not above *number*, plus *first*: a search by halves as one term."""
    if not borders:
        return F.lit(first)
    middle = len(borders) // 2
    below, above = borders[:middle], borders[middle + 1 :]
    return F.when(number < borders[middle], _place(number, below, first)).otherwise(
        _place(number, above, first + middle + 1)
    )
