"""
The promotion gate on planted challengers whose truth is known: how often each is refused, proposed and called better.

Per-person metrics are as real ones: most people have no hit, both models agree on four of five people. 100 challengers
of each kind on 1,000 judged people and a fifth as many on 10,000, with the default policy. `BENCH_RUNS=20` tries fewer.
"""

from __future__ import annotations

import os
import time

import numpy as np

from refit.config import Evaluation, Promotion
from refit.evaluation.comparison import compare
from refit.evaluation.promotion_gate import judge_promotion
from refit.model.item_factors import ItemFactors
from refit.testing import planted

_KINDS: dict[str, tuple[float, float | None]] = {
    "a fifth worse": (-0.2, None),
    "a tenth worse": (-0.1, None),
    "equal": (0.0, None),
    "a tenth better": (0.1, None),
    "a third better": (0.33, None),
    "a third better, but not in Chile": (0.33, -0.7),
}


def measure() -> None:
    """Print the table."""
    runs = int(os.environ.get("BENCH_RUNS", "100"))
    policy, settings = Promotion(), Evaluation(seed=1, ks=(20,), resamples=1_000)
    print(f"{policy!r}, {settings.level:.0%} intervals")
    heads = ("people", "tried", "refused", "proposed", "better", "by a cohort", "s each")
    print(f"{'challenger':<34}" + "".join(f"{head:>12}" for head in heads))
    for people, tried in ((1_000, runs), (10_000, max(runs // 5, 1))):
        for name, (gain, chile) in _KINDS.items():
            began = time.process_time()
            reasons = [_reasons(people, gain, chile, seed, policy, settings) for seed in range(tried)]
            spent = (time.process_time() - began) / tried
            refused = sum(decision == "refuse" for decision, _ in reasons)
            better = sum(any(r.startswith("better than the champion:") for r in each) for _, each in reasons)
            cohort = sum(any("than the champion in cohort" in r for r in each) for _, each in reasons)
            counts = (people, tried, refused, tried - refused, better, cohort)
            print(f"{name:<34}" + "".join(f"{count:>12,}" for count in counts) + f"{spent:>12.2f}", flush=True)


def _reasons(
    people: int, gain: float, chile: float | None, seed: int, policy: Promotion, settings: Evaluation
) -> tuple[str, tuple[str, ...]]:
    judged = planted(people, gain=gain, seed=seed, chile=chile)
    model = ItemFactors(
        items=judged.items,
        factors=np.ones((len(judged.items), 1), dtype=np.float32),
        people=np.full(len(judged.items), 10),
        alpha=1.0,
        regularisation=1.0,
        facts={},
    )
    verdict = judge_promotion(compare(judged, model, settings, policy, everybody=people), policy)
    return verdict.decision, verdict.reasons
