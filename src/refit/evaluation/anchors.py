"""
Anchors: what the losses of many promotions are counted from.

A challenger may be a little worse than the champion and still replace it. So that small losses do not add up without
end, the recipe of an earlier champion is kept beside each version: its settings, trained again on the days of the
challenger and judged by the same people, so that neither the season nor the age of a model is taken for a loss. The
first champion is the first anchor; a challenger that is shown to be better than the anchor is the next one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from refit.config import ModelSettings
from refit.digests import canonical_json
from refit.errors import NotEnoughDataError
from refit.evaluation.comparison import Comparison
from refit.evaluation.holdout_lists import ANCHOR, CHALLENGER, CHAMPION
from refit.governance.approvals import ANCHOR_TAG
from refit.interfaces import ModelVersion
from refit.model.item_factors import ItemFactors
from refit.training.model_settings import read_settings, settings_of


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """The settings that losses are counted from, and the model that they give today."""

    settings: ModelSettings | None
    """None before there is a champion that tells its settings."""
    model: ItemFactors | None = None
    """None where it would be the challenger itself, or can no longer be trained."""
    notes: tuple[str, ...] = ()
    """Why there is none, where that is worth a sentence."""

    @property
    def contender(self) -> dict[str, ItemFactors]:
        """The model under the name by which it is judged; nothing where there is none."""
        return {ANCHOR: self.model} if self.model is not None else {}


def find_anchor(
    champion: ModelVersion | None,
    models: Mapping[str, ItemFactors],
    train: Callable[[ModelSettings], ItemFactors],
) -> Anchor:
    """
    Return the anchor that *champion* carries, else the champion's own settings, with the model that *train* makes.

    *models* are `challenger` and, where there is one, `champion`.

    Raises:
        ModelDamagedError: the tag of the champion cannot be read.
    """
    if champion is None:
        return Anchor(settings=None)
    kept = champion.tags.get(ANCHOR_TAG)
    what = f"the anchor of champion version {champion.version}"
    settings = read_settings(json.loads(kept), what) if kept else settings_of(models[CHAMPION])
    if settings is None or settings == settings_of(models[CHALLENGER]):
        return Anchor(settings=settings)
    try:
        return Anchor(settings=settings, model=train(settings))
    except NotEnoughDataError as error:
        note = f"{what} can no longer be trained, so losses are counted from this challenger on: {error}"
        return Anchor(settings=None, notes=(note,))


def next_anchor(found: Anchor, compared: Comparison, challenger: ItemFactors, metric: str) -> str:
    """Return the anchor that *challenger* carries as a version, for the tag; empty for a model without settings."""
    difference = compared.against.get(ANCHOR, {}).get(f"{metric}@{compared.k}")
    surpassed = difference is not None and difference.above_zero
    settings = settings_of(challenger) if surpassed or found.settings is None else found.settings
    return canonical_json(settings.model_dump(mode="json")).decode() if settings else ""
