"""The closed-form item model: its memory is what the estimate says, and what does not fit is refused before."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_array

from refit.config import Als, Blend, ClosedForm, Confidence, ModelSettings, Neighbours, RepeatWeight
from refit.errors import NotEnoughDataError
from refit.model.item_factors import ItemFactors
from refit.training import Size, choose_engine, closed_form
from refit.training.closed_form import closed_form_bytes, closed_form_links
from refit.training.engines import complete, links_bytes
from refit.training.matrices import PairMatrix

SETTINGS = ClosedForm(regularisation=3.0, links=40, power=0.5)


def pairs(people: int, items: int, *, seed: int = 1) -> PairMatrix:
    generator = np.random.default_rng(seed)
    given = (generator.random((people, items)) < 0.2) * generator.random((people, items))
    matrix = csr_array(given)
    matrix.sort_indices()
    return PairMatrix(items=pa.array([f"i{n:05d}" for n in range(items)]), confidences=matrix)


def model_settings(kind: str, **als: object) -> ModelSettings:
    return ModelSettings(
        kind=kind,
        als=Als(seed=1, **als),
        neighbours=Neighbours(),
        closed_form=SETTINGS,
        habit=RepeatWeight(),
        blend=Blend(),
        confidence=Confidence(),
        weights={"purchase": 1.0},
    )


@pytest.mark.parametrize("at_once", [1, 7, 60, 1_000])
def test_the_links_are_those_of_the_formula_however_many_rows_are_made_together(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closed_form, "_AT_ONCE", at_once)
    given = pairs(200, 60)
    x = np.sqrt(given.confidences.toarray())
    p = np.linalg.inv(x.T @ x + 3.0 * np.eye(60))
    b = np.eye(60) - p / np.diag(p)
    found = closed_form_links(given, ClosedForm(regularisation=3.0, links=60, power=0.5))
    dense = csr_array((found.values, found.targets, found.starts), shape=(60, 60)).toarray()
    assert dense == pytest.approx(b - np.diag(np.diag(b)), abs=1e-6)


PROGRAM = """
import re, sys
import numpy as np, pyarrow as pa
from scipy.sparse import csr_array
from refit.config import ClosedForm
from refit.training.closed_form import closed_form_bytes, closed_form_links
from refit.training.matrices import PairMatrix

def peak():  # not getrusage: its peak is inherited from the process that started this one
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024

n = int(sys.argv[1])
rows, columns = np.repeat(np.arange(400), n // 5), np.tile(np.arange(n).reshape(5, -1), (80, 1)).ravel()
matrix = csr_array((np.ones(len(rows)), (rows, columns)), shape=(400, n))
given = PairMatrix(items=pa.array([str(k) for k in range(n)]), confidences=matrix)
settings = ClosedForm(links=50)
closed_form_links(PairMatrix(items=given.items[:50], confidences=csr_array(matrix[:, :50])), settings)
before = peak()
closed_form_links(given, settings)
print(peak() - before, closed_form_bytes(n, settings))
"""


def test_the_memory_is_that_of_one_matrix_as_the_estimate_says() -> None:
    """A process of its own, of whose peak everything before is taken off: 8 bytes for each pair of items, not 33."""
    told = subprocess.run([sys.executable, "-c", PROGRAM, "2000"], check=True, capture_output=True, text=True).stdout
    peak, estimate = (int(number) for number in told.split())
    assert 8 * 2_000**2 * 0.9 < peak < estimate * 1.25
    assert estimate < 17 * 2_000**2


def test_what_does_not_fit_is_refused_before_a_matrix_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(*_: object) -> None:
        raise AssertionError("memory was asked for")

    monkeypatch.setattr(closed_form, "_gram", made)
    given = pairs(50, 400)
    chosen = model_settings("closed_form", local_memory_gb=0.001)
    nothing = ItemFactors(
        items=given.items,
        factors=np.empty((400, 0), dtype=np.float32),
        people=given.people_per_item,
        alpha=1.0,
        regularisation=1.0,
        facts={},
    )
    with pytest.raises(NotEnoughDataError, match=r"need an estimated 0\.00\d+ GB there for closed_form; 0\.001 GB"):
        complete(nothing, given, chosen)


def test_auto_counts_the_links_that_are_made_beside_the_factors() -> None:
    """10,000 items: pairs and factors need 0.3 GB, the matrix of their links 0.8 GB more."""
    size = Size(pairs=1_000_000, people=50_000, items=10_000)
    chosen = model_settings("blend", local_memory_gb=0.6)
    links = links_bytes(size, chosen)
    assert links == closed_form_bytes(10_000, SETTINGS) > 8 * 10_000**2
    assert choose_engine(size, chosen.als).name == "implicit"
    assert choose_engine(size, chosen.als, links=links).name == "mllib"
    assert links_bytes(size, model_settings("als")) == links_bytes(size, model_settings("neighbours")) == 0
