"""Landing: a day of raw events is judged by suites, cleaned, staged, and made visible all at once."""
