"""Candidates: which items may be recommended, to whom they are popular, and by which rules."""
