"""Which model is judged as the champion, by what it has seen of the days that judge."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines.settings import REPOSITORY
from refit.config import ModelSettings, load_shop
from refit.errors import NotEnoughDataError
from refit.evaluation.anchors import find_anchor
from refit.evaluation.fair_champion import FairChampion, find_fair_champion
from refit.interfaces import ModelVersion
from refit.model.item_factors import ItemFactors

AS_OF = datetime(2026, 2, 1, tzinfo=UTC)
CUTOFF = AS_OF - timedelta(days=14)
SETTINGS = load_shop(REPOSITORY / "shops", "simulated").model_settings("als")
OTHER = SETTINGS.model_copy(update={"als": SETTINGS.als.model_copy(update={"rank": 3})})


def model(settings: ModelSettings | None, cutoff: datetime, training_set: str = "new") -> ItemFactors:
    facts: dict[str, Any] = {"cutoff": cutoff.isoformat(), "training_set": training_set}
    if settings is not None:
        facts["settings"] = settings.model_dump(mode="json")
    return ItemFactors(pa.array(["a"]), np.ones((1, 1), np.float32), np.ones(1, np.int64), 1.0, 0.1, facts)


def champion(cutoff: datetime) -> ModelVersion:
    return ModelVersion(name="s", version=3, model_id="m", run_id="r", digest="d", cutoff=cutoff.isoformat())


def train(settings: ModelSettings) -> ItemFactors:
    return model(settings, CUTOFF)


def not_asked(settings: ModelSettings) -> ItemFactors:
    raise AssertionError("nothing is to be trained")


def found(
    seen: datetime, settings: ModelSettings | None, trainer: Any = train, *, refits: bool = True
) -> tuple[FairChampion, ItemFactors]:
    itself = model(settings, seen, "old")
    models = {"challenger": model(SETTINGS, CUTOFF), "champion": itself}
    return find_fair_champion(champion(seen), models, as_of=AS_OF, refits=refits, train=trainer), itself


@pytest.mark.parametrize(("settings", "refits"), [(SETTINGS, False), (OTHER, True), (OTHER, False), (None, True)])
def test_a_champion_that_has_seen_no_day_that_judges_is_judged_as_it_is(
    settings: ModelSettings | None, refits: bool
) -> None:
    for seen in (CUTOFF - timedelta(days=3), CUTOFF):
        fair, itself = found(seen, settings, not_asked, refits=refits)
        assert fair == FairChampion(model=itself)
        assert fair.contender == {"champion": itself}


@pytest.mark.parametrize("days", [0, 1, 40])
def test_where_models_are_refitted_the_challengers_own_recipe_is_a_merit_however_old_the_champion_is(days: int) -> None:
    """A champion refitted one holdout ago has learnt up to the same day as the judged twin."""
    fair, _ = found(CUTOFF - timedelta(days=days), SETTINGS, not_asked)
    assert fair.same_recipe
    assert fair.model is not None
    assert fair.model.facts == model(SETTINGS, CUTOFF).facts
    assert fair.since is None
    assert "days that judge" not in fair.note
    assert fair.note.endswith("; its recipe is the challenger's own, so they differ only in the days they learn from")


def test_without_a_champion_nothing_is_judged() -> None:
    models = {"challenger": model(SETTINGS, CUTOFF)}
    fair = find_fair_champion(None, models, as_of=AS_OF, refits=True, train=not_asked)
    assert fair.contender == {}
    assert not fair.same_recipe


def test_one_that_has_seen_some_is_judged_by_its_recipe_on_the_days_of_the_challenger() -> None:
    fair, _ = found(CUTOFF + timedelta(days=5), OTHER)
    assert (fair.judged_by, fair.same_recipe) == ("recipe", False)
    assert fair.since is None
    assert fair.model is not None
    assert fair.model.facts == model(OTHER, CUTOFF).facts
    assert fair.note == (
        "the champion (version 3) was trained on data before 2026-01-23 and has seen 5 of the 14 days that judge; its "
        "recipe, trained before 2026-01-18 like the challenger, is judged in its place"
    )


def test_the_challengers_own_recipe_is_not_trained_twice() -> None:
    fair, _ = found(CUTOFF + timedelta(days=13), SETTINGS, not_asked)
    assert fair.same_recipe
    assert fair.model is not None
    assert fair.model.facts == model(SETTINGS, CUTOFF).facts
    assert "13 of the 14 days" in fair.note


@pytest.mark.parametrize("days", [14, 15])
def test_the_challengers_own_recipe_without_a_newer_day_is_compared_like_any_other(days: int) -> None:
    """Nothing would be new: the gate finds no difference and proposes nothing."""
    fair, _ = found(CUTOFF + timedelta(days=days), SETTINGS)
    assert (fair.judged_by, fair.same_recipe) == ("recipe", False)


def test_a_recipe_that_cannot_be_trained_leaves_the_days_that_the_champion_has_not_seen() -> None:
    def refuse(settings: ModelSettings) -> ItemFactors:
        raise NotEnoughDataError("it does not fit")

    seen = CUTOFF + timedelta(days=5)
    for settings, why in ((OTHER, "its recipe can no longer be trained (it does not fit)"), (None, "are not stored")):
        fair, itself = found(seen, settings, refuse)
        assert (fair.judged_by, fair.since, fair.model) == ("unseen days", seen, itself)
        assert not fair.same_recipe
        assert why in fair.note
        assert "all models are judged on the days from 2026-01-23 on" in fair.note


def test_a_champion_from_after_the_holdout_leaves_no_day() -> None:
    fair, _ = found(AS_OF + timedelta(days=9), None)
    assert fair.since == AS_OF
    assert "has seen 14 of the 14 days" in fair.note


def test_an_anchor_that_is_the_champions_recipe_is_trained_once() -> None:
    fair, _ = found(CUTOFF + timedelta(days=5), OTHER)
    models = {"challenger": model(SETTINGS, CUTOFF), **fair.contender}
    anchor = find_anchor(champion(CUTOFF + timedelta(days=5)), models, not_asked)
    assert anchor.model is fair.model
    itself = {"challenger": model(SETTINGS, CUTOFF), "champion": model(OTHER, CUTOFF, "old")}
    again = find_anchor(champion(CUTOFF), itself, train)
    assert again.model is not itself["champion"]
