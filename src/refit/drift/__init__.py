"""Drift: profiles of the data a model learnt from, and how far the newest days have moved away from them."""
