"""Ranking metrics against other people's implementations and at their edges."""

from __future__ import annotations

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score

from refit.evaluation.metrics import (
    METRICS,
    average_precision,
    capped_recall,
    hit_rate,
    ndcg,
    precision,
    recall,
    reciprocal_rank,
)

K = 10
CATALOGUE = 40
PEOPLE = 200


def ranked_catalogues() -> tuple[np.ndarray, np.ndarray]:
    """Return 200 rankings of 40 items as zeros and ones, best rank first, and how many are relevant: 1 to 15."""
    generator = np.random.default_rng(5)
    relevant = generator.integers(1, 16, PEOPLE)
    ranked = [generator.permutation(np.arange(CATALOGUE) < n) for n in relevant]
    return np.array(ranked, dtype=float), relevant


RANKED, RELEVANT = ranked_catalogues()
HITS = RANKED[:, :K]


@pytest.fixture(scope="module")
def trec() -> dict[str, np.ndarray]:
    """What the reference implementation of TREC says of the same rankings."""
    wanted = {str(n): {str(i): int(hit) for i, hit in enumerate(row)} for n, row in enumerate(RANKED)}
    ranking = {str(n): {str(i): float(-i) for i in range(K)} for n in range(PEOPLE)}
    names = {"ndcg_cut", "map_cut", "recall", "P", "recip_rank", "success"}
    found = pytrec_eval.RelevanceEvaluator(wanted, names).evaluate(ranking)
    return {name: np.array([found[str(n)][name] for n in range(PEOPLE)]) for name in found["0"]}


@pytest.mark.parametrize(
    ("metric", "theirs"),
    [
        ("recall", "recall_10"),
        ("ndcg", "ndcg_cut_10"),
        ("precision", "P_10"),
        ("mrr", "recip_rank"),
        ("hit_rate", "success_10"),
    ],
)
def test_each_metric_equals_that_of_trec(trec: dict[str, np.ndarray], metric: str, theirs: str) -> None:
    assert METRICS[metric](HITS, RELEVANT) == pytest.approx(trec[theirs], abs=1e-12)


@pytest.mark.parametrize(("metric", "theirs"), [("capped_recall", "recall_10"), ("map", "map_cut_10")])
def test_trec_divides_by_all_that_is_relevant_even_where_a_list_cannot_hold_it(
    trec: dict[str, np.ndarray], metric: str, theirs: str
) -> None:
    """Ours divide by min(k, relevant); nothing else differs."""
    ours = METRICS[metric](HITS, RELEVANT) * np.minimum(K, RELEVANT) / RELEVANT
    assert ours == pytest.approx(trec[theirs], abs=1e-12)


def test_ndcg_equals_that_of_scikit_learn() -> None:
    scores = np.arange(CATALOGUE, 0, -1)
    expected = [ndcg_score([row], [scores], k=K) for row in RANKED]
    assert ndcg(HITS, RELEVANT) == pytest.approx(expected, abs=1e-12)


def test_average_precision_of_a_list_that_holds_everything_equals_that_of_scikit_learn() -> None:
    """Only then do both divide by the number of relevant items."""
    expected = [average_precision_score(row, np.arange(CATALOGUE, 0, -1)) for row in RANKED]
    assert average_precision(RANKED, RELEVANT) == pytest.approx(expected, abs=1e-12)


def test_average_precision_of_a_short_list_is_the_sum_written_out() -> None:
    for row, wanted, found in zip(RANKED, RELEVANT, average_precision(HITS, RELEVANT), strict=True):
        total = sum(sum(row[:rank]) / rank for rank in range(1, K + 1) if row[rank - 1])
        assert found == pytest.approx(total / min(K, wanted), abs=1e-12)


def test_recall_and_precision_count_the_same_hits() -> None:
    found = HITS.sum(axis=1)
    assert recall(HITS, RELEVANT).tolist() == (found / RELEVANT).tolist()
    assert capped_recall(HITS, RELEVANT).tolist() == (found / np.minimum(K, RELEVANT)).tolist()
    assert precision(HITS, RELEVANT).tolist() == (found / K).tolist()
    assert hit_rate(HITS, RELEVANT).tolist() == (found > 0).tolist()


@pytest.mark.parametrize("relevant", [1, K, 3 * K])
@pytest.mark.parametrize("name", sorted(METRICS))
def test_a_perfect_list_has_1_and_a_list_without_a_hit_has_0(name: str, relevant: int) -> None:
    """With fewer relevant items than places precision cannot reach 1, with more recall cannot."""
    hits = np.zeros((2, K))
    hits[0, : min(K, relevant)] = 1
    reachable = min(K, relevant)
    best = {"precision": reachable / K, "recall": reachable / relevant}.get(name, 1.0)
    assert METRICS[name](hits, np.array([relevant, relevant])) == pytest.approx([best, 0.0], abs=1e-15)


@pytest.mark.parametrize("name", ["ndcg", "map", "mrr"])
def test_a_hit_counts_more_the_earlier_it_comes(name: str) -> None:
    values = METRICS[name](np.eye(K), np.full(K, 2)).tolist()
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == K


def test_a_single_hit_at_rank_3_by_hand() -> None:
    """DCG 1/log2(4) = 1/2 against the ideal 1/log2(2) + 1/log2(3); precision at rank 3 is 1/3, over 2 relevant."""
    hits, two = np.array([[0.0, 0.0, 1.0, 0.0]]), np.array([2])
    assert ndcg(hits, two)[0] == pytest.approx(0.5 / (1 + 1 / np.log2(3)))
    assert average_precision(hits, two)[0] == pytest.approx(1 / 6)
    assert recall(hits, two)[0] == 0.5
    assert precision(hits, two)[0] == 0.25
    assert reciprocal_rank(hits, two)[0] == pytest.approx(1 / 3)


@given(st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=8), st.integers(1, 6))
@settings(max_examples=50)
def test_people_are_independent_and_every_value_is_a_share(rows: list[list[bool]], k: int) -> None:
    """Asked alone, a person has the same values; booleans and numbers say the same."""
    hits = np.array(rows)[:, :k]
    relevant = np.maximum(np.array(rows).sum(axis=1), 1)
    for measure in METRICS.values():
        together = measure(hits, relevant)
        assert ((together >= 0) & (together <= 1 + 1e-12)).all()
        alone = [measure(hits[n : n + 1].astype(float), relevant[n : n + 1])[0] for n in range(len(rows))]
        assert together == pytest.approx(alone, abs=1e-12)
