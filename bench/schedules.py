"""
The simulator at length: `python -m bench.schedules [SCHEDULES]` plays so many schedules on all cores.

Ends with code 1 when one of them breaks a promise; its number is all that is needed to play it again.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from refit.testing.schedules import Luck, Schedule

_SCHEDULES = 200_000
_HARD = 10
"""One in so many schedules is played once more with far worse luck."""
_CHUNK = 500


@dataclass
class Sum:
    """What many schedules came to."""

    schedules: int = 0
    requests: int = 0
    moves: int = 0
    restarts: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    seeds: list[int] = field(default_factory=list)

    def add(self, other: Sum) -> None:
        """Add *other* to this."""
        self.schedules += other.schedules
        self.requests += other.requests
        self.moves += other.moves
        self.restarts += other.restarts
        self.broken += other.broken
        self.seeds += other.seeds


def play(first: int, *, count: int, luck: Luck) -> Sum:
    """Play *count* schedules from seed *first* on."""
    total = Sum(schedules=count)
    for seed in range(first, first + count):
        outcome = Schedule(seed, luck).play()
        total.requests += outcome.requests
        total.moves += outcome.moves
        total.restarts += outcome.restarts
        if outcome.violations:
            total.broken.update(set(outcome.violations))
            total.seeds.append(seed)
    return total


def play_all(schedules: int, luck: Luck) -> Sum:
    """Play *schedules* schedules on all cores."""
    total = Sum()
    firsts = range(0, schedules, min(_CHUNK, schedules))
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for part in pool.map(partial(play, count=min(_CHUNK, schedules), luck=luck), firsts):
            total.add(part)
    return total


def main(arguments: list[str]) -> int:
    """Print one line for each kind of luck."""
    schedules = int(arguments[0]) if arguments else _SCHEDULES
    kinds = {
        "12 % of requests fail, 3 % of processes die": (schedules, Luck()),
        "40 % of requests fail, 10 % of processes die": (max(schedules // _HARD, 1), Luck(fault=0.4, crash=0.1)),
    }
    broken = False
    for name, (count, luck) in kinds.items():
        start = time.perf_counter()
        total = play_all(count, luck)
        seconds = time.perf_counter() - start
        print(
            f"{total.schedules:,} schedules ({name}): {total.requests:,} requests, {total.moves:,} moves of pointers, "
            f"{total.restarts:,} restarts, {sum(total.broken.values())} violations, {seconds:.0f} s",
            flush=True,
        )
        if total.broken:
            broken = True
            print(f"  {dict(total.broken)}; first seeds {total.seeds[:10]}")
    return int(broken)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
