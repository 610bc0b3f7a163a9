"""Tuning: settings are tried on cut-offs before the training cutoff, and nothing at or after it is ever read."""

from __future__ import annotations

from refit.tuning.folds import Fold, Folds
from refit.tuning.study import Study, Trial, TrialStore, Tuned
from refit.tuning.trial_store import ListedTrials, StoredTrials
from refit.tuning.warm_start import study_digest, warm_starts

__all__ = [
    "Fold",
    "Folds",
    "ListedTrials",
    "StoredTrials",
    "Study",
    "Trial",
    "TrialStore",
    "Tuned",
    "study_digest",
    "warm_starts",
]
