"""Counts how often each bin of each feature occurred on each day, in one Spark job."""

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
"""Accuracy of Spark's quantiles; ten times more doubles the time and does not change the results."""
_TOGETHER = 4_096
"""Largest number of bin combinations of features that are counted together."""

_COMPARED = 64
"""Largest number of borders compared in generated code; more need a function call per row."""

Pack = dict[str, int]
"""Feature -> number of bins, including the one for missing values; 0 for a single feature without an upper bound."""


@dataclass(frozen=True)
class Table:
    """Rows to count by `day`, and the columns to count."""

    rows: DataFrame
    numbers: Sequence[str] = ()
    categories: Sequence[str] = ()
    codes: Sequence[str] = ()
    """Integer columns that already hold bins."""


def quantile_edges(rows: DataFrame, numbers: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """
    Return the distinct values among a thousand quantiles of each of *numbers*; one Spark job.

    Null, NaN and infinities are not edges. A column without other values has no edges.
    """
    if not numbers:
        return {}
    quantiles = [n / _QUANTILES for n in range(1, _QUANTILES)]
    finite = {name: F.when(F.abs(F.nanvl(name, F.lit(math.inf))) < math.inf, F.col(name)) for name in numbers}
    row = rows.select(
        *[F.percentile_approx(number, quantiles, F.lit(_ACCURACY)).alias(name) for name, number in finite.items()]
    ).collect()[0]
    return {name: tuple(sorted(set(row[name] or ()))) for name in numbers}


def frequent_names(rows: DataFrame, categories: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """
    Return the most frequent values of each of *categories* (column -> maximum number), ties in alphabetical order.

    One Spark job that collects only these values, however many there are.
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
        for name, bin_code in _unpacked(code, packs[pack]):
            bins[name][bin_code] = bins[name].get(bin_code, 0) + count
    return daily


def packed(table: Table, ruler: Binning) -> list[Pack]:
    """
    Return which features of *table* are counted together: their bins are the digits of one number.

    Features with few bins share a number, so that each row is counted three or four times instead of once per feature,
    and the table of counts stays small.
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


def _stacked(table: Table, binning: Binning, packs: Sequence[Pack], *, first: int) -> DataFrame:
    """Return one row per row of *table* and pack: day, pack number, code; *first* is the number of the first pack."""
    rows = table.rows
    borders = {name: cuts(binning.edges[name]) for name in table.numbers}
    binned = {name: f"_bin_{name}" for name in table.numbers if len(borders[name]) > _COMPARED}
    if binned:
        splits = [[-math.inf, *borders[name], math.inf] for name in binned]
        rows = Bucketizer(
            splitsArray=splits, inputCols=list(binned), outputCols=list(binned.values()), handleInvalid="keep"
        ).transform(rows)
    codes: dict[str, Column] = {}
    for name in table.numbers:
        known = F.col(name).isNotNull() & ~F.isnan(name)
        bin_code = F.col(binned[name]).cast("int") if name in binned else _bin_index(F.col(name), borders[name], 0)
        codes[name] = F.when(known, bin_code)
    for name in table.categories:
        codes[name] = place_in(binning.names[name], F.col(name))
    for name in table.codes:
        codes[name] = F.col(name).cast("int")
    pairs: list[Column] = []
    for number, pack in enumerate(packs, start=first):
        code, scale = F.lit(0), 1
        for name, size in pack.items():
            # Digits are never negative: 0 stands for missing values.
            code = code + (F.coalesce(codes[name], F.lit(MISSING)) + 1) * scale
            scale *= size
        pairs += [F.lit(number), code]
    return rows.select(DAY, F.stack(F.lit(len(packs)), *pairs).alias("pack", "bin"))


def _bin_index(number: Column, borders: Sequence[float], first: int) -> Column:
    """Return *first* plus the number of *borders* (ascending) <= *number*: a binary search as one expression."""
    if not borders:
        return F.lit(first)
    middle = len(borders) // 2
    below, above = borders[:middle], borders[middle + 1 :]
    return F.when(number < borders[middle], _bin_index(number, below, first)).otherwise(
        _bin_index(number, above, first + middle + 1)
    )
