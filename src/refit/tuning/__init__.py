"""Tuning: tries settings on cut-offs before the training cutoff; data at or after it are never read."""

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
