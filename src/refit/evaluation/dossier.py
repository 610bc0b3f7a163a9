"""Dossiers: the stored results of a judgement, for machines and for the approver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from refit.config import Shop
from refit.evaluation.comparison import Comparison
from refit.evaluation.dossier_page import Dossier, dossier_page
from refit.evaluation.evaluate import Judgement
from refit.evaluation.holdout_lists import CHALLENGER
from refit.model.item_factors import ItemFactors
from refit.verdicts import Verdict


def metrics_of(compared: Comparison) -> dict[str, float]:
    """Return every mean under its tracker name: `challenger.ndcg_at_20`, `champion.coverage`, `challenger.rmse`."""
    found = {
        f"{model}.{key.replace('@', '_at_')}": interval.mean
        for model, metrics in compared.metrics.items()
        for key, interval in metrics.items()
    }
    if compared.everybody:
        found |= {
            f"{model}.everybody.{key.replace('@', '_at_')}": value
            for model, metrics in compared.everybody.metrics.items()
            for key, value in metrics.items()
        }
    for model, lists in compared.lists.items():
        found |= {f"{model}.{name}": value for name, value in asdict(lists).items() if value is not None}
    if compared.ratings:
        for model, errors in compared.ratings.errors.items():
            found |= {f"{model}.{name}": interval.mean for name, interval in errors.items()}
    return found


def record_of(
    verdict: Verdict, compared: Comparison, champion: int | None, *, champion_judged_by: str
) -> dict[str, Any]:
    """
    Return the verdict with all measurements, as plain JSON values.

    *champion_judged_by* is that of `refit.evaluation.fair_champion.FairChampion`.
    """
    return {
        **verdict.as_record(),
        "metrics": compared.means(),
        "champion": champion,
        "champion_judged_by": champion_judged_by,
        "measured": compared.as_record(),
    }


def page_of(
    verdict: Verdict,
    found: Judgement,
    models: Mapping[str, ItemFactors],
    shop: Shop,
    *,
    counts: Mapping[str, int],
    champion: int | None,
    trials: Sequence[Mapping[str, Any]],
    drift: Mapping[str, Any],
    stopped: str = "",
    offered: str = "",
) -> bytes:
    """
    Return the page.

    *counts* describe the training set, *trials* the tuning and *stopped* why it ended early, *drift* the drift check;
    *offered* says which model a person is asked about, if it is not the one on the page.
    """
    challenger = models[CHALLENGER]
    page = dossier_page(
        Dossier(
            shop=shop.title,
            verdict=verdict,
            compared=found.compared,
            judged=found.judged,
            policy=shop.promotion,
            champion=champion,
            facts={**challenger.facts, **counts},
            people=challenger.people.tolist(),
            examples=found.examples,
            notes=found.notes,
            tuning=trials,
            drift=drift,
            stopped=stopped,
            offered=offered,
        )
    )
    return page.encode()
