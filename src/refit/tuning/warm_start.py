"""Starting settings of a study: those of the champion, so that retraining need not find them again."""

from __future__ import annotations

from collections.abc import Mapping

from refit.config import ModelSettings, Shop
from refit.config.kinds import Kind
from refit.digests import digest_of
from refit.errors import ConfigurationError
from refit.tuning.study import space_of


def warm_starts(shop: Shop, champion: ModelSettings | None) -> dict[Kind, ModelSettings]:
    """
    Return the settings that each candidate kind is tried with first.

    A candidate of the champion's kind takes the searched settings from the champion; everything else comes from
    shop.toml. A champion's value that is no longer valid is ignored.
    """
    return {kind: _first_settings(shop, kind, champion) for kind in shop.models.candidates}


def study_digest(shop: Shop, starts: Mapping[Kind, ModelSettings], training_set: str) -> str:
    """
    Return the name of the study: equal data, starting settings and search space give equal names.

    The budget is left out, so that a study with a larger budget continues one with a smaller budget.
    """
    return digest_of(
        {
            "training_set": training_set,
            "starts": [settings.model_dump(mode="json") for settings in starts.values()],
            "tuning": shop.tuning.model_dump(mode="json", exclude={"trials", "seconds"}),
            "holdout_days": shop.training.holdout_days,
            "metric": shop.promotion.metric,
            "k": shop.evaluation.k,
            "rebuy": shop.lists.rebuy,
        }
    )


def _first_settings(shop: Shop, kind: Kind, champion: ModelSettings | None) -> ModelSettings:
    settings = shop.model_settings(kind)
    if champion is None or champion.kind != kind:
        return settings
    for name in space_of(kind, shop.tuning):
        try:
            settings = settings.with_values({name: champion.value_of(name)})
        except ConfigurationError:
            continue
    return settings
