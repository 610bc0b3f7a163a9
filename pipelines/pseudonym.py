"""
Step: find a person's pseudonym.

Reads:  the key of the shop's pseudonyms, the fingerprint of the one with which the lake was landed.
Writes: nothing.
Re-run: safe.
"""

from __future__ import annotations

from typing import Any

from pipelines import wiring
from pipelines.parameters import PersonId


def main(id: PersonId) -> dict[str, Any]:
    """Return the pseudonym under which the person *id* appears in lake and lists."""
    key = wiring.pseudonym_key()
    wiring.lake().require_key(key)
    return {"id": id, "pseudonym": key.pseudonym(id)}
