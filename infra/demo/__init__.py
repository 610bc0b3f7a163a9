"""The whole loop on one machine, shown to a person."""
