"""
Profiles: how a period's events were distributed, small enough to travel with a model.

Numbers are counted in bins whose edges are quantiles of the reference, so that comparing two profiles needs one pass
over the new data and none over the old. All bins of all features are counted by one Spark job.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyspark.ml.feature import Bucketizer
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from refit.columns import Columns
from refit.config import Drift
from refit.errors import ConfigurationError

_BINS = 1_000
"""The Kolmogorov-Smirnov statistic from bins errs by at most the mass of one bin, about 1 / _BINS."""
_ACCURACY = 10_000
"""Relative accuracy of Spark's quantiles; ten times more costs twice the time and changes nothing."""
_TOP_ITEMS = 100
"""The most popular items of the reference are categories of their own, all others are one."""
NULL = "__null__"
OTHER = "__other__"


@dataclass(frozen=True)
class Profile:
    """Counts per bin or category of each feature."""

    rows: int
    edges: Mapping[str, tuple[float, ...]]
    """Inner bin edges of each numeric feature, ascending."""
    counts: Mapping[str, Mapping[str, int]]
    """Feature -> bin number or category -> events; `__null__` counts what is missing or NaN."""
    top_items: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the profile as plain JSON values."""
        return {
            "rows": self.rows,
            "edges": {name: list(edges) for name, edges in self.edges.items()},
            "counts": {name: dict(counts) for name, counts in self.counts.items()},
            "top_items": list(self.top_items),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Profile:
        """Return the profile that `to_json` wrote."""
        return cls(
            rows=values["rows"],
            edges={name: tuple(edges) for name, edges in values["edges"].items()},
            counts=values["counts"],
            top_items=tuple(values["top_items"]),
        )


def reference_profile(interactions: DataFrame, items: DataFrame, drift: Drift) -> Profile:
    """Return the profile of *interactions* with bins of its own."""
    popular = interactions.groupBy(Columns.ITEM).count().orderBy(F.desc("count"), Columns.ITEM)
    top = tuple(row[Columns.ITEM] for row in popular.limit(_TOP_ITEMS).collect())
    features = _features(interactions, items, drift, top).persist()
    try:
        quantiles = [n / _BINS for n in range(1, _BINS)]
        edges: dict[str, tuple[float, ...]] = {}
        if drift.numbers:
            known = {name: F.nanvl(name, F.lit(None).cast("double")) for name in drift.numbers}
            row = features.select(
                *[
                    F.percentile_approx(number, quantiles, F.lit(_ACCURACY)).alias(name)
                    for name, number in known.items()
                ]
            ).collect()[0]
            found = {name: {float(edge) for edge in row[name] or ()} for name in drift.numbers}
            edges = {name: tuple(sorted(filter(math.isfinite, found[name]))) for name in drift.numbers}
        return _count(features, drift, edges, top)
    finally:
        features.unpersist()


def current_profile(interactions: DataFrame, items: DataFrame, drift: Drift, reference: Profile) -> Profile:
    """Return the profile of *interactions* in the bins of *reference*; one Spark job."""
    return _count(
        _features(interactions, items, drift, reference.top_items),
        drift,
        reference.edges,
        reference.top_items,
    )


def _features(interactions: DataFrame, items: DataFrame, drift: Drift, top: tuple[str, ...]) -> DataFrame:
    catalogue = items.select(
        Columns.ITEM, F.col(Columns.PRICE).alias("_price"), F.col(Columns.CATEGORY).alias("_category")
    )
    own: dict[str, Column] = {
        "hour": F.hour(Columns.EVENT_TIME),
        "weekday": F.date_format(Columns.EVENT_TIME, "E"),
        "top_item": F.when(F.col(Columns.ITEM).isin(*top), F.col(Columns.ITEM)).otherwise(OTHER),
    }
    # A price paid says more than the list price of the day the catalogue was taken.
    paid = "unit_price" if "unit_price" in interactions.columns else "_price"
    own[Columns.PRICE] = F.col(paid)
    own[Columns.CATEGORY] = F.col("_category")
    unknown = [
        name for name in (*drift.numbers, *drift.categories) if name not in own and name not in interactions.columns
    ]
    if unknown:
        raise ConfigurationError(
            f"drift features {', '.join(unknown)} are no columns of the landed interactions, which have "
            f"{', '.join(interactions.columns)}; correct [drift] in shop.toml"
        )
    joined = interactions.join(F.broadcast(catalogue), Columns.ITEM, "left")
    return joined.select(
        *[own.get(name, F.col(name)).cast("double").alias(name) for name in drift.numbers],
        *[own.get(name, F.col(name)).cast("string").alias(name) for name in drift.categories],
    )


def _count(features: DataFrame, drift: Drift, edges: Mapping[str, tuple[float, ...]], top: tuple[str, ...]) -> Profile:
    binned = {name: f"_bin_{name}" for name in drift.numbers if edges.get(name)}
    if binned:
        splits = [[-math.inf, *edges[name], math.inf] for name in binned]
        features = Bucketizer(
            splitsArray=splits, inputCols=list(binned), outputCols=list(binned.values()), handleInvalid="keep"
        ).transform(features)
    pairs: list[Column] = []
    for name in drift.numbers:
        known = ~(F.col(name).isNull() | F.isnan(name))
        place = F.col(binned[name]).cast("int").cast("string") if name in binned else F.lit("0")
        pairs += [F.lit(name), F.when(known, place).otherwise(NULL)]
    for name in drift.categories:
        pairs += [F.lit(name), F.coalesce(F.col(name), F.lit(NULL))]
    stacked = features.select(F.stack(F.lit(len(pairs) // 2), *pairs).alias("feature", "bin"))
    counts: dict[str, dict[str, int]] = {name: {} for name in (*drift.numbers, *drift.categories)}
    for feature, place, count in stacked.groupBy("feature", "bin").count().collect():
        counts[feature][place] = count
    rows = max((sum(bins.values()) for bins in counts.values()), default=0)
    return Profile(rows=rows, edges=edges, counts=counts, top_items=top)
