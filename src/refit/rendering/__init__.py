"""Rendering: HTML documents and SVG charts without scripts, independent of their content."""
