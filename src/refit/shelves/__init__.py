"""Shelves: what may be recommended on one day, to whom it is popular, and by which rules."""
