"""
Step: show the current recommendations of one person.

Reads:  the key of the shop's pseudonyms, the fingerprint of the one with which the lake was landed; `live.json`, the
        index of the live batch and one range of one part file.
Writes: nothing.
Re-run: safe.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pipelines import wiring
from pipelines.parameters import PersonId
from refit.lake.pseudonyms import PseudonymKey
from refit.publication import read_live_person
from refit.storage.object_store import ObjectStore


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """What this step found."""

    id: str
    pseudonym: str
    live: dict[str, Any] | None
    """The row of the live batch; null if it holds no such person."""


def run(id: str, *, key: PseudonymKey, store: ObjectStore) -> Receipt:
    """Return the live list of the person with the shop's id *id*."""
    pseudonym = key.pseudonym(id)
    return Receipt(id=id, pseudonym=pseudonym, live=read_live_person(store, pseudonym))


def main(id: PersonId) -> dict[str, Any]:
    """Read with the real collaborators."""
    key = wiring.pseudonym_key()
    wiring.lake().require_key(key)
    return asdict(run(id, key=key, store=wiring.lists()))
