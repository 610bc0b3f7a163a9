"""A shop's behaviour: frozen, typed, with its limits inside."""

from __future__ import annotations

from refit.config.approval import Approvals
from refit.config.cleaning import Bots, Cleaning, Normalise, Outliers
from refit.config.data import Calendar, Events, Validation
from refit.config.drift import Drift
from refit.config.evaluation import Evaluation, Promotion, RefitGuards
from refit.config.kinds import Blend, ClosedForm, Models, ModelSettings, Neighbours, RepeatWeight
from refit.config.list_gate import ListGate
from refit.config.lists import Boost, Lists
from refit.config.model import Als, Confidence, Training
from refit.config.retention import Retention
from refit.config.shop import FirstRun, Shop, load_shop
from refit.config.sources import Source
from refit.config.tuning import Range, Tuning

__all__ = [
    "Als",
    "Approvals",
    "Blend",
    "Boost",
    "Bots",
    "Calendar",
    "Cleaning",
    "ClosedForm",
    "Confidence",
    "Drift",
    "Evaluation",
    "Events",
    "FirstRun",
    "ListGate",
    "Lists",
    "ModelSettings",
    "Models",
    "Neighbours",
    "Normalise",
    "Outliers",
    "Promotion",
    "Range",
    "RefitGuards",
    "RepeatWeight",
    "Retention",
    "Shop",
    "Source",
    "Training",
    "Tuning",
    "Validation",
    "load_shop",
]
