"""Exact top-k for many people against sorting every score in double precision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from refit.candidates.candidate_set import CandidateSet
from refit.errors import ModelDamagedError
from refit.model.item_factors import ItemFactors
from refit.model.item_links import ItemItemWeights
from refit.ranking.flat_histories import Histories
from refit.ranking.fold_in import fold_in_people
from refit.ranking.ranker import Best, Ranker, best, top_k


def links_of(dense: NDArray[np.float64], power: float = 1.0) -> ItemItemWeights:
    """Return the entries of *dense* that are not 0 as links."""
    sources, targets = np.nonzero(dense)
    starts = np.concatenate([[0], np.cumsum(np.bincount(sources, minlength=len(dense)))])
    values = dense[sources, targets].astype(np.float32)
    return ItemItemWeights(starts.astype(np.int64), targets.astype(np.int32), values, power)


def histories_of(people: list[list[tuple[int, float, bool]]]) -> Histories:
    """Return people u00, u01, ... from their (position, confidence, bought)."""
    flat = [entry for person in people for entry in person]
    return Histories(
        user_ids=pa.array([f"u{n:02d}" for n in range(len(people))], pa.string()),
        offsets=np.cumsum([0, *map(len, people)]),
        positions=np.array([entry[0] for entry in flat], dtype=np.int64),
        confidences=np.array([entry[1] for entry in flat], dtype=np.float64),
        bought=np.array([entry[2] for entry in flat], dtype=np.bool_),
    )


def model_of(
    factors: NDArray[np.float32], links: ItemItemWeights | None = None, *, implicit: bool = True
) -> ItemFactors:
    return ItemFactors(
        items=pa.array([f"i{n:04d}" for n in range(len(factors))]),
        factors=factors,
        people=np.arange(len(factors), 0, -1),
        alpha=1.5,
        regularisation=0.1,
        facts={},
        implicit=implicit,
        links=links,
    )


Expected = tuple[list[int], NDArray[np.float64]]
"""One person's list, and the score of every item."""


def brute_force(model: ItemFactors, histories: Histories, candidate_set: CandidateSet, k: int) -> list[Expected]:
    """Return what scoring and sorting everything gives, one person after the other."""
    vectors = fold_in_people(model, histories).vectors
    items = len(model.items)
    lists = []
    for person in range(len(histories)):
        history = histories.part(person, person + 1)
        taught = history.confidences > 0
        scores = model.factors.astype(np.float64) @ vectors[person]
        if model.links is not None:
            for position, strength in zip(
                history.positions[taught], model.links.strengths(history.confidences[taught]), strict=True
            ):
                row = slice(model.links.starts[position], model.links.starts[position + 1])
                scores[model.links.targets[row]] += strength * model.links.values[row].astype(np.float64)
        scores = scores * candidate_set.boosts[:items].astype(np.float64)
        shut = ~candidate_set.allowed[:items]
        shut[history.positions[history.bought]] = True
        chosen: list[int] = []
        inside: dict[int, int] = {}
        for position in np.lexsort((np.arange(items), -scores)).tolist() if taught.any() else []:
            group = int(candidate_set.groups[position])
            full = candidate_set.cap is not None and group >= 0 and inside.get(group, 0) >= candidate_set.cap
            if shut[position] or full or len(chosen) == k or (model.rank == 0 and scores[position] <= 0):
                continue
            chosen.append(position)
            inside[group] = inside.get(group, 0) + 1
        lists.append((chosen, scores))
    return lists


def assert_same(found: Best, expected: list[Expected]) -> None:
    """Same scores at every place; another item only where its score is the same up to the last bits."""
    for row, (wanted, scores) in enumerate(expected):
        positions, places = found.positions[row], len(wanted)
        assert (positions[places:] == -1).all()
        assert (found.scores[row][places:] == 0).all()
        assert positions[:places].min(initial=0) >= 0
        assert len(set(positions[:places].tolist())) == places
        np.testing.assert_allclose(found.scores[row][:places], scores[wanted], rtol=2e-7, atol=1e-12)
        exact = scores[positions[:places]]
        # Where sorting put another item, the one found must be as good up to the last bits.
        close = np.abs(exact - scores[wanted]) <= 1e-12 * max(1.0, np.abs(scores).max(initial=0))
        assert ((positions[:places] == wanted) | close).all()


VALUES = st.one_of(
    st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]), st.floats(-3, 3, width=32, allow_subnormal=False), st.just(1e-20)
)


