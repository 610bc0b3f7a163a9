"""One call that trains any kind of model, with the engine that fits its size."""

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
"""The fact that holds the objective after each iteration, as `Factoriser.factorise` tells it."""
_DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What learns the factors, and why it was chosen."""

    name: str
    why: str


def choose_engine(size: Size, settings: Als, *, links: int = 0) -> Engine:
    """
    Return the engine for `auto`: the local one if its estimated memory is within the limit.

    *links* are the bytes of links between items, which are made on this machine beside the factors.

    Raises:
        NotEnoughDataError: `auto` would have to spread a set for which MLlib does not have what is asked.
    """
    if asked := only_mllib_has(settings):
        return Engine(name=SPREAD, why=f"only MLlib has {' and '.join(asked)}")
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
    """Return what *settings* ask for that only MLlib can do."""
    asked = ["non-negative factors"] if settings.nonnegative else []
    return asked + (["explicit preferences"] if settings.preferences == "explicit" else [])


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

    The same pairs and settings give the same bytes, however the pairs are spread and whoever reads them. The facts of
    the model are *facts* with `settings`, `kind`, `engine` and, where factors were learnt in this process, `learning`;
    the counts of a training set among them spare counting. Only what must be spread is read by Spark. *checkpoints* is
    a folder that every executor can write; it is deleted afterwards.

    Raises:
        DataRefusedError: a confidence is negative, NaN, infinite or missing.
        NotEnoughDataError: no confidence above 0, a rank that the data do not support, more items or pairs than fit.
    """
    als = settings.als
    if settings.linked_by is not None or settings.habit.weight:
        # Asked before factors are learnt: what does not fit is refused and not killed at the end.
        require_room(_size(pairs, facts), settings)
    if settings.has_factors and als.engine != "auto":
        engine = Engine(name=als.engine, why="named in als.engine")
    elif settings.has_factors:
        engine = choose_engine(_size(pairs, facts), als, links=links_bytes(_size(pairs, facts), settings))
    else:
        engine = Engine(name=NONE, why="it has no factors")
    told = _facts(settings, engine, facts)
    if engine.name == SPREAD:
        frame = spread(pairs)
        measure(frame)
        model = train_als(frame, als, told, checkpoints=checkpoints)
        if settings.linked_by is None and not settings.habit.weight:
            return model
        return complete(model, collect_pairs(pairs), settings)
    learning: list[float] = []
    model = train_here(collect_pairs(pairs), settings, told, factoriser=factoriser, watch=learning.append)
    return replace(model, facts={**model.facts, LEARNING: [_rounded(left) for left in learning]}) if learning else model


def train_here(
    pairs: PairMatrix,
    settings: ModelSettings,
    facts: Mapping[str, Any],
    *,
    factoriser: Factoriser,
    watch: Callable[[float], None] | None = None,
) -> ItemFactors:
    """Return the model of *pairs* made in this process; factors, where there are any, by *factoriser* for *watch*."""
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
    """Return *model* with the links and the habit that *settings* ask for beside its factors; checks the room first."""
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
    """Return the size that *facts* tell, the counts of a training set's manifest, or else count."""
    names = ("pairs", "people", "items")
    return Size(**{name: int(facts[name]) for name in names}) if set(names) <= set(facts) else measure(spread(pairs))


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def links_bytes(size: Size, settings: ModelSettings) -> int:
    """Return an estimate of the memory that links between items need while they are made, beside the pairs."""
    if settings.linked_by == "closed_form":
        return closed_form_bytes(size.items, settings.closed_form)
    # Neighbours are found some rows at a time; what is kept of them is small beside the pairs that they come from.
    return 0


def require_room(size: Size, settings: ModelSettings) -> None:
    """Raise NotEnoughDataError when pairs and links of *size* do not fit the memory that is allowed here."""
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
