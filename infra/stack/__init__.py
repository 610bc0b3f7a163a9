"""The embedded stack: which services run, in which order they start, and what they keep."""
