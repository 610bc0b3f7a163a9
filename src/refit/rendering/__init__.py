"""Rendering: HTML documents and SVG charts without scripts; knows nothing of what they show."""
