"""A process that scores and publishes; its arguments are those of `main`."""

from __future__ import annotations

import json
import sys
from datetime import datetime

from support.published import publish_again, score

from refit.adapters.s3 import S3ObjectStore
from refit.publication import read_commit
from refit.publication.commit import new_attempt


def main(endpoint: str, address: str, run_date: str, logical_run: str, created: str, *people: str) -> None:
    """Publish two files of *people* and print what became of them."""
    store = S3ObjectStore.connect(address, endpoint=endpoint)
    begun = datetime.fromisoformat(created)
    batch = new_attempt(logical_run=logical_run, ordered_at=begun, created=begun, code="tests").batch
    prefix, _ = score(
        store, batch, [people[:-1], people[-1:]], run_date=run_date, created=begun, logical_run=logical_run
    )
    published = publish_again(store, prefix, read_commit(store, prefix))
    dated = published.dated
    sys.stdout.write(json.dumps([batch, published.live.outcome, dated.outcome if dated else None]))


if __name__ == "__main__":
    main(*sys.argv[1:])
