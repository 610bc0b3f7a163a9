"""Judged people with known truth: a challenger that is worse, equal or better than the champion by construction."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from refit.evaluation.cohorts import Described
from refit.evaluation.holdout_lists import CHALLENGER, CHAMPION, POPULARITY, Judged

_K = 20
_ITEMS = 400
_SAME = 0.8
"""Share of people for whom both models hit the same items, as a retrained model mostly agrees with the old one."""
_COUNTRIES = {"Austria": 0.5, "Belgium": 0.2, "Chile": 0.15, "Denmark": 0.1, "Egypt": 0.05}


def planted(people: int, *, gain: float, seed: int, chile: float | None = None) -> Judged:
    """
    Return *people* judged people for whom the challenger hits *gain* more often than the champion.

    Most people have no hits, the rest few; a person's hit rate varies by orders of magnitude and correlates with
    activity; earlier ranks hit more often; both models hit the same items for 4 of 5 people. Popularity hits half as
    often. People come from five countries; *chile* is the gain in one of them, with 15 percent of the people.
    """
    generator = np.random.default_rng(seed)
    ease = generator.gamma(0.4, 1.0, people)
    odds = np.minimum(0.08 * ease[:, None] / (1 + 0.2 * np.arange(_K)), 0.8)
    country = generator.choice(list(_COUNTRIES), people, p=list(_COUNTRIES.values()))
    gains = np.full(people, gain)
    if chile is not None:
        gains[country == "Chile"] = chile
    champion = generator.random(odds.shape) < odds
    same = generator.random(people) < _SAME
    challenger = np.where(same[:, None], champion, generator.random(odds.shape) < odds)
    challenger &= generator.random(odds.shape) >= np.maximum(-gains, 0)[:, None]
    challenger |= generator.random(odds.shape) < odds * np.maximum(gains, 0)[:, None]
    popularity = generator.random(odds.shape) < odds / 2
    hits = {CHALLENGER: challenger, CHAMPION: champion, POPULARITY: popularity}
    most = np.max([found.sum(axis=1) for found in hits.values()], axis=0)
    return Judged(
        k=_K,
        lengths=(_K,),
        users=pa.array([f"person {n:06d}" for n in range(people)]),
        items=pa.array([f"item {n:03d}" for n in range(_ITEMS)]),
        relevant=np.maximum(generator.geometric(0.2, people), most),
        lists={name: _lists(generator, people) for name in hits},
        hits=hits,
        described=Described(
            activity=np.ceil(5 * ease + generator.random(people)).astype(np.int64),
            first_seen_days=generator.exponential(90.0, people),
            segments={"country": pa.array(country)},
        ),
        past=np.full(people, 10.0),
    )


def _lists(generator: np.random.Generator, people: int) -> NDArray[np.int32]:
    """Return lists without repeats: for each person a stretch of a random walk around the catalogue."""
    start = generator.integers(0, _ITEMS, people)
    return ((start[:, None] + np.arange(_K)) % _ITEMS).astype(np.int32)
