"""Clocks: the days of a shop by its own clock, in Python and in Spark."""
