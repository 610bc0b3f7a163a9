"""The closed form of large catalogues: equal to the whole one if nothing is left out, else to plain loops."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array

from refit.config import ClosedForm
from refit.errors import NotEnoughDataError
from refit.training import restricted_closed_form
from refit.training.closed_form import closed_form_bytes, closed_form_links
from refit.training.matrices import PairMatrix
from refit.training.restricted_closed_form import restricted_links


def pairs(people: int, items: int, *, seed: int = 1, density: float = 0.2) -> PairMatrix:
    generator = np.random.default_rng(seed)
    values = (generator.random((people, items)) < density) * generator.random((people, items))
    matrix = csr_array(values)
    matrix.sort_indices()
    return PairMatrix(items=pa.array([f"i{n:05d}" for n in range(items)]), confidences=matrix)


def dense(found: object) -> NDArray[np.float64]:
    count = len(found.starts) - 1  # type: ignore[attr-defined]
    parts = found.values, found.targets, found.starts  # type: ignore[attr-defined]
    return np.asarray(csr_array(parts, shape=(count, count)).toarray(), dtype=np.float64)


@settings(max_examples=30)
@given(
    st.integers(40, 90),
    st.integers(2, 12),
    st.integers(0, 1_000),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([0.5, 0.8]),
)
def test_with_all_other_items_as_neighbours_it_is_the_closed_form(
    people: int, items: int, seed: int, power: float, density: float
) -> None:
    given_pairs = pairs(people, items, seed=seed, density=density)
    had = (given_pairs.confidences.toarray() > 0).astype(float)
    assume(bool((had.T @ had > 0).all()))
    whole = ClosedForm(regularisation=2.0, links=items, power=power)
    near = whole.model_copy(update={"max_items": 1, "neighbourhood": items})
    assert dense(closed_form_links(given_pairs, near)) == pytest.approx(
        dense(closed_form_links(given_pairs, whole)), abs=1e-6
    )


def by_loops(given_pairs: PairMatrix, most: int, regularisation: float, held: int = 30) -> NDArray[np.float64]:
    """Return the weights item by item, from dense arrays; rows are past items, of which *held* counts are known."""
    x = np.sqrt(given_pairs.confidences.toarray())
    gram = x.T @ x
    count = len(gram)
    cosines = gram / np.sqrt(np.outer(np.diag(gram), np.diag(gram)))
    np.fill_diagonal(cosines, 0.0)
    ranked = [np.argsort(-row, kind="stable") for row in cosines]
    ranked = [items[cosines[n, items] > 0] for n, items in enumerate(ranked)]
    near, known = ([np.sort(items[:first]) for items in ranked] for first in (most, max(held, most)))
    weights = np.zeros((count, count))
    for item, others in enumerate(near):
        held = np.zeros((len(others), len(others)))
        for a, one in enumerate(others):
            for b, other in enumerate(others):
                if one == other or one in known[other] or other in known[one]:
                    held[a, b] = gram[one, other]
        weights[others, item] = np.linalg.solve(held + regularisation * np.eye(len(others)), gram[others, item])
    return weights


@pytest.mark.parametrize(("most", "held"), [(1, 1), (3, 3), (3, 8), (3, 30), (10, 1), (10, 14), (10, 30)])
@pytest.mark.parametrize("at_once", [1, 7, 256])
def test_a_neighbourhood_is_that_of_plain_loops(
    most: int, held: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restricted_closed_form, "_ROWS_AT_ONCE", at_once)
    given_pairs = pairs(80, 30)
    chosen = ClosedForm(regularisation=5.0, links=30, neighbourhood=most, held=held)
    found = restricted_links(given_pairs, chosen)
    assert dense(found) == pytest.approx(by_loops(given_pairs, most, 5.0, held), abs=1e-6)
    assert found.power == 0.5


def test_of_each_past_item_the_strongest_links_are_kept() -> None:
    given_pairs = pairs(80, 30)
    all_links = dense(restricted_links(given_pairs, ClosedForm(regularisation=5.0, links=30, neighbourhood=10)))
    few = dense(restricted_links(given_pairs, ClosedForm(regularisation=5.0, links=4, neighbourhood=10)))
    for row, kept in zip(all_links, few, strict=True):
        strongest = np.sort(np.abs(row))[::-1][:4]
        assert np.sort(np.abs(kept[kept != 0]))[::-1] == pytest.approx(strongest[strongest > 0])
        assert (kept[kept != 0] == row[kept != 0]).all()


def test_an_item_that_nobody_has_with_another_has_no_link() -> None:
    matrix = csr_array(np.array([[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    found = dense(restricted_links(PairMatrix(pa.array(["a", "b", "c"]), matrix), ClosedForm(neighbourhood=2)))
    assert (found[2] == 0).all()
    assert (found[:, 2] == 0).all()
    assert found[0, 1] == pytest.approx(2 / 202)


def test_where_the_held_entries_are_not_positive_definite_the_whole_matrix_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given_pairs, chosen = pairs(80, 30), ClosedForm(regularisation=5.0, links=30, neighbourhood=6)
    asked = restricted_closed_form._gram_of

    def spoilt(*arguments: object) -> NDArray[np.float64]:
        return asked(*arguments) - 1_000.0  # type: ignore[arg-type]

    monkeypatch.setattr(restricted_closed_form, "_gram_of", spoilt)
    found = dense(restricted_links(given_pairs, chosen))
    x = np.sqrt(given_pairs.confidences.toarray())
    for item in range(30):
        near = np.flatnonzero(found[:, item])
        exact = np.linalg.solve(x[:, near].T @ x[:, near] + 5.0 * np.eye(len(near)), x[:, near].T @ x[:, item])
        assert found[near, item] == pytest.approx(exact, abs=1e-6)


def test_a_neighbourhood_that_is_singular_all_the_same_is_refused() -> None:
    matrix = csr_array(np.ones((3, 3)))
    with pytest.raises(NotEnoughDataError, match=r"2 items is singular; raise closed_form\.regularisation"):
        restricted_links(
            PairMatrix(pa.array(["a", "b", "c"]), matrix), ClosedForm(regularisation=1e-300, neighbourhood=2)
        )


def test_above_max_items_a_catalogue_is_restricted_and_not_refused() -> None:
    given_pairs = pairs(80, 30)
    chosen = ClosedForm(regularisation=5.0, links=30, neighbourhood=3, max_items=29)
    assert dense(closed_form_links(given_pairs, chosen)) == pytest.approx(by_loops(given_pairs, 3, 5.0), abs=1e-6)
    at_limit = closed_form_links(given_pairs, chosen.model_copy(update={"max_items": 30}))
    assert len(at_limit.values) == 30 * 29


PROGRAM = """
import re
import numpy as np, pyarrow as pa
from scipy.sparse import csr_array
from refit.config import ClosedForm
from refit.training.closed_form import closed_form_bytes, closed_form_links
from refit.training.matrices import PairMatrix

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024

