"""Tuning: settings are tried on cut-offs before the training cutoff, and nothing at or after it is ever read."""

from __future__ import annotations

from refit.tuning.folds import Fold, Folds
from refit.tuning.study import Book, Study, Trial, Tuned
from refit.tuning.trial_store import ListedBook, StoredBook
from refit.tuning.warm_start import starts_of, study_digest

__all__ = ["Book", "Fold", "Folds", "ListedBook", "StoredBook", "Study", "Trial", "Tuned", "starts_of", "study_digest"]
