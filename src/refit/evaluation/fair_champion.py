"""
The champion in a comparison: itself, or its recipe if it has seen days of the holdout.

A refitted champion has learnt from every day before it was made, so it remembers a part of the next holdout. Judged as
it is, it would win by memory. Its recipe, the settings it was trained with, is then trained on the challenger's days
and judged in its place. Days that the champion has not seen are used only if the recipe cannot be trained: on those
days it is also fresher than the challenger, whose training ended earlier, so every retraining would look worse than it
is.

Where models are refitted, a challenger of the champion's own recipe is not compared at all. What is offered learns from
every day before `as_of`, while its judged twin ends a holdout earlier, where it may know no more than the champion.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from refit.config import ModelSettings
from refit.errors import NotEnoughDataError
from refit.evaluation.holdout_lists import CHALLENGER, CHAMPION
from refit.interfaces import ModelVersion
from refit.model.item_factors import ItemFactors
from refit.training.model_settings import settings_of

ITSELF, RECIPE, SAME_RECIPE, UNSEEN_DAYS = "itself", "recipe", "same recipe", "unseen days"


@dataclass(frozen=True, kw_only=True)
class FairChampion:
    """The model that is judged as the champion."""

    model: ItemFactors | None = None
    """None if there is no champion."""
    judged_by: str = ITSELF
    """One of "itself", "recipe", "same recipe" (the challenger's, which learns from newer days) and "unseen days"."""
    since: datetime | None = None
    """Only days from this instant on are judged; None: the whole holdout."""
    note: str = ""
    """Why the champion is not judged as it is; empty if it is."""

    @property
    def contender(self) -> dict[str, ItemFactors]:
        """The model under the name used in judging; empty if there is none."""
        return {CHAMPION: self.model} if self.model is not None else {}

    @property
    def same_recipe(self) -> bool:
        """Whether champion and challenger are made by one recipe, so that only the days of training differ."""
        return self.judged_by == SAME_RECIPE


def find_fair_champion(
    champion: ModelVersion | None,
    models: Mapping[str, ItemFactors],
    *,
    as_of: datetime,
    refits: bool,
    train: Callable[[ModelSettings], ItemFactors],
) -> FairChampion:
    """
    Return the model to judge as *champion* on a holdout that ends at *as_of*.

    *models* are `challenger` and, if there is one, `champion`; *train* trains settings on the challenger's days.
    *refits* says whether the challenger, if proposed, is trained again on every day before *as_of*.
    """
    if champion is None:
        return FairChampion()
    model, challenger = models[CHAMPION], models[CHALLENGER]
    cutoff = datetime.fromisoformat(str(challenger.facts["cutoff"]))
    seen = datetime.fromisoformat(champion.cutoff)
    settings = settings_of(model)
    same = settings is not None and settings == settings_of(challenger) and seen < as_of
    what = f"the champion (version {champion.version}) was trained on data before {seen.date()}"
    if seen > cutoff:
        days = (min(seen, as_of) - cutoff).days
        what += f" and has seen {days} of the {(as_of - cutoff).days} days that judge"
    if same and (refits or seen > cutoff):
        return FairChampion(
            model=challenger,
            judged_by=SAME_RECIPE,
            note=f"{what}; its recipe is the challenger's own, so they differ only in the days they learn from",
        )
    if seen <= cutoff:
        return FairChampion(model=model)
    failed = "its settings are not stored with it"
    if settings is not None:
        try:
            return FairChampion(
                model=train(settings),
                judged_by=RECIPE,
                note=f"{what}; its recipe, trained before {cutoff.date()} like the challenger, is judged in its place",
            )
        except NotEnoughDataError as error:
            failed = f"its recipe can no longer be trained ({error})"
    return FairChampion(
        model=model,
        judged_by=UNSEEN_DAYS,
        since=min(seen, as_of),
        note=f"{what}, and {failed}; all models are judged on the days from {min(seen, as_of).date()} on",
    )
