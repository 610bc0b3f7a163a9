"""A shop's behaviour: frozen, typed, with its limits inside."""

from __future__ import annotations

from refit.config.cleaning import Bots, Cleaning, Normalise, Outliers
from refit.config.data import Calendar, Events, Validation
from refit.config.drift import Drift
from refit.config.model import Als, Confidence, Evaluation, Lists, Promotion, Training
from refit.config.shop import FirstRun, Shop, load_shop
from refit.config.sources import Source

__all__ = [
    "Als",
    "Bots",
    "Calendar",
    "Cleaning",
    "Confidence",
    "Drift",
    "Evaluation",
    "Events",
    "FirstRun",
    "Lists",
    "Normalise",
    "Outliers",
    "Promotion",
    "Shop",
    "Source",
    "Training",
    "Validation",
    "load_shop",
]
