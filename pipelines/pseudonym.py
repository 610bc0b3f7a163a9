"""
Step: find a person's pseudonym.

Reads:  the key of the shop's pseudonyms.
Writes: nothing.
Re-run: safe.
"""

from __future__ import annotations

from typing import Any

from pipelines import wiring


def main(id: str) -> dict[str, Any]:
    """Return the pseudonym under which the person *id* appears in lake and lists."""
    return {"id": id, "pseudonym": wiring.pseudonym_key().pseudonym(id)}
