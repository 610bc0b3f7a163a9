"""Trains any kind of model in one call, with the engine that fits the size of the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pyspark.sql import DataFrame

from refit.config import Als, ModelSettings
from refit.errors import NotEnoughDataError
from refit.interfaces import Factoriser
from refit.model.item_factors import ItemFactors
from refit.model.item_links import ItemItemWeights
from refit.training.blending import blend, with_repeat_weight
from refit.training.closed_form import closed_form_bytes, closed_form_links
from refit.training.matrices import PairMatrix, Size, collect_pairs, measure
from refit.training.mllib_als import require_supported, train_als
from refit.training.neighbours import neighbour_links
from refit.training.stored_pairs import StoredPairs, spread

LOCAL, SPREAD, NONE = "implicit", "mllib", "none"
LEARNING = "learning"
"""Key of the fact with the objective after each iteration, as reported by `Factoriser.factorise`."""
_DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class Engine:
    """The engine that learns the factors, and why it was chosen."""

    name: str
    why: str


def choose_engine(size: Size, settings: Als, *, links: int = 0) -> Engine:
    """
    Return the engine for `auto`: the local one if its estimated memory is within the limit.

    *links* is the memory in bytes for links between items, which are computed on this machine beside the factors.

    Raises:
        NotEnoughDataError: the set is too large for this machine and MLlib does not support the settings.
    """
    if features := only_mllib_has(settings):
        return Engine(name=SPREAD, why=f"only MLlib has {' and '.join(features)}")
    needed = size.local_bytes(settings.rank, links=links) / 2**30
    room = f"an estimated {needed:.2g} GB on one machine, {settings.local_memory_gb:g} GB are allowed"
    if needed <= settings.local_memory_gb:
        return Engine(name=LOCAL, why=f"{size} at rank {settings.rank} need {room}")
    if settings.frequency_exponent != 1:
        raise NotEnoughDataError(
            f"{size} need {room}, and MLlib cannot use frequency_exponent = {settings.frequency_exponent:g}; "
            "raise als.local_memory_gb or set frequency_exponent = 1"
        )
    return Engine(name=SPREAD, why=f"{size} at rank {settings.rank} need {room}")


def only_mllib_has(settings: Als) -> list[str]:
    """Return the features requested by *settings* that only MLlib supports."""
    features = ["non-negative factors"] if settings.nonnegative else []
    return features + (["explicit preferences"] if settings.preferences == "explicit" else [])


def train(
    pairs: DataFrame | StoredPairs,
    settings: ModelSettings,
    facts: Mapping[str, Any],
    *,
    factoriser: Factoriser,
    checkpoints: str,
) -> ItemFactors:
    """
    Return the model of *pairs* (user_id, item_id, confidence; one row per pair, confidence 0 teaches nothing).

    Equal pairs and settings give equal bytes, regardless of partitioning and reader. The facts of the model are *facts*
    plus `settings`, `kind`, `engine` and, if factors were learnt in this process, `learning`; if *facts* include the
    counts of a training set, nothing is counted again. Spark reads the pairs only where it must. *checkpoints* is a
    folder writable by every executor; it is deleted afterwards.

    Raises:
        DataRefusedError: a confidence is negative, NaN, infinite or missing.
        NotEnoughDataError: no confidence above 0, a rank that the data do not support, or too many items or pairs.
    """
    als = settings.als
    if settings.linked_by is not None or settings.habit.weight:
        # Check before learning factors: a set that does not fit is refused early instead of being killed at the end.
        require_room(_size(pairs, facts), settings)
    if settings.has_factors and als.engine != "auto":
        engine = Engine(name=als.engine, why="named in als.engine")
    elif settings.has_factors:
        engine = choose_engine(_size(pairs, facts), als, links=links_bytes(_size(pairs, facts), settings))
    else:
        engine = Engine(name=NONE, why="it has no factors")
    model_facts = _facts(settings, engine, facts)
    if engine.name == SPREAD:
        frame = spread(pairs)
        measure(frame)
        model = train_als(frame, als, model_facts, checkpoints=checkpoints)
        if settings.linked_by is None and not settings.habit.weight:
            return model
        return complete(model, collect_pairs(pairs), settings)
    learning: list[float] = []
    model = train_here(collect_pairs(pairs), settings, model_facts, factoriser=factoriser, watch=learning.append)
    return replace(model, facts={**model.facts, LEARNING: [_rounded(left) for left in learning]}) if learning else model


def train_here(
    pairs: PairMatrix,
    settings: ModelSettings,
    facts: Mapping[str, Any],
    *,
    factoriser: Factoriser,
    watch: Callable[[float], None] | None = None,
) -> ItemFactors:
    """Return the model of *pairs*, trained in this process; *factoriser* reports each iteration to *watch*."""
    als = settings.als
    factors = np.empty((len(pairs.items), 0), dtype=np.float32)
    if settings.has_factors:
        people, items = pairs.confidences.shape
        require_supported(als.rank, people=people, items=items)
        factors = factoriser.factorise(pairs.confidences, als, watch=watch)
    model = ItemFactors(
        items=pairs.items,
        factors=factors,
        people=pairs.people_per_item,
        alpha=als.alpha,
        regularisation=als.regularisation,
        facts=dict(facts),
        frequency_exponent=als.frequency_exponent,
    )
    return complete(model, pairs, settings)


def complete(model: ItemFactors, pairs: PairMatrix, settings: ModelSettings) -> ItemFactors:
    """Return *model* with the links and repeat weight that *settings* request; checks the memory first."""
    power = 1.0
    if settings.linked_by is not None:
        require_room(pairs.size, settings)
        links = _links(pairs, settings)
        weight = settings.blend.weight if settings.kind == "blend" else 1.0
        power = links.power
        model = blend(model, links, pairs, weight=weight)
    return with_repeat_weight(model, pairs, weight=settings.habit.weight, power=power)


def _facts(settings: ModelSettings, engine: Engine, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **facts,
        "kind": settings.kind,
        "engine": {"name": engine.name, "why": engine.why},
        "settings": settings.model_dump(mode="json"),
    }


def _size(pairs: DataFrame | StoredPairs, facts: Mapping[str, Any]) -> Size:
    """Return the size from the training-set counts in *facts*, or else count the pairs."""
    names = ("pairs", "people", "items")
    return Size(**{name: int(facts[name]) for name in names}) if set(names) <= set(facts) else measure(spread(pairs))


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def links_bytes(size: Size, settings: ModelSettings) -> int:
    """Return an estimate in bytes of the memory for computing links between items, besides the pairs."""
    if settings.linked_by == "closed_form":
        return closed_form_bytes(size.items, settings.closed_form)
    # Neighbours are found some rows at a time; the kept links are small compared to the pairs.
    return 0


def require_room(size: Size, settings: ModelSettings) -> None:
    """Raise NotEnoughDataError if pairs and links of *size* exceed `als.local_memory_gb`."""
    needed, allowed = size.local_bytes(0, links=links_bytes(size, settings)) / 2**30, settings.als.local_memory_gb
    if needed <= allowed:
        return
    raise NotEnoughDataError(
        f"links between items are made on one machine, and {size} need an estimated {needed:.2g} GB there for "
        f"{settings.linked_by or 'habit'}; {allowed:g} GB are allowed: raise als.local_memory_gb, or train "
        f"{'neighbours or als' if settings.linked_by == 'closed_form' else 'als without habit'}"
    )


def _links(pairs: PairMatrix, settings: ModelSettings) -> ItemItemWeights:
    if settings.linked_by == "neighbours":
        return neighbour_links(pairs, settings.neighbours)
    return closed_form_links(pairs, settings.closed_form)
