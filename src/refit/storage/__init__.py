"""Storage: object stores, requests to them, and retries until the outcome of a request is known."""