@st.composite
def questions(draw: st.DrawFn) -> tuple[ItemFactors, Histories, CandidateSet, int]:
    """Draw a small model, people, shop rules and k; many ties, boosts of both kinds, negative scores."""
    items, rank = draw(st.integers(1, 14)), draw(st.integers(0, 3))
    factors = draw(st.lists(VALUES, min_size=items * rank, max_size=items * rank))
    links = None
    if rank == 0 or draw(st.booleans()):
        cells = st.sampled_from([0.0, 0.0, 0.0, 0.5, -0.25, 1.0])
        dense = np.array(draw(st.lists(cells, min_size=items * items, max_size=items * items)))
        links = links_of(dense.reshape(items, items), draw(st.sampled_from([0.0, 0.5, 1.0])))
    model = model_of(
        np.array(factors, dtype=np.float32).reshape(items, rank), links, implicit=draw(st.integers(0, 3)) > 0
    )
    entry = st.tuples(st.integers(0, items - 1), st.sampled_from([0.0, 0.5, 1.0, 4.0]), st.booleans())
    people = st.lists(st.lists(entry, max_size=6, unique_by=lambda each: each[0]), min_size=1, max_size=4)
    candidate_set = CandidateSet(
        items=model.items,
        allowed=np.array(draw(st.lists(st.booleans(), min_size=items, max_size=items)), dtype=np.bool_),
        boosts=np.array(draw(st.lists(st.sampled_from([1.0, 2.0, 0.1]), min_size=items, max_size=items)), np.float32),
        groups=np.array(draw(st.lists(st.integers(-1, 2), min_size=items, max_size=items)), np.int32),
        cap=draw(st.sampled_from([None, None, 1, 2])),
    )
    return model, histories_of(draw(people)), candidate_set, draw(st.integers(1, 17))


@settings(max_examples=150)
@given(question=questions())
def test_it_equals_sorting_every_score_in_double_precision(
    question: tuple[ItemFactors, Histories, CandidateSet, int],
) -> None:
    """With links, boosts, caps, negative scores, what was bought, and more asked than there is."""
    model, histories, candidate_set, k = question
    assert_same(best(model, histories, candidate_set, k), brute_force(model, histories, candidate_set, k))


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), rank=st.integers(1, 24), skew=st.floats(0, 2), with_links=st.booleans())
def test_it_is_exact_where_most_items_are_never_looked_at(seed: int, rank: int, skew: float, with_links: bool) -> None:
    """4,000 items whose lengths fall like those of a shop; equal items and near ties among them."""
    generator = np.random.default_rng(seed)
    items, people = 4_000, 12
    factors = generator.normal(size=(items, rank)) * (np.arange(1, items + 1) ** -skew)[:, None]
    factors[::7] = factors[0]
    factors[1::7] *= 1 + 1e-7
    links = None
    if with_links:
        sources, targets = np.divmod(np.unique(generator.integers(0, items * items, 20_000)), items)
        starts = np.concatenate([[0], np.cumsum(np.bincount(sources, minlength=items))])
        links = ItemItemWeights(
            starts, targets.astype(np.int32), generator.normal(size=len(targets)).astype(np.float32)
        )
    model = model_of(factors.astype(np.float32), links)
    candidate_set = replace(
        CandidateSet.plain(model.items, generator.random(items) < 0.9),
        boosts=generator.choice(np.array([1, 1, 1, 3, 0.2], dtype=np.float32), items),
        groups=generator.integers(-1, 30, items).astype(np.int32),
        cap=2 if seed % 3 == 0 else None,
    )
    histories = histories_of(
        [
            [(int(p), float(generator.uniform(0, 3)), bool(generator.random() < 0.7)) for p in row]
            for row in (generator.permutation(items)[: generator.integers(1, 40)] for _ in range(people))
        ]
    )
    assert_same(best(model, histories, candidate_set, 30), brute_force(model, histories, candidate_set, 30))


def test_many_ties_are_settled_in_double_precision() -> None:
    """1,000 items with one and the same vector: more ties than candidates are kept, so the smallest positions win."""
    model = model_of(np.ones((1_000, 2), dtype=np.float32))
    found = best(model, histories_of([[(0, 1.0, True), (5, 1.0, False)]]), CandidateSet.plain(model.items), 8)
    assert found.positions.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8]]


