"""Ranking: folds people into a model and finds the exact best candidate items for them."""
