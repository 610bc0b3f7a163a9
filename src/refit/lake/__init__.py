"""The lake: immutable landings, the catalogue of what is current, and reading the shop as of an instant."""