def test_a_model_of_zeros_ranks_by_position() -> None:
    """Whoever is asked: every score is 0."""
    model = model_of(np.zeros((40, 3), dtype=np.float32))
    found = best(model, histories_of([[(0, 1.0, True)], []]), CandidateSet.plain(model.items), 3)
    assert (found.positions.tolist(), found.known.tolist()) == ([[1, 2, 3], [-1, -1, -1]], [True, False])


@pytest.mark.parametrize("scale", [1e-30, 1e-10, 1e10, 1e18])
def test_the_units_of_a_model_do_not_matter(scale: float) -> None:
    """Items of length 1 to 5,000 times *scale*, in one direction: the longest come first, past block after block."""
    lengths = np.random.default_rng(6).permutation(5_000) + 1.0
    model = model_of((lengths[:, None] * np.array([[scale, 0.0]])).astype(np.float32))
    order = np.argsort(-lengths)
    found = best(model, histories_of([[(int(order[0]), 1.0, True)]]), CandidateSet.plain(model.items), 40)
    assert found.positions[0].tolist() == order[1:41].tolist()


def test_a_cap_looks_deeper_until_the_list_is_full() -> None:
    """The 600 best items are of one category, of which a list may show two; the others follow in their order."""
    model = model_of(np.linspace(2, 1, 1_000, dtype=np.float32)[:, None])
    groups = np.where(np.arange(1_000) < 600, 3, np.arange(1_000)).astype(np.int32)
    candidate_set = replace(CandidateSet.plain(model.items), groups=groups, cap=2)
    found = best(model, histories_of([[(999, 1.0, True)]]), candidate_set, 5)
    assert found.positions.tolist() == [[0, 1, 600, 601, 602]]


def test_lists_do_not_depend_on_who_is_ranked_together() -> None:
    """300 people at once and each alone; pieces are small because of the links."""
    generator = np.random.default_rng(8)
    dense = np.where(generator.random((60, 60)) < 0.2, generator.normal(size=(60, 60)), 0.0)
    model = model_of(generator.normal(size=(60, 4)).astype(np.float32), links_of(dense))
    people = [[(int(p), 1.0, True) for p in generator.permutation(60)[: generator.integers(0, 9)]] for _ in range(300)]
    ranker = Ranker(model, CandidateSet.plain(model.items))
    together = ranker.best(histories_of(people), 10)
    for row, person in enumerate(people):
        alone = ranker.best(histories_of([person]), 10)
        assert alone.positions[0].tolist() == together.positions[row].tolist()


def test_a_shelf_of_another_model_is_refused() -> None:
    model = model_of(np.ones((3, 2), dtype=np.float32))
    with pytest.raises(
        ModelDamagedError, match="the candidate set of 2 items was made for another model than this one of 3"
    ):
        Ranker(model, CandidateSet.plain(pa.array(["i0000", "i0001"])))


TIED = st.sampled_from([-2.5, -1.0, 0.0, 0.25, 0.5, 3.0])
ANY = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=300)
@given(
    scores=st.one_of(st.lists(TIED, max_size=30), st.lists(ANY, max_size=30)),
    forbidden=st.sets(st.integers(0, 29)),
    k=st.integers(1, 35),
)
def test_one_row_of_scores_equals_sorting_it(scores: list[float], forbidden: set[int], k: int) -> None:
    """Ties go to the smaller position; when fewer than k are allowed, all of them come."""
    allowed = np.array([place not in forbidden for place in range(len(scores))], dtype=np.bool_)
    ranked = sorted((-float(score), place) for place, score in enumerate(scores) if place not in forbidden)

    found = top_k(np.array(scores, dtype=np.float32), allowed, k)

    assert found.tolist() == [place for _, place in ranked][:k]


def test_nobody_allowed_gives_an_empty_list() -> None:
    assert top_k(np.ones(3, dtype=np.float32), np.zeros(3, dtype=np.bool_), 2).tolist() == []


@pytest.mark.parametrize("k", [1, 499, 500, 501])
def test_a_thousand_equal_scores_come_in_the_order_of_positions(k: int) -> None:
    allowed = np.arange(1_000) % 2 == 1
    assert top_k(np.full(1_000, 0.5, dtype=np.float32), allowed, k).tolist() == list(range(1, 1_000, 2))[:k]


def test_what_was_passed_in_is_left_as_it_was() -> None:
    scores, allowed = np.array([3, 1, 2], dtype=np.float32), np.ones(3, dtype=np.bool_)
    top_k(scores, allowed, 2)
    assert scores.tolist() == [3, 1, 2]
    assert allowed.all()
