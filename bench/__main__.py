"""
`python -m bench [NAME ...]`: measure and print; without a name, everything.

  drift_check  a drift check of ten million events beside Evidently on the same rows (BENCH_ROWS=)
  engines      MLlib beside the library implicit: CPU for equal quality, cost per iteration (DATA=folder, BENCH_ROWS=)
  fold_in      folded-in vectors against MLlib's own, on pairs of a simulated shop
  gate         false alarms and misses of the drift gate on small shops (BENCH_GATE=calm,drifting)
  large_loop   each step of the loop on ten million events of 500,000 people: time and memory (BENCH_ROWS=)
  growth       what an old lake costs: its catalogue, and what a scoring reads (BENCH_ROWS=)
  landing      landing ten million events beside one hand-written aggregation and write (BENCH_ROWS=)
  promotion    what the promotion gate says of planted challengers (BENCH_RUNS=)
  publication  requests and seconds of publishing, reading, rolling back and collecting (BENCH_FILES=, BENCH_BYTES=)
  published_quality  the lists that `make run SHOP=online_retail` publishes, judged from raw files alone (BENCH_STATE=)
  quality      every model and baseline on 28 real days of online_retail, tuned before them (DATA=folder)
  read_person  one person of a live batch on S3 beside the whole batch (BENCH_PEOPLE=)
  refit_value  what refitting is worth on online_retail, and what unseen days say of one recipe (BENCH_LAKE=)
  top_k        lists for 100,000 people beside MLlib's, the search beside the bare product (BENCH_TOPK=peer,floor,slope)
  whole_run    seconds and resident memory of `make run` on both shops
"""

from __future__ import annotations

import sys

from bench import (
    drift_check,
    engines,
    fold_in,
    gate,
    growth,
    landing,
    large_loop,
    promotion,
    publication,
    published_quality,
    quality,
    read_person,
    refit_value,
    top_k,
    whole_run,
)
from refit.errors import RefitError

BENCHES = {
    "drift_check": drift_check.measure,
    "engines": engines.measure,
    "fold_in": fold_in.measure,
    "gate": gate.measure,
    "growth": growth.measure,
    "landing": landing.measure,
    "large_loop": large_loop.measure,
    "promotion": promotion.measure,
    "publication": publication.measure,
    "published_quality": published_quality.measure,
    "quality": quality.measure,
    "read_person": read_person.measure,
    "refit_value": refit_value.measure,
    "top_k": top_k.measure,
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
