"""Drift: profiles of the data that a model was trained on, and how far the newest days have moved from them."""
