"""Training: several kinds of models and engines behind one call, all producing the same kind of artifact."""

from __future__ import annotations

from refit.training.engines import Engine, choose_engine, train
from refit.training.matrices import PairMatrix, Size, collect_pairs, measure
from refit.training.stored_pairs import StoredPairs

__all__ = ["Engine", "PairMatrix", "Size", "StoredPairs", "choose_engine", "collect_pairs", "measure", "train"]
