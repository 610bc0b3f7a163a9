"""Applies the rules of the lists to the catalogue: which items may be recommended, and the boost of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from refit.candidates.where_clause import condition, failing
from refit.columns import Columns
from refit.config import Lists
from refit.errors import ConfigurationError

RULES = ("withdrawn", "unavailable", "unlisted", "deny", "allow", "where", "min_price")
"""Rules that exclude an item, in the order of evaluation; an item counts for the first rule that excludes it."""
ALLOWED = -1

_AS_OF = "as_of"
_AVAILABLE, _LISTED, _WHERE = "is_available", "is_listed", "where"
_SMALLEST, _LARGEST = 1e-6, 1e6
"""Limits on the product of boosts; beyond them, boosts would swamp the scores."""


@dataclass(frozen=True, eq=False)
class EligibleCatalogue:
    """Every item of a catalogue with the result of the rules."""

    items: pa.Array
    """Item ids, ascending."""
    categories: pa.Array
    """String; null for none."""
    kept_off: NDArray[np.int8]
    """Position in `RULES` of the first rule that excludes the item, `ALLOWED` for none."""
    boosts: NDArray[np.float32]
    """Product of the factors of all matching boosts."""
    warnings: tuple[str, ...] = ()
    """Rules without effect, most likely by mistake."""


def judge_items(catalogue: DataFrame, policy: Lists, as_of: datetime) -> EligibleCatalogue:
    """
    Apply *policy* to every item of *catalogue* as of *as_of*.

    Raises:
        ConfigurationError: a condition of *policy* is not valid, names a column that the catalogue lacks or fails on
            an item, or the boosts of an item multiply to an absurd factor.
    """
    table = _read(catalogue, policy, as_of)
    items, categories = (table[name].combine_chunks() for name in (Columns.ITEM, Columns.CATEGORY))
    return EligibleCatalogue(
        items=items,
        categories=categories,
        kept_off=_kept_off(table, items, policy),
        boosts=_boosts(table, items, policy),
        warnings=tuple(_ineffective_rules(table, items, categories, policy)),
    )


def _read(catalogue: DataFrame, policy: Lists, as_of: datetime) -> pa.Table:
    """Return the inputs of the rules for each item, in the order of ids; each condition has its own column."""
    rows = catalogue.withColumn(_AS_OF, F.lit(as_of))
    conditions = _conditions(policy)
    tests = [condition(rows, text, setting).alias(name) for name, (setting, text) in conditions.items()]
    listed = F.col(Columns.LISTED_AT).isNull() | (F.col(Columns.LISTED_AT) < F.lit(as_of))
    available = F.coalesce(F.col(Columns.AVAILABLE), F.lit(False))
    facts = [F.col(Columns.ITEM), F.col(Columns.CATEGORY), F.col(Columns.PRICE)]
    known = [available.alias(_AVAILABLE), listed.alias(_LISTED)]
    try:
        return rows.select(*facts, *known, *tests).toArrow().sort_by(Columns.ITEM).combine_chunks()
    except PySparkException:
        for setting, text in conditions.values():
            found = failing(rows, text, setting)
            if found is not None:
                raise found from None
        raise


def _kept_off(table: pa.Table, items: pa.Array, policy: Lists) -> NDArray[np.int8]:
    everything = np.ones(len(items), dtype=np.bool_)
    passes = {
        "unavailable": _flags(table[_AVAILABLE]),
        "unlisted": _flags(table[_LISTED]),
        "deny": ~_among(items, policy.deny),
        "allow": _among(items, policy.allow) if policy.allow else everything,
        "where": _flags(table[_WHERE]) if policy.where else everything,
        # An unknown price becomes NaN, and every comparison with NaN is false.
        "min_price": everything if policy.min_price is None else table[Columns.PRICE].to_numpy() >= policy.min_price,
    }
    kept_off = np.full(len(items), ALLOWED, dtype=np.int8)
    for name, passed in reversed(passes.items()):
        kept_off[~passed] = RULES.index(name)
    return kept_off


def _boosts(table: pa.Table, items: pa.Array, policy: Lists) -> NDArray[np.float32]:
    product = np.ones(len(items))
    for number, boost in enumerate(policy.boosts):
        product[_flags(table[_boost(number)])] *= boost.factor
    beyond = np.flatnonzero((product < _SMALLEST) | (product > _LARGEST))
    if len(beyond):
        raise ConfigurationError(
            f"lists.boosts multiply to {product[beyond[0]]:g} for item {items[int(beyond[0])].as_py()!r}, "
            f"{_SMALLEST:g} to {_LARGEST:g} are possible; correct the factors in shop.toml"
        )
    return product.astype(np.float32)


def _ineffective_rules(table: pa.Table, items: pa.Array, categories: pa.Array, policy: Lists) -> Iterator[str]:
    """Yield a sentence for each rule without effect."""
    yield from _unknown("deny", policy.deny, items)
    yield from _unknown("allow", policy.allow, items)
    for number, boost in enumerate(policy.boosts):
        if not _flags(table[_boost(number)]).any():
            yield f"lists.boosts fits no item with where = {boost.where!r}; correct it or take it out"
    if policy.cap_per_category and categories.null_count == len(categories):
        yield "lists.cap_per_category caps nothing, because no item of the catalogue has a category"


def _conditions(policy: Lists) -> dict[str, tuple[str, str]]:
    """Return column name -> (setting, SQL) for every condition of *policy*."""
    found = {_WHERE: ("lists.where", policy.where)} if policy.where else {}
    return found | {_boost(n): (f"lists.boosts.{n}.where", boost.where) for n, boost in enumerate(policy.boosts)}


def _boost(number: int) -> str:
    return f"boost_{number}"


def _flags(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.asarray(column.to_numpy(), dtype=np.bool_)


def _among(items: pa.Array, ids: Sequence[str]) -> NDArray[np.bool_]:
    found = pc.is_in(items, value_set=pa.array(ids, items.type))
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.bool_)


def _unknown(setting: str, ids: Sequence[str], items: pa.Array) -> list[str]:
    known = pc.is_in(pa.array(ids, items.type), value_set=items).to_pylist()
    unknown = [name for name, found in zip(ids, known, strict=True) if not found]
    if not unknown:
        return []
    shown = ", ".join(repr(name) for name in unknown[:3])
    return [
        f"lists.{setting} names {len(unknown):,} of {len(ids):,} ids that the catalogue does not know, such as "
        f"{shown}; they change nothing; correct them or take them out"
    ]