items, people, each = 20_000, 5_000, 60
chance = np.random.default_rng(1)
columns = (chance.integers(0, items, (people, 1)) + chance.integers(0, 400, (people, each))) % items
rows = np.repeat(np.arange(people), each)
matrix = csr_array((np.ones(people * each), (rows, columns.ravel())), shape=(people, items))
matrix.sum_duplicates()
settings = ClosedForm(links=50, neighbourhood=50, held=150)
small = csr_array(matrix[:, :300])
first = PairMatrix(pa.array([str(n) for n in range(300)]), small)
closed_form_links(first, settings.model_copy(update={"max_items": 1}))
before = peak()
found = closed_form_links(PairMatrix(pa.array([str(n) for n in range(items)]), matrix), settings)
print(peak() - before, closed_form_bytes(items, settings), len(found.values))
"""


def test_the_memory_of_a_large_catalogue_is_what_the_estimate_says_and_not_its_square() -> None:
    """A process of its own: 20,000 items would need 3.2 GB in one matrix."""
    told = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True).stdout
    peak, estimate, links = (int(number) for number in told.split())
    assert estimate == closed_form_bytes(20_000, ClosedForm(neighbourhood=50, held=150)) < 8 * 20_000**2 / 20
    assert estimate / 4 < peak < estimate * 1.25
    assert links > 20_000
