"""The schedules find faults: each of the planted ones within 500 of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.planted_faults import FAULTS, Fault, plant

import refit.publication
from refit.publication import publish_batch
from refit.testing.schedules import Schedule

SCHEDULES = 500

_FOUND: dict[str, tuple[int, str]] = {}


@pytest.fixture(scope="module", autouse=True)
def table() -> Iterator[None]:
    """Print which schedule found which fault, when all of them are through; `pytest -s` shows it."""
    yield
    width = max(len(name) for name in FAULTS)
    for name, (seed, violation) in _FOUND.items():
        sys.stdout.write(f"{name:<{width}}  schedule {seed:>3}  {violation}\n")


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(name: str) -> None:
    protocols = plant(FAULTS[name])
    for seed in range(SCHEDULES):
        violations = Schedule(seed, protocols=protocols).play().violations
        if violations:
            _FOUND[name] = (seed, violations[0])
            return
    pytest.fail(f"{SCHEDULES} schedules did not notice: {name}")


def test_a_fault_that_no_longer_fits_the_source_is_told() -> None:
    with pytest.raises(AssertionError, match=r"'no such line' is not found exactly once in pointer_protocol\.py"):
        plant(Fault("pointer_protocol", "no such line", ""))


def test_planting_leaves_the_product_as_it_is() -> None:
    before = publish_batch.swing
    source = Path(publish_batch.__file__).read_text(encoding="utf-8")
    protocols = plant(FAULTS["no fence"])
    assert protocols.publishing is not publish_batch.publishing
    assert refit.publication.publish_batch.swing is before
    assert Path(publish_batch.__file__).read_text(encoding="utf-8") == source
