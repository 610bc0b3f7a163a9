"""Ranking: people are folded into a model, and the best items of a shelf are found for them, exactly."""
