"""Lists: what is recommended to people, made and written by blocks, counted, and judged before readers see it."""
