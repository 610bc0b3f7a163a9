"""
Anchors: the reference against which the losses of successive promotions accumulate.

A challenger may be slightly worse than the champion and still replace it. To bound the sum of such losses, each version
carries the recipe (settings) of an earlier champion. The recipe is trained again on the challenger's days and judged on
the same people, so that neither season nor model age counts as a loss. The first champion is the first anchor; a
challenger shown to be better than the anchor becomes the next one.
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
    """The settings that losses are measured against, and the model trained with them."""

    settings: ModelSettings | None
    """None until there is a champion with known settings."""
    model: ItemFactors | None = None
    """None if it would equal the challenger or can no longer be trained."""
    notes: tuple[str, ...] = ()
    """Reasons for a missing model that are worth reporting."""

    @property
    def contender(self) -> dict[str, ItemFactors]:
        """The model under the name used in judging; empty if there is none."""
        return {ANCHOR: self.model} if self.model is not None else {}


def find_anchor(
    champion: ModelVersion | None,
    models: Mapping[str, ItemFactors],
    train: Callable[[ModelSettings], ItemFactors],
) -> Anchor:
    """
    Return the anchor that *champion* carries, or else its own settings, with the model that *train* makes of them.

    *models* are `challenger` and, if there is one, `champion`.

    Raises:
        ModelDamagedError: the tag of the champion cannot be read.
    """
    if champion is None:
        return Anchor(settings=None)
    kept = champion.tags.get(ANCHOR_TAG)
    what = f"the anchor of champion version {champion.version}"
    settings = read_settings(json.loads(kept), what) if kept else settings_of(models[CHAMPION])
    challenger = models[CHALLENGER]
    if settings is None or settings == settings_of(challenger):
        return Anchor(settings=settings)
    judged = models[CHAMPION]  # its recipe on the challenger's days, if it has seen some that judge
    taught = judged.facts.get("training_set")
    if settings == settings_of(judged) and taught is not None and taught == challenger.facts.get("training_set"):
        return Anchor(settings=settings, model=judged)
    try:
        return Anchor(settings=settings, model=train(settings))
    except NotEnoughDataError as error:
        note = f"{what} can no longer be trained, so losses are counted from this challenger on: {error}"
        return Anchor(settings=None, notes=(note,))


def next_anchor(found: Anchor, compared: Comparison, challenger: ItemFactors, metric: str) -> str:
    """Return the anchor tag for the version made from *challenger*; empty for a model without settings."""
    difference = compared.against.get(ANCHOR, {}).get(f"{metric}@{compared.k}")
    surpassed = difference is not None and difference.above_zero
    settings = settings_of(challenger) if surpassed or found.settings is None else found.settings
    return canonical_json(settings.model_dump(mode="json")).decode() if settings else ""
