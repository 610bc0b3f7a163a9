"""Ranking metrics against other people's implementations and at their edges."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, ndcg_score

from refit.metrics import METRICS, average_precision, hit_rate, ndcg, precision, recall

K = 10
CATALOGUE = 40


def ranked_catalogues() -> list[np.ndarray]:
    """Return 200 rankings of 40 items as zeros and ones, best rank first; 1 to 15 of the items are relevant."""
    generator = np.random.default_rng(5)
    rankings = []
    for _ in range(200):
        relevance = np.zeros(CATALOGUE)
        relevance[: generator.integers(1, 16)] = 1
        rankings.append(generator.permutation(relevance))
    return rankings


def test_ndcg_equals_that_of_scikit_learn() -> None:
    for relevance in ranked_catalogues():
        scores = np.arange(CATALOGUE, 0, -1)
        expected = ndcg_score([relevance], [scores], k=K)
        assert ndcg(relevance[:K], int(relevance.sum())) == pytest.approx(expected, abs=1e-12)


def test_average_precision_of_a_list_that_holds_everything_equals_that_of_scikit_learn() -> None:
    """Only then do both divide by the number of relevant items."""
    for relevance in ranked_catalogues():
        scores = np.arange(CATALOGUE, 0, -1)
        expected = average_precision_score(relevance, scores)
        assert average_precision(relevance, int(relevance.sum())) == pytest.approx(expected, abs=1e-12)


def test_average_precision_of_a_short_list_is_the_sum_written_out() -> None:
    for relevance in ranked_catalogues():
        wanted = int(relevance.sum())
        total = 0.0
        for rank in range(1, K + 1):
            if relevance[rank - 1]:
                total += sum(relevance[:rank]) / rank
        assert average_precision(relevance[:K], wanted) == pytest.approx(total / min(K, wanted), abs=1e-12)


def test_recall_and_precision_count_the_same_hits() -> None:
    for relevance in ranked_catalogues():
        wanted = int(relevance.sum())
        found = len([hit for hit in relevance[:K] if hit])
        assert recall(relevance[:K], wanted) == found / min(K, wanted)
        assert precision(relevance[:K], wanted) == found / K
        assert hit_rate(relevance[:K], wanted) == (1.0 if found else 0.0)


@pytest.mark.parametrize("relevant", [1, K, 3 * K])
@pytest.mark.parametrize("name", sorted(METRICS))
def test_a_perfect_list_has_1_and_a_list_without_a_hit_has_0(name: str, relevant: int) -> None:
    """Also with fewer or more relevant items than the list is long; only precision cannot reach 1 with fewer."""
    perfect = np.zeros(K)
    perfect[: min(K, relevant)] = 1
    best = min(K, relevant) / K if name == "precision" else 1.0
    assert METRICS[name](perfect, relevant) == pytest.approx(best, abs=1e-15)
    assert METRICS[name](np.zeros(K), relevant) == 0.0


@pytest.mark.parametrize("name", ["ndcg", "map"])
def test_a_hit_counts_more_the_earlier_it_comes(name: str) -> None:
    values = [METRICS[name](np.eye(K)[rank], 2) for rank in range(K)]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == K


def test_a_single_hit_at_rank_3_by_hand() -> None:
    """DCG 1/log2(4) = 1/2 against the ideal 1/log2(2) + 1/log2(3); precision at rank 3 is 1/3, over 2 relevant."""
    hits = np.array([0.0, 0.0, 1.0, 0.0])
    assert ndcg(hits, 2) == pytest.approx(0.5 / (1 + 1 / np.log2(3)))
    assert average_precision(hits, 2) == pytest.approx(1 / 6)
    assert recall(hits, 2) == 0.5
    assert precision(hits, 2) == 0.25
