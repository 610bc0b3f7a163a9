"""The objective after each iteration: what it is, that it falls, and that watching it changes nothing."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse import csr_array

from refit.adapters import implicit as library
from refit.adapters.implicit import ImplicitLibrary
from refit.config import Als

PEOPLE, ITEMS = 70, 30


@pytest.fixture(scope="module")
def confidences() -> csr_array:
    generator = np.random.default_rng(2)
    dense = (generator.random((PEOPLE, ITEMS)) < 0.25) * generator.uniform(0.2, 4.0, (PEOPLE, ITEMS))
    dense[:, 0] = 1.0
    dense[0, :] = 1.0
    return csr_array(dense)


@pytest.mark.parametrize("worth", [0, 64, 10_000], ids=["never alone", "some alone", "always alone"])
@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_it_is_the_sum_that_als_minimises(
    confidences: csr_array, exponent: float, worth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Written out over all pairs with the full matrix; the people are solved for the last items but one.

    Rows of one strength may be solved by a call of their own or with all others: the strengths are the same.
    """
    monkeypatch.setattr(library, "_WORTH_A_CALL", worth)
    als = Als(
        rank=4, iterations=6, alpha=3.0, regularisation=0.2, frequency_exponent=exponent, solver="cholesky", seed=1
    )
    told: list[float] = []
    before = ImplicitLibrary(1).factorise(confidences, als.model_copy(update={"iterations": 5})).astype(float)
    y = ImplicitLibrary(1).factorise(confidences, als, watch=told.append).astype(float)
    r = confidences.toarray()
    c, p = 1 + 3.0 * r, (r > 0).astype(float)
    strengths = [0.2 * p.sum(axis=axis) ** exponent for axis in (1, 0)]
    x = np.stack(
        [
            np.linalg.solve((before.T * c[n]) @ before + strengths[0][n] * np.eye(4), before.T @ (c[n] * p[n]))
            for n in range(PEOPLE)
        ]
    )
    total = (c * (p - x @ y.T) ** 2).sum()
    total += strengths[0] @ (x**2).sum(axis=1) + strengths[1] @ (y**2).sum(axis=1)
    assert len(told) == 6
    assert told[-1] == pytest.approx(total / c[r > 0].sum(), rel=1e-4)


@pytest.mark.parametrize("solver", ["cholesky", "conjugate_gradient"])
def test_it_falls_with_every_iteration(confidences: csr_array, solver: str) -> None:
    told: list[float] = []
    ImplicitLibrary(1).factorise(confidences, Als(rank=4, iterations=8, solver=solver, seed=1), watch=told.append)
    assert told[0] < 1
    assert all(after <= before * (1 + 1e-6) for before, after in pairwise(told))


def test_of_many_people_it_is_estimated_from_some(confidences: csr_array, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the people tell it to within a few percent, and it falls for them too."""
    als = Als(rank=4, iterations=4, solver="cholesky", seed=1)
    all_of_them: list[float] = []
    ImplicitLibrary(1).factorise(confidences, als, watch=all_of_them.append)
    monkeypatch.setattr(library, "_PEOPLE_WATCHED", PEOPLE // 2)
    some: list[float] = []
    ImplicitLibrary(1).factorise(confidences, als, watch=some.append)
    assert some == pytest.approx(all_of_them, rel=0.05)
    assert some != all_of_them


def test_neither_watching_nor_the_number_of_threads_changes_a_bit(
    confidences: csr_array, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With nine people at a time there are eight sums; their order is that of the people."""
    monkeypatch.setattr(library, "_PEOPLE_AT_ONCE", 9)
    als = Als(rank=4, iterations=3, seed=1)
    alone, together = [], []
    one = ImplicitLibrary(1).factorise(confidences, als, watch=alone.append)
    many = ImplicitLibrary(4).factorise(confidences, als, watch=together.append)
    assert alone == together
    assert (one == many).all()
    assert (one == ImplicitLibrary(2).factorise(confidences, als)).all()
