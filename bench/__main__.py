"""
`python -m bench [NAME ...]`: measure and print; without a name, everything.

  drift_check  a drift check of ten million events beside Evidently on the same rows (BENCH_ROWS=)
  fold_in      folded-in vectors against MLlib's own, on pairs of a simulated shop
  gate         false alarms and misses of the drift gate on small shops (BENCH_GATE=calm,drifting)
  landing      landing ten million events beside one hand-written aggregation and write (BENCH_ROWS=)
  quality      ALS against popularity on 28 real days of online_retail (DATA=folder)
  whole_run    seconds and resident memory of `make run` on both shops
"""

from __future__ import annotations

import sys

from bench import drift_check, fold_in, gate, landing, quality, whole_run
from refit.errors import RefitError

BENCHES = {
    "drift_check": drift_check.measure,
    "fold_in": fold_in.measure,
    "gate": gate.measure,
    "landing": landing.measure,
    "quality": quality.measure,
    "whole_run": whole_run.measure,
}


def main(names: list[str]) -> int:
    """Run the benches called *names*."""
    unknown = set(names) - set(BENCHES)
    if unknown:
        print(f"there is no bench {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    for name in names or BENCHES:
        print(f"\n== {name}")
        try:
            BENCHES[name]()
        except RefitError as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
