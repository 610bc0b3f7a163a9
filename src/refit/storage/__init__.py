"""Storage: object stores, the requests they answer, and what retries a request until its outcome is known."""
