"""Probability distributions as Spark expressions: pure functions of seed and number, so no join is needed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F


class Chance:
    """
    Reproducible random numbers.

    A number depends on the seed, the name of the drawn quantity and the keys that it is drawn for; not on partition,
    order or machine. (Spark's pow, log and exp are Java's StrictMath.)
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def uniform(self, what: str, *whom: Column) -> Column:
        """Return a double in [0, 1)."""
        digest = hashlib.sha256(f"{self._seed}/{what}".encode()).digest()
        # Cast, because xxhash64 of an int differs from that of the same number as a long.
        bits = F.xxhash64(F.lit(int.from_bytes(digest[:8], "big", signed=True)), *(w.cast("long") for w in whom))
        return F.shiftrightunsigned(bits, 11) * F.lit(2.0**-53)

    def normal(self, what: str, *whom: Column) -> Column:
        """Return an approximately standard normal double: Tukey's quantile, off by less than 0.04 within 3 sigma."""
        u = self.uniform(what, *whom)
        # Not Box-Muller: Spark's cosine is the one function used here that may differ between processors.
        return F.lit(4.91) * (F.pow(u, F.lit(0.14)) - F.pow(F.lit(1.0) - u, F.lit(0.14)))

    def permuted(self, what: str, number: Column, size: int) -> Column:
        """Return a permutation of *number* in [0, size), so that a label does not reveal the rank."""
        digest = hashlib.sha256(f"{self._seed}/{what}".encode()).digest()
        step = max(1, round(size * 0.618))
        while math.gcd(step, size) != 1:
            step += 1
        return (number * F.lit(step) + F.lit(int.from_bytes(digest[:4], "big") % size)) % F.lit(size)


def zipf_rank(u: Column, sizes: Column | int, exponent: float) -> Column:
    """
    Return a rank in [0, size) from the uniform *u*.

    Rank r has a probability proportional to the integral of x^-exponent from r+1 to r+2: Zipf's law in closed form,
    which needs no table of probabilities.
    """
    size = F.lit(sizes) if isinstance(sizes, int) else sizes
    end = (size + F.lit(1)).cast("double")
    if math.isclose(exponent, 1.0, abs_tol=1e-6):
        point = F.pow(end, u)
    else:
        power = 1.0 - exponent
        point = F.pow(F.lit(1.0) + u * (F.pow(end, F.lit(power)) - F.lit(1.0)), F.lit(1.0 / power))
    return F.least(F.floor(point), size.cast("long")) - F.lit(1)


def zipf_share(rank: int, size: int, exponent: float) -> float:
    """
    Return the probability of *rank* under `zipf_rank`.

    >>> round(sum(zipf_share(rank, 7, 0.9) for rank in range(7)), 12)
    1.0
    """
    if math.isclose(exponent, 1.0, abs_tol=1e-6):
        return math.log((rank + 2) / (rank + 1)) / math.log(size + 1)
    power = 1.0 - exponent
    begin, end, last = (math.pow(point, power) for point in (rank + 1, rank + 2, size + 1))
    return (end - begin) / (last - 1)


def activity_stratum(u: Column, strata: int, exponent: float) -> Column:
    """Return a stratum in [0, strata), 0 the busiest: weights are (x + 0.005)^-exponent over x in [0, 1)."""
    head, power = 0.005, 1.0 - exponent
    low, high = head**power, (1.0 + head) ** power
    point = F.pow(F.lit(low) + u * F.lit(high - low), F.lit(1.0 / power)) - F.lit(head)
    return F.greatest(F.least(F.floor(point * F.lit(strata)), F.lit(strata - 1)), F.lit(0)).cast("long")


def chosen(u: Column, choices: Sequence[tuple[str, float]]) -> Column:
    """Return the name in whose share of [0, 1) the uniform *u* falls."""
    reached = choices[0][1]
    expression = F.when(u < F.lit(reached), F.lit(choices[0][0]))
    for name, share in choices[1:-1]:
        reached += share
        expression = expression.when(u < F.lit(reached), F.lit(name))
    return expression.otherwise(F.lit(choices[-1][0]))


def looked_up(values: Sequence[int], place: Column) -> Column:
    """Return the value at *place*, counted from 0."""
    # A text is sent to the JVM in one call and split there; F.lit(list) takes a call per number.
    table = F.split(F.lit(",".join(str(value) for value in values)), ",").cast("array<bigint>")
    return F.element_at(table, (place + F.lit(1)).cast("int"))


def apportioned(total: int, weights: Sequence[float]) -> list[int]:
    """Return integers proportional to *weights* that add up to exactly *total* (largest remainders).

    >>> apportioned(10, [1.0, 1.0, 1.0])
    [4, 3, 3]
    """
    whole = sum(weights)
    exact = [total * weight / whole for weight in weights]
    counts = [math.floor(value) for value in exact]
    by_remainder = sorted(range(len(weights)), key=lambda index: (counts[index] - exact[index], index))
    for index in by_remainder[: total - sum(counts)]:
        counts[index] += 1
    return counts
