"""Landing: suites check a day of raw events, then it is cleaned, staged and published in one commit."""
